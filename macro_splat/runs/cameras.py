"""The training views in the frame of an export."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from macro_splat.runs.frame import Frame

if TYPE_CHECKING:
    from macro_splat.runs import Run  # brings all of nerfstudio


@dataclass(frozen=True, eq=False)
class TrainingCamera:
    """A training photograph's camera, its pose as the training refined it."""

    world_to_camera: Tensor
    """[4, 4] float64, OpenCV axes."""
    intrinsics: Tensor
    """[3, 3] pixels."""
    width: int
    height: int
    mask: Path | None
    """0 = ignore."""


@torch.no_grad()
def training_cameras(run: Run, frame: Frame) -> list[TrainingCamera]:
    """All of them, at the size that was trained on."""
    masks = run.metadata.get("mask_filenames") or [None] * len(run.names)
    views = []
    for i, mask in enumerate(masks):
        camera = run.camera(i)
        pose = run.model.camera_optimizer.apply_to_camera(camera)[0].cpu()
        intrinsics = camera.get_intrinsics_matrices()[0].cpu()
        size = int(camera.width), int(camera.height)
        views.append(TrainingCamera(frame.world_to_camera(pose), intrinsics, *size, mask))
    return views


def short_names(names: Sequence[str]) -> list[str]:
    """Of photographs, without the folder that all share."""
    shared = os.path.commonpath([os.path.dirname(name) for name in names]) if names else ""
    return [Path(os.path.relpath(name, shared or ".")).as_posix() for name in names]
