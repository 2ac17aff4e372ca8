"""The training cameras as the training refined them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macro_splat.runs.frame import OutputFrame

if TYPE_CHECKING:
    from macro_splat.runs.load import Run  # brings all of nerfstudio


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
def training_poses(run: Run) -> NDArray[np.float64]:
    """Return the refined poses [V, 4, 4] of all training cameras, OpenGL axes, model units."""
    poses = np.tile(np.eye(4), (len(run.names), 1, 1))
    for view in range(len(poses)):
        poses[view, :3] = run.model.camera_optimizer.apply_to_camera(run.camera(view))[0].cpu().numpy()
    return poses


def training_cameras(run: Run, frame: OutputFrame) -> list[TrainingCamera]:
    """Return all training cameras in a frame, at the size that was trained on."""
    masks = run.metadata.get("mask_filenames") or [None] * len(run.names)
    views = []
    for i, (pose, mask) in enumerate(zip(training_poses(run), masks, strict=True)):
        camera = run.camera(i)
        intrinsics = camera.get_intrinsics_matrices()[0].cpu()
        size = int(camera.width), int(camera.height)
        views.append(TrainingCamera(frame.world_to_camera(torch.from_numpy(pose)), intrinsics, *size, mask))
    return views


def short_names(names: Sequence[str]) -> list[str]:
    """Of photographs, without the folder that all share."""
    shared = os.path.commonpath([os.path.dirname(name) for name in names]) if names else ""
    return [Path(os.path.relpath(name, shared or ".")).as_posix() for name in names]
