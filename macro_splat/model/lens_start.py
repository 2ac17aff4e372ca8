"""The lens that a training starts from: what the capture says, and what the photographs show where it says nothing."""

from __future__ import annotations

import math

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from macro_splat.compat.viewmat import get_viewmat
from macro_splat.data.random_points import centre_of_attention
from macro_splat.defocus.estimate import LensEstimate, estimate_lens
from macro_splat.defocus.lens import LensBank
from macro_splat.defocus.thin_lens import SIGMA_PER_DIAMETER

FALLBACK_SIGMA_PX = 1.0
"""Median blur to start from where nothing at all tells how strong the lens is."""


def start_lens(
    lens: LensBank, photographs: list[np.ndarray], cameras: Cameras, points: Tensor | None, measured: bool = True
) -> str:
    """Set the start of every view's lens, in model units.

    Focus distances and pupils of the capture are taken where given (in the cameras' metadata `focus_distance` and
    `aperture_radius`, NaN = unknown); the rest is estimated from the photographs around the sparse points. Without
    points, the focus starts at the distance of the scene's centre and the strength at a mild blur; both are learnt.

    Args:
        lens: receives the values.
        photographs: of the V training views, [H, W, 3], uint8 or float in 0..1.
        cameras: the V training cameras.
        points: [P, 3] points of the scene in model units, or None.
        measured: whether they lie on its surfaces; otherwise they only tell where it is.

    Returns:
        A sentence about where the values came from.
    """
    focal_px = cameras.fx.reshape(-1).cpu().float()
    given_focus, given_aperture = (_given(cameras, key) for key in ("focus_distance", "aperture_radius"))
    if not (given_focus.isnan().any() or given_aperture.isnan().any()):
        lens.set_start(given_focus, given_aperture, focal_px)
        return "focus distances and aperture as the capture gives them"

    estimate = None if points is None or not measured else _estimate(photographs, cameras, points)
    distance = _scene_distance(cameras, points)
    if estimate is None:
        focus = distance
        strength = FALLBACK_SIGMA_PX / _typical_defocus(distance)
        source = "focus at the middle of the scene and a mild blur, for want of sparse points: both are learnt"
    else:
        focus = torch.from_numpy(estimate.focus_distance).float()
        strength = estimate.strength
        unsure = torch.from_numpy(estimate.focus_uncertainty).float() / focus
        source = f"estimated from the photographs, focus to about {100 * float(unsure.median()):.1f} % of its distance"
    aperture = strength / (2.0 * SIGMA_PER_DIAMETER * focal_px)
    given = [
        name
        for name, values in (("focus", given_focus), ("aperture", given_aperture))
        if not bool(values.isnan().any())
    ]
    if given:
        source = f"{given[0]} as the capture gives it, the rest {source}"
    elif not (given_focus.isnan().all() and given_aperture.isnan().all()):
        source += ", except where the capture gives it"
    lens.set_start(
        torch.where(given_focus.isnan(), focus, given_focus),
        torch.where(given_aperture.isnan(), aperture, given_aperture),
        focal_px,
    )
    return source


def report_lens(lens: LensBank, source: str) -> None:
    """One line on the console."""
    focus, aperture = lens.focus_distance().detach(), lens.aperture_radius().detach()
    CONSOLE.log(
        f"Lens: {source}. Focus distance {float(focus.min()):.4g} to {float(focus.max()):.4g}, entrance pupil radius "
        f"{float(aperture.median()):.3g} (model units)."
    )


def _given(cameras: Cameras, key: str) -> Tensor:
    """[V] values of the capture, NaN where it says nothing."""
    values = (cameras.metadata or {}).get(key)
    if values is None:
        return torch.full((cameras.shape[0],), math.nan)
    return values.reshape(-1).cpu().float()


def _estimate(photographs: list[np.ndarray], cameras: Cameras, points: Tensor) -> LensEstimate | None:
    return estimate_lens(
        photographs,
        get_viewmat(cameras.camera_to_worlds.cpu()).double().numpy(),
        cameras.get_intrinsics_matrices().cpu().double().numpy(),
        points.cpu().double().numpy(),
    )


def _scene_distance(cameras: Cameras, points: Tensor | None) -> Tensor:
    """[V] depth of the middle of the scene: the median point, or where the cameras' axes come closest to meeting."""
    poses = cameras.camera_to_worlds.cpu()
    viewmats = get_viewmat(poses)
    if points is not None and len(points) > 0:
        centre = points.cpu().median(dim=0).values
    else:
        centre = torch.from_numpy(centre_of_attention(poses.double().numpy(), 1.0)).float()
    depth = viewmats[:, 2, :3] @ centre + viewmats[:, 2, 3]
    return depth.clamp(min=0.05 * float(depth.abs().max()))


def _typical_defocus(distance: Tensor) -> float:
    """|1/d − 1/z| of a point that lies 5 % of its distance out of focus."""
    return float(0.05 / distance.median())
