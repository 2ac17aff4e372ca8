"""What is no object is taken off: haze, background and floaters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from macro_splat.runs.cameras import TrainingCamera, training_cameras
from macro_splat.runs.clean_config import CleanConfig
from macro_splat.runs.frame import OutputFrame
from macro_splat.runs.gaussians import Gaussians
from macro_splat.runs.load import Run
from macro_splat.utils.pictures import read_mask

NEIGHBOURS = 6
MIN_POINTS = 50
"""Fewer sparse points do not say where the object is."""
MAX_GAP = 12.0
"""Distance to its neighbours, as a multiple of the usual one, beyond which a Gaussian floats; larger ones may have
their neighbours three standard deviations away."""
MASK_SHARE = 0.5
"""Of the masked photographs that see a Gaussian, how many must leave it out for it to be background."""
USUAL_LIMITS = CleanConfig()


def clean(
    gaussians: Gaussians, views: Sequence[TrainingCamera], points: Tensor | None, config: CleanConfig
) -> tuple[Gaussians, dict[str, int]]:
    """Leave out what is no object.

    Args:
        gaussians: of any frame.
        views: in the same frame; those with a mask have a say.
        points: sparse points [M, 3] measured on the object, same frame, or None.
        config: the limits.

    Returns:
        the rest, and how many were taken off by reason, in the order in which they were looked for.
    """
    removed: dict[str, int] = {}
    left = gaussians

    def keep(reason: str, wanted: Tensor) -> None:
        nonlocal left
        removed[reason] = int((~wanted).sum())
        left = left.select(wanted)

    keep("faint", left.opacities >= config.min_opacity)
    if len(left) == 0:
        return left, removed
    centre, radius = object_ball(left, points)
    keep("too large", left.scales.amax(dim=1) <= config.max_size * radius)
    keep("too far", (left.means - centre).norm(dim=1) <= config.reach * radius)
    if any(view.mask is not None for view in views):
        keep("masked out", ~_masked_out(left.means, views))
    if len(left) > NEIGHBOURS:
        keep("floating", ~_floating(left))
    return left, removed


def object_ball(gaussians: Gaussians, points: Tensor | None) -> tuple[Tensor, float]:
    """Centre [3] and radius of where nine tenths of the object are: by the sparse points, else by opaque Gaussians."""
    if points is None or len(points) < MIN_POINTS:
        opaque = gaussians.opacities > 0.5
        points = gaussians.means[opaque] if int(opaque.sum()) >= MIN_POINTS else gaussians.means
    points = points.float()
    centre = points.median(dim=0).values
    distance = (points - centre).norm(dim=1)
    return centre, float(np.quantile(distance.numpy(), 0.9))


def _floating(gaussians: Gaussians) -> Tensor:
    """Those whose neighbours are far away, both by the usual distance and by their own size. [N]"""
    means = gaussians.means.numpy()
    distance = cKDTree(means).query(means, k=NEIGHBOURS + 1)[0][:, -1]
    own = 3.0 * gaussians.scales.amax(dim=1).numpy()
    return torch.from_numpy(distance > np.maximum(MAX_GAP * np.median(distance), own))


def _masked_out(means: Tensor, views: Sequence[TrainingCamera]) -> Tensor:
    """Whether most masks leave out the place where a Gaussian's centre is seen. [N]"""
    seen, out = torch.zeros(len(means)), torch.zeros(len(means))
    for view in views:
        if view.mask is None:
            continue
        mask = torch.from_numpy(read_mask(view.mask, (view.width, view.height)))
        in_camera = means.double() @ view.world_to_camera[:3, :3].T + view.world_to_camera[:3, 3]
        pixel = in_camera @ view.intrinsics.double().T
        column, row = (pixel[:, :2] / pixel[:, 2:]).floor().nan_to_num(-1).clamp(-1, 1 << 20).long().unbind(1)
        inside = (pixel[:, 2] > 0) & (column >= 0) & (row >= 0) & (column < view.width) & (row < view.height)
        seen += inside
        out[inside] += (~mask[row[inside], column[inside]]).float()
    return (seen > 0) & (out > MASK_SHARE * seen)


def object_gaussians(
    run: Run, frame: OutputFrame, config: CleanConfig | None = USUAL_LIMITS
) -> tuple[Gaussians, dict[str, int]]:
    """Return a run's splats in a frame, cleaned unless `config` is None, and how many were taken off by reason."""
    gaussians = frame.move(Gaussians.of_model(run.model))
    removed: dict[str, int] = {"not finite": run.model.num_points - len(gaussians)}
    if config is None:
        return gaussians, removed
    points: Tensor | None = None
    if run.metadata.get("points3D_measured"):
        points = frame.move_points(run.metadata["points3D_xyz"].cpu())
    gaussians, reasons = clean(gaussians, training_cameras(run, frame), points, config)
    return gaussians, removed | reasons
