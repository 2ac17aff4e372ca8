"""Make the small captures of `assets/` out of larger ones.

    python assets/make_assets.py CAPTURE assets/NAME [--frames N1 N2 ...] [--test N3 ...] [--halve]

CAPTURE is a folder with a transforms.json. All frames are taken unless `--frames` names the stems of those wanted;
`--test` names those held out, unless the capture says so itself. Photographs become JPEG (quality 95, no chroma
subsampling: well below the sensor's noise); what serves as truth in evaluation stays PNG. Depth is kept for held-out
views only, because it is large.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

SPLITS = ("train_filenames", "val_filenames", "test_filenames")


def shrink_capture(source: Path, target: Path, stems: list[str] | None, test: list[str], halve: bool) -> None:
    """Copy the chosen frames of `source` into the new folder `target`, at half the size if `halve`."""
    transforms: dict[str, Any] = json.loads((source / "transforms.json").read_text())
    target.mkdir(parents=True)
    held_out = {Path(name) for name in transforms.get("test_filenames", [])}
    if test:
        held_out = {Path(f["file_path"]) for f in transforms["frames"] if Path(f["file_path"]).stem in test}
    wanted = [f for f in transforms["frames"] if stems is None or Path(f["file_path"]).stem in [*stems, *test]]
    lists: dict[str, list[str]] = {name: [] for name in SPLITS}
    for frame in wanted:
        is_test = Path(frame["file_path"]) in held_out
        frame["file_path"] = _copy_image(source, target, frame["file_path"], halve, lossless=is_test)
        if "sharp_file_path" in frame:
            frame["sharp_file_path"] = _copy_image(source, target, frame["sharp_file_path"], halve, lossless=False)
        if "mask_path" in frame:
            frame["mask_path"] = _copy_image(source, target, frame["mask_path"], halve, lossless=True)
        if "depth_file_path" in frame:
            if is_test and not halve:
                _copy_file(source, target, frame["depth_file_path"])
            else:
                del frame["depth_file_path"]
        if halve:
            _halve_intrinsics(frame)
        for name in SPLITS[1:] if is_test else SPLITS[:1]:
            lists[name].append(frame["file_path"])
    if halve:
        _halve_intrinsics(transforms)
    if "ply_file_path" in transforms:
        _copy_file(source, target, transforms["ply_file_path"])
    transforms |= {**lists, "frames": wanted}
    (target / "transforms.json").write_text(json.dumps(transforms, indent=1) + "\n")


def _halve_intrinsics(values: dict[str, Any]) -> None:
    for key in ("fl_x", "fl_y", "cx", "cy"):
        if key in values:
            values[key] /= 2
    for key in ("w", "h"):
        if key in values:
            values[key] //= 2


def _copy_image(source: Path, target: Path, name: str, halve: bool, lossless: bool) -> str:
    """Copy one picture and return its new name."""
    image = Image.open(source / name)
    if halve:
        image = image.reduce(2)
    path = target / Path(name).with_suffix(".png" if lossless else ".jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    if lossless:
        image.save(path, optimize=True)
    else:
        image.convert("RGB").save(path, quality=95, subsampling=0, optimize=True)
    return str(path.relative_to(target))


def _copy_file(source: Path, target: Path, name: str) -> None:
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / name, target / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--frames", nargs="*")
    parser.add_argument("--test", nargs="*", default=[])
    parser.add_argument("--halve", action="store_true")
    arguments = parser.parse_args()
    shrink_capture(arguments.source, arguments.target, arguments.frames, arguments.test, arguments.halve)
