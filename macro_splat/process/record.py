"""process.json: all that `process` found and did, of which the report is made."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from macro_splat.photographs.load import Photograph
from macro_splat.process.config import ProcessConfig
from macro_splat.process.mask_stage import PreparedMask
from macro_splat.process.poses import Poses
from macro_splat.process.rig.format import Rig
from macro_splat.process.stacks.grouping import Stack
from macro_splat.process.survey import ImageQuality

VERSION = 1


@dataclass
class RunState:
    """What a run knows so far; mappings are by the photographs' names."""

    config: ProcessConfig
    command: Sequence[str]
    """As the user gave it."""
    rig: Rig | None = None
    stacks: list[Stack] = field(default_factory=list)
    quality: dict[str, ImageQuality] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """The reasons why there is no image."""
    masks: dict[str, PreparedMask] = field(default_factory=dict)
    poses: Poses | None = None
    scale: dict[str, Any] | None = None
    images: dict[str, str] = field(default_factory=dict)
    """Paths within the capture."""


def make_record(run: RunState) -> dict[str, Any]:
    """Return the content of process.json, but for `seconds`, `peak_memory_mb` and `problems`."""
    poses = run.poses

    def photograph_record(photograph: Photograph, stack: Stack, index: int) -> dict[str, Any]:
        name = photograph.name
        exif = asdict(photograph.exif)
        exif["taken"] = None if photograph.exif.taken is None else photograph.exif.taken.isoformat()
        used = name in run.images
        return {
            "name": name,
            "image": run.images.get(name),
            "width": photograph.width,
            "height": photograph.height,
            "exif": exif,
            "stack_id": stack.id,
            "stack_index": index,
            "sharpness": run.quality[name].score,
            "verdict": run.quality[name].verdict,
            "used": used,
            "why_not": None if used else run.left_out.get(name, "there are no poses"),
            "pose": poses.source if used and poses is not None else None,
            "mask": run.masks[name].origin if name in run.masks else None,
        }

    return {
        "version": VERSION,
        "command": list(run.command),
        "photographs_folder": str(run.config.photographs.resolve()),
        "settings": run.config.settings(),
        "photographs": [
            photograph_record(photograph, stack, index)
            for stack in run.stacks
            for index, photograph in enumerate(stack.photographs)
        ],
        "stacks": [
            {
                "id": stack.id,
                "photographs": [p.name for p in stack.photographs],
                "motion": stack.motion,
                "slices": list(stack.slices.numbers),
                "missing": list(stack.slices.missing),
                "doubled": list(stack.slices.doubled),
            }
            for stack in run.stacks
        ],
        "poses": {
            "source": None if poses is None else poses.source,
            "reprojection_error_px": None if poses is None else poses.reprojection_error_px,
            "points": 0 if poses is None or poses.points is None else len(poses.points.xyz),
            "unregistered": [] if poses is None else list(poses.unregistered),
        },
        "scale": run.scale,
    }


def peak_memory_mb() -> float:
    """Return the most memory that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux; its `ru_maxrss` may be that of the program that started this one
        peak = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if peak is not None:
            return int(peak[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
