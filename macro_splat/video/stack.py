"""A synthetic focus stack on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from macro_splat.runs.views import render_view
from macro_splat.utils.atomic import atomic_folder
from macro_splat.utils.progress import ProgressCallback
from macro_splat.video.config import LensOptions
from macro_splat.video.films import Size, photograph_by, to_picture
from macro_splat.video.lenses import lenses_through

if TYPE_CHECKING:
    from macro_splat.runs.load import Run


def write_stack(
    output: Path, run: Run, view: int, size: Size, slices: int, options: LensOptions, progress: ProgressCallback
) -> None:
    """Write photographs whose plane of focus moves through the object from front to back in even steps.

    They are `slice_00.png` (the nearest focus), ..., `all_in_focus.png`, and `stack.json` with the lens of each slice.

    Args:
        view: training view whose pose is taken. options: see `lenses_through`.
        progress: called after each picture.

    Raises:
        MacroSplatError: as `lenses_through`.
    """
    scene = render_view(run, view, size)
    steps = np.linspace(0, 1, slices).tolist()
    lenses = {f"slice_{i:02d}.png": lens for i, lens in enumerate(lenses_through(run, scene, steps, options))}
    scale, mm = run.metadata["dataparser_scale"], run.metadata["mm_per_unit"]
    to_unit = (mm or 1.0) / scale
    record = {
        "photograph": run.names[view],
        "unit": "mm" if mm is not None else run.metadata["scene_unit"] or "scene units, scale unknown",
        "focal_length_px": scene.focal_px,
        "slices": [
            {
                "name": name,
                "focus_distance": lens.focus_distance * to_unit,
                "aperture_radius": lens.aperture_radius * to_unit,
            }
            for name, lens in lenses.items()
        ],
    }
    with atomic_folder(output, replace=True) as folder:
        for done, (name, lens) in enumerate(lenses.items()):
            Image.fromarray(photograph_by(lens, scene)).save(folder / name)
            progress("slices", done + 1, slices + 1)
        Image.fromarray(to_picture(scene.rgb)).save(folder / "all_in_focus.png")
        progress("slices", slices + 1, slices + 1)
        (folder / "stack.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
