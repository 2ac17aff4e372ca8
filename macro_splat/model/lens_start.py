"""The lens that a training starts from: what the capture says, and what the photographs show where it says nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from macro_splat.compat.viewmat import get_viewmat
from macro_splat.data.random_points import centre_of_attention
from macro_splat.defocus.estimate import LensEstimate, estimate_lens
from macro_splat.defocus.lens import LensBank, Origin
from macro_splat.defocus.thin_lens import SIGMA_PER_DIAMETER

FALLBACK_SIGMA_PX = 1.0
"""Median blur to start from where nothing at all tells how strong the lens is."""


@dataclass(frozen=True)
class LensStart:
    """What a training starts from; V views."""

    source: str
    """In words, with how sure it is."""
    focus_origin: Tensor
    """[V] `Origin` of each view's focus distance."""
    aperture_origin: Tensor
    """[V] `Origin` of each view's pupil radius."""
    focus_uncertainty: Tensor
    """[V] one standard deviation, model units; infinite where not estimated."""
    aperture_uncertainty: Tensor
    """[V] likewise."""


def start_lens(
    lens: LensBank, photographs: list[np.ndarray], cameras: Cameras, points: Tensor | None, measured: bool = True
) -> LensStart:
    """Set the start of every view's lens, in model units.

    Focus distances and pupils of the capture are taken where given (in the cameras' metadata `focus_distance` and
    `aperture_radius`, NaN = unknown); the rest is estimated from the photographs around the sparse points. Without
    points, the focus starts at the distance of the scene's centre and the strength at a mild blur; both are learnt.

    Args:
        lens: receives the values, where they came from and how sure they are.
        photographs: of the V training views, [H, W, 3], uint8 or float in 0..1.
        cameras: the V training cameras.
        points: [P, 3] points of the scene in model units, or None.
        measured: whether they lie on its surfaces; otherwise they only tell where it is.
    """
    focal_px = cameras.fx.reshape(-1).cpu().float()
    focus, aperture = (_given(cameras, key) for key in ("focus_distance", "aperture_radius"))
    focus_given, aperture_given = ~focus.isnan(), ~aperture.isnan()
    complete = bool(focus_given.all() and aperture_given.all())

    estimate = None if complete or points is None or not measured else _estimate(photographs, cameras, points)
    if estimate is None:
        distance = _scene_distance(cameras, points)
        strength = FALLBACK_SIGMA_PX / _typical_defocus(distance)
        focus_deviation, strength_deviation = torch.full_like(focus, math.inf), math.inf
        found = torch.zeros_like(focus_given)
    else:
        distance = torch.from_numpy(estimate.focus_distance).float()
        strength = estimate.strength
        focus_deviation = torch.from_numpy(estimate.focus_uncertainty).float()
        strength_deviation = estimate.strength_uncertainty
        found = torch.ones_like(focus_given)
    focus = torch.where(focus_given, focus, distance)
    aperture = torch.where(aperture_given, aperture, strength / (2.0 * SIGMA_PER_DIAMETER * focal_px))

    focus_found, aperture_found = (~focus_given & found & focus_deviation.isfinite()), ~aperture_given & found
    start = LensStart(
        source=_in_words(
            focus_given, aperture_given, focus_found, estimate is not None, focus_deviation / focus, strength_deviation
        ),
        focus_origin=_origin(focus_given, focus_found),
        aperture_origin=_origin(aperture_given, aperture_found),
        focus_uncertainty=torch.where(focus_found, focus_deviation, math.inf),
        aperture_uncertainty=torch.where(aperture_found, strength_deviation * aperture, math.inf),
    )
    lens.set_start(focus, aperture, focal_px)
    for name in ("focus_origin", "aperture_origin", "focus_uncertainty", "aperture_uncertainty"):
        getattr(lens, name).copy_(getattr(start, name))
    return start


def report_lens(lens: LensBank, start: LensStart) -> None:
    """One line on the console."""
    focus, aperture = lens.focus_distance().detach(), lens.aperture_radius().detach()
    CONSOLE.log(
        f"Lens: {start.source}. Focus distance {float(focus.min()):.4g} to {float(focus.max()):.4g}, entrance pupil "
        f"radius {float(aperture.median()):.3g} (model units)."
    )


def _origin(given: Tensor, estimated: Tensor) -> Tensor:
    origin = torch.full(given.shape, int(Origin.GUESSED), dtype=torch.int64)
    origin[estimated] = int(Origin.ESTIMATED)
    origin[given] = int(Origin.GIVEN)
    return origin


def _in_words(
    focus_given: Tensor,
    aperture_given: Tensor,
    focus_found: Tensor,
    estimated: bool,
    focus_deviation: Tensor,
    strength_deviation: float,
) -> str:
    """Where focus distances and aperture came from; deviations as shares of the values."""
    if bool(focus_given.all() and aperture_given.all()):
        return "focus distances and aperture as the capture gives them"
    if not estimated:
        rest = "focus at the middle of the scene and a mild blur, for want of sparse points: both are learnt"
    else:
        parts = []
        if bool(focus_found.any()):
            parts.append(f"focus to about {100 * float(focus_deviation[focus_found].median()):.1f} % of its distance")
        unseen = int((~focus_given & ~focus_found).sum())
        if unseen:
            parts.append(f"{unseen} of {len(focus_given)} views show too little and start at the others' focus")
        if not bool(aperture_given.all()):
            sure = math.isfinite(strength_deviation)
            parts.append(f"aperture to about {100 * strength_deviation:.0f} %" if sure else "aperture uncertain")
        rest = "estimated from the photographs, " + ", ".join(parts)
    if bool(focus_given.all()) or bool(aperture_given.all()):
        name = "focus" if bool(focus_given.all()) else "aperture"
        return f"{name} as the capture gives it, the rest {rest}"
    if bool(focus_given.any() or aperture_given.any()):
        rest += ", except where the capture gives it"
    return rest


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
