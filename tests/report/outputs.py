"""A folder as `macro-splat process` leaves it, of the ball's photographs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.captures import write_capture

EXIF: dict[str, Any] = {
    "camera": "Maker M1",
    "lens": "90 mm Macro",
    "focal_length_mm": 90.0,
    "f_number": 8.0,
    "focus_distance_mm": None,
    "exposure_s": 0.008,
    "iso": 200.0,
    "taken": "2024-05-01T10:00:00",
    "orientation": 1,
    "sensor_width_mm": 35.9,
    "pixel_pitch_mm": 0.0043,
    "magnification": None,
    "working_f_number": None,
}


def photograph(name: str, stack_id: str, index: int = 0, **changes: Any) -> dict[str, Any]:
    """An entry of process.json; `exif` in `changes` replaces single tags."""
    exif = EXIF | changes.pop("exif", {})
    return {
        "name": name,
        "image": f"images/{name}",
        "width": 48,
        "height": 36,
        "exif": exif,
        "stack_id": stack_id,
        "stack_index": index,
        "sharpness": 1.0 + index,
        "verdict": "sharp",
        "used": True,
        "why_not": None,
        "pose": "rig",
        "mask": None,
    } | changes


def process_of(photographs: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A process.json about which nothing is to be said, if there are enough photographs."""
    stacks: dict[str, list[str]] = {}
    for entry in photographs:
        stacks.setdefault(entry["stack_id"], []).append(entry["name"])
    return {
        "version": 1,
        "command": ["macro-splat", "process", "photos", "out"],
        "photographs_folder": "/photos",
        "settings": {"stack_by": "auto", "max_image_edge": None},
        "seconds": {"sharpness": 12.5, "poses": 75.0},
        "peak_memory_mb": 512.0,
        "photographs": photographs,
        "stacks": [
            {"id": key, "photographs": names, "motion": "ring" if len(names) > 1 else None}
            for key, names in stacks.items()
        ],
        "poses": {"source": "rig", "reprojection_error_px": 0.4, "points": 600, "unregistered": []},
        "scale": {"source": "rig", "mm_per_unit": 1.0, "deviation": None},
        "problems": [],
    } | changes


def singles(count: int, **changes: Any) -> list[dict[str, Any]]:
    """So many photographs of their own."""
    return [photograph(f"{i:03d}.png", f"{i:03d}", **changes) for i in range(count)]


def write_output(folder: Path, *, views: int = 8, slices: int = 1, thumbnail_edge: int = 48) -> Path:
    """A finished folder: the ball from all sides, with thumbnails and maps of noise."""
    write_capture(folder, views=views, slices=slices, test_views=0, sharp=False, depth=False)
    names = [f"{i:03d}_{j}.png" if slices > 1 else f"{i:03d}.png" for i in range(views) for j in range(slices)]
    photographs = [photograph(name, name[:3], i % slices) for i, name in enumerate(names)]
    (folder / "process.json").write_text(json.dumps(process_of(photographs)))
    write_thumbnails(folder, names, thumbnail_edge)
    return folder


def write_thumbnails(folder: Path, names: list[str], edge: int = 48) -> None:
    generator = np.random.default_rng(0)
    for name in names:
        thumbnail = folder / ".process" / "thumbnails" / f"{name}.jpg"
        sharpness = folder / ".process" / "sharpness" / f"{name}.npy"
        for path in (thumbnail, sharpness):
            path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (edge * 3 // 4, edge, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(thumbnail, quality=85)
        np.save(sharpness, generator.random((edge * 3 // 4, edge), dtype=np.float32))


def edit_process(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Apply `edit` to process.json in place."""
    path = folder / "process.json"
    process = json.loads(path.read_text())
    edit(process)
    path.write_text(json.dumps(process))
