"""A synthetic focus stack on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from macro_splat.video.films import Size, focus_stack
from macro_splat.video.lens_options import LensOptions
from macro_splat.video.writers import whole_folder

if TYPE_CHECKING:
    from macro_splat.runs.load import Run


def write_stack(
    output: Path,
    run: Run,
    view: int,
    size: Size,
    slices: int,
    options: LensOptions,
    progress: Callable[[str, int, int], None],
) -> None:
    """Write `slice_00.png` (the nearest focus), ..., `all_in_focus.png`, and `stack.json` with the lens of each slice.

    Args:
        view: training view whose pose is taken. options: see `lenses_through`.
        progress: told what is done, and how much of how much.

    Raises:
        MacroSplatError: as `lenses_through`.
    """
    stack = focus_stack(run, view, size, slices, options)
    names = [f"slice_{i:02d}.png" for i in range(slices)] + ["all_in_focus.png"]
    with whole_folder(output) as folder:
        for done, (name, frame) in enumerate(zip(names, stack.frames(), strict=True)):
            Image.fromarray(frame).save(folder / name)
            progress("slices", done + 1, len(names))
        scale, mm = run.metadata["dataparser_scale"], run.metadata["mm_per_unit"]
        to_unit = (mm or 1.0) / scale
        record = {
            "photograph": run.names[view],
            "unit": "mm" if mm is not None else run.metadata["scene_unit"] or "scene units, scale unknown",
            "focal_length_px": stack.scene.focal_px,
            "slices": [
                {
                    "name": name,
                    "focus_distance": lens.focus_distance * to_unit,
                    "aperture_radius": lens.aperture_radius * to_unit,
                }
                for name, lens in zip(names, stack.lenses, strict=False)
            ],
        }
        (folder / "stack.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
