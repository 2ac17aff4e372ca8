"""The photographer's way with focus stacks: every stack becomes one all-in-focus picture before anything is trained.

See `process/stacks/fusion.py`. Slices are not warped: they are taken at the one pose that the capture gives them, as
far as it does.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from macro_splat.capture import Frame, read_capture
from macro_splat.errors import MacroSplatError
from macro_splat.process.stacks.fusion import Picture, fuse_stack

FORGOTTEN = ("sharp_file_path", "depth_file_path", "stack_id", "stack_index")
"""Keys of a slice that the fused picture has no need of."""
UNKNOWN = ("focus_distance", "aperture_radius", "f_number", "stack_motion")
"""Keys that do not hold for the fused picture, whatever the top level says."""


def fuse_capture(source: Path, target: Path) -> None:
    """Write a capture with one fused picture per stack; frames outside stacks stay as they are.

    Every description in the source (transforms.json, and transforms_noisy.json where there is one) gets its
    counterpart; a fused picture has the name, pose and intrinsics of the middle slice of its stack.

    Args:
        source: the capture's folder. target: made anew.

    Raises:
        MacroSplatError: the source is broken or has no stacks.
    """
    capture = read_capture(source)
    stacks: dict[str, list[Frame]] = {}
    for frame in capture.frames:
        if frame.stack_id is not None:
            stacks.setdefault(frame.stack_id, []).append(frame)
    if not stacks:
        raise MacroSplatError(f"{capture.path}: no frame has a `stack_id`; only focus stacks can be fused")
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)

    representative: dict[str, str] = {}  # of every slice's name, the name of the middle one
    for slices in stacks.values():
        slices.sort(key=lambda frame: (frame.stack_index or 0, frame.name))
        middle = slices[len(slices) // 2]
        fused = fuse_stack([_load(frame.image) for frame in slices])
        path = (target / middle.name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.round(255.0 * fused).astype(np.uint8)).save(path)
        representative |= {frame.name: middle.name for frame in slices}

    for description in ("transforms.json", "transforms_noisy.json"):
        if (source / description).is_file():
            transforms = json.loads((source / description).read_text(encoding="utf-8-sig"))
            text = json.dumps(_fused_description(transforms, representative, source, target), indent=1)
            (target / description).write_text(text)
    read_capture(target)


def _fused_description(
    transforms: dict[str, Any], representative: dict[str, str], source: Path, target: Path
) -> dict[str, Any]:
    """The description of the fused capture; files that it keeps are copied."""
    frames = []
    for frame in transforms["frames"]:
        name = Path(frame["file_path"]).as_posix()
        middle = representative.get(name)
        if middle not in (None, name):
            continue
        if middle is not None:
            kept = {key: value for key, value in frame.items() if key not in FORGOTTEN}
            kept |= dict.fromkeys(UNKNOWN)
            kept["file_path"] = Path(name).with_suffix(".png").as_posix()
        else:
            kept = frame
            _copy(source, target, frame["file_path"])
        for key in ("mask_path", "sharp_file_path", "depth_file_path"):
            if kept.get(key):
                _copy(source, target, kept[key])
        frames.append(kept)
    result = {**transforms, "frames": frames}
    if result.get("ply_file_path"):
        _copy(source, target, result["ply_file_path"])
    for split in ("train_filenames", "val_filenames", "test_filenames"):
        if split in result:
            result[split] = _fused_names(result[split], representative)
    return result


def _fused_names(names: list[str], representative: dict[str, str]) -> list[str]:
    """A split list with one name per stack."""
    fused = []
    for name in names:
        middle = representative.get(Path(name).as_posix())
        fused.append(name if middle is None else Path(middle).with_suffix(".png").as_posix())
    return list(dict.fromkeys(fused))


def _copy(source: Path, target: Path, name: str) -> None:
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / name, target / name)


def _load(path: Path) -> Picture:
    with Image.open(path) as picture:
        mode = "RGBA" if "A" in picture.getbands() else "RGB"
        return np.array(picture.convert(mode), dtype=np.float32) / 255.0
