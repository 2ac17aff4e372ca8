"""The lens that a training starts from: what the capture says, and what the photographs show where it says nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from macro_splat.compat.viewmat import get_viewmat
from macro_splat.data.lens import Lens
from macro_splat.data.random_points import axes_meet, centre_of_attention
from macro_splat.defocus.estimate import LensEstimate, estimate_lens
from macro_splat.defocus.per_view_lens import Origin, PerViewLens
from macro_splat.defocus.thin_lens import SIGMA_PER_DIAMETER
from macro_splat.ops.resize import look_reduction, reduced

FALLBACK_SIGMA_PX = 1.0
"""Median blur to start from where nothing at all tells how strong the lens is."""
EXIF_DEVIATION = 0.2
"""Of log pupil and log focus distance as EXIF tags tell them: lenses are engraved for the far, and a body that is
focused close reports its distance in coarse steps and from the sensor."""
GUESS_DEVIATION = 0.1
"""Of the log focus distance that is guessed: photographers focus on what they walk around. Estimates of pictures with
clear texture are several times as sure; where a texture looks another one from another side, the guess is better."""


@dataclass(frozen=True)
class LensInitialization:
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


def initialize_lens(
    lens: PerViewLens,
    given: Lens,
    photographs: Sequence[np.ndarray],
    cameras: Cameras,
    points: Tensor | None,
    measured: bool = True,
) -> LensInitialization:
    """Set the start of every view's lens, in model units.

    Focus distances and pupils of the capture are taken where given; the rest is estimated from the photographs around
    the sparse points. Without points, the focus starts at the distance of the scene's centre and the strength at a mild
    blur; both are learnt. What EXIF tags say is averaged with the estimate or guess, each by how sure it is.

    Args:
        lens: receives the values, where they came from and how sure they are.
        given: what the capture and its EXIF tags tell of the V views.
        photographs: of the V training views, [H, W, 3], uint8 or float in 0..1.
        cameras: the V training cameras.
        points: [P, 3] points of the scene in model units, or None.
        measured: whether they lie on its surfaces; otherwise they only tell where it is.
    """
    focal_px = cameras.fx.reshape(-1).cpu().float()
    told = (given.focus_distance, given.aperture_radius, given.focus_distance_start, given.aperture_radius_start)
    focus, aperture, focus_start, aperture_start = (values.reshape(-1).cpu() for values in told)
    focus_given, aperture_given = ~focus.isnan(), ~aperture.isnan()
    complete = bool(focus_given.all() and aperture_given.all())

    estimate = None if complete or points is None or not measured else _estimate(photographs, cameras, points)
    if estimate is None:
        distance = _scene_distance(cameras, points)
        strength = FALLBACK_SIGMA_PX / _typical_defocus(distance)
        focus_deviation, strength_deviation = torch.full_like(focus, math.inf), math.inf
    else:
        estimated_distance = torch.from_numpy(estimate.focus_distance).float()
        estimated_deviation = torch.from_numpy(estimate.focus_uncertainty).float() / estimated_distance
        guess = _scene_distance(cameras, points)
        weight = estimated_deviation.pow(-2.0)  # 0 where the view showed too little
        total = weight + GUESS_DEVIATION**-2.0
        distance = guess * torch.exp(weight / total * torch.log(estimated_distance / guess))
        focus_deviation = torch.where(weight > 0, total.rsqrt(), math.inf)
        strength, strength_deviation = estimate.strength, estimate.strength_uncertainty
    pupil, pupil_deviation = (
        strength / (2.0 * SIGMA_PER_DIAMETER * focal_px),
        torch.full_like(focus, strength_deviation),
    )
    no, estimated = torch.zeros_like(focus_given), torch.full_like(focus_given, estimate is not None)
    found_focus = _Found(distance, focus_deviation, focus_deviation.isfinite(), no)
    found_focus = found_focus.averaged_with(focus_start, GUESS_DEVIATION)
    found_pupil = _Found(pupil, pupil_deviation, estimated, no).averaged_with(aperture_start, math.inf)
    focus = torch.where(focus_given, focus, found_focus.value)
    aperture = torch.where(aperture_given, aperture, found_pupil.value)

    start = LensInitialization(
        source=_in_words(focus_given, aperture_given, found_focus, found_pupil, estimate is not None),
        focus_origin=found_focus.origin.masked_fill(focus_given, int(Origin.GIVEN)),
        aperture_origin=found_pupil.origin.masked_fill(aperture_given, int(Origin.GIVEN)),
        focus_uncertainty=(found_focus.deviation * focus).masked_fill(focus_given, math.inf),
        aperture_uncertainty=(found_pupil.deviation * aperture).masked_fill(aperture_given, math.inf),
    )
    lens.set_start(focus, aperture, focal_px)
    for name in ("focus_origin", "aperture_origin", "focus_uncertainty", "aperture_uncertainty"):
        getattr(lens, name).copy_(getattr(start, name))
    return start


def report_lens(lens: PerViewLens, start: LensInitialization) -> None:
    """One line on the console."""
    focus, aperture = lens.focus_distance().detach(), lens.aperture_radius().detach()
    CONSOLE.log(
        f"Lens: {start.source}. Focus distance {float(focus.min()):.4g} to {float(focus.max()):.4g}, entrance pupil "
        f"radius {float(aperture.median()):.3g} (model units)."
    )


@dataclass(frozen=True)
class _Found:
    """What the capture does not give, for each of V views."""

    value: Tensor
    deviation: Tensor
    """Of its logarithm; infinite: a guess."""
    estimated: Tensor
    """Whether photographs told it."""
    by_tags: Tensor
    """Whether EXIF tags told more."""

    def averaged_with(self, tags: Tensor, deviation_of_guess: float) -> _Found:
        """Mean of the logarithms with what EXIF tags say ([V], NaN = nothing), weighted by inverse variance."""
        tagged = tags.isfinite() & (tags > 0)
        own_weight = torch.where(self.deviation.isfinite(), self.deviation, deviation_of_guess).pow(-2.0)
        tag_weight = torch.where(tagged, EXIF_DEVIATION**-2.0, 0.0)
        total = own_weight + tag_weight
        log_ratio = torch.log(torch.where(tagged, tags, self.value) / self.value)
        value = self.value * torch.exp(log_ratio * tag_weight / total.clamp(min=1e-12))
        deviation = torch.where(tagged, total.rsqrt(), self.deviation)
        return _Found(value, deviation, self.estimated, tagged & (tag_weight > own_weight))

    @property
    def origin(self) -> Tensor:
        """[V] `Origin`: whichever told most."""
        origin = torch.full(self.estimated.shape, int(Origin.GUESSED), dtype=torch.int64)
        origin[self.estimated] = int(Origin.ESTIMATED)
        origin[self.by_tags] = int(Origin.EXIF)
        return origin


def _in_words(focus_given: Tensor, aperture_given: Tensor, focus: _Found, aperture: _Found, estimated: bool) -> str:
    """Where focus distances and aperture came from; deviations as shares of the values."""
    if bool(focus_given.all() and aperture_given.all()):
        return "focus distances and aperture as the capture gives them"
    tags = [
        name
        for name, given, found in (("focus", focus_given, focus), ("aperture", aperture_given, aperture))
        if bool((~given & found.by_tags).any())
    ]
    if not estimated:
        blur = "" if "aperture" in tags else " and a mild blur"
        rest = f"focus at the middle of the scene{blur}, for want of sparse points: both are learnt"
    else:
        parts = []
        focus_found = ~focus_given & focus.deviation.isfinite()
        if bool(focus_found.any()):
            parts.append(f"focus to about {100 * float(focus.deviation[focus_found].median()):.1f} % of its distance")
        unseen = int((~focus_given & ~focus_found).sum())
        if unseen:
            parts.append(f"{unseen} of {len(focus_given)} views show too little and start at the others' focus")
        if not bool(aperture_given.all()):
            deviation = float(aperture.deviation[~aperture_given].median())
            parts.append(
                f"aperture to about {100 * deviation:.0f} %" if math.isfinite(deviation) else "aperture uncertain"
            )
        rest = "estimated from the photographs, " + ", ".join(parts)
    if tags:
        rest += f" ({' and '.join(tags)} mostly from the EXIF tags)"
    if bool(focus_given.all()) or bool(aperture_given.all()):
        name = "focus" if bool(focus_given.all()) else "aperture"
        return f"{name} as the capture gives it, the rest {rest}"
    if bool(focus_given.any() or aperture_given.any()):
        rest += ", except where the capture gives it"
    return rest


def _estimate(photographs: Sequence[np.ndarray], cameras: Cameras, points: Tensor) -> LensEstimate | None:
    """From the photographs, reduced where they are large."""
    reduction = look_reduction(int(torch.maximum(cameras.width, cameras.height).max()))
    intrinsics = cameras.get_intrinsics_matrices().cpu().double().numpy()
    intrinsics[:, :2] /= reduction
    estimate = estimate_lens(
        (reduced(photograph[..., :3], reduction) for photograph in photographs),
        get_viewmat(cameras.camera_to_worlds.cpu()).double().numpy(),
        intrinsics,
        points.cpu().double().numpy(),
    )
    # It is in pixels.
    return None if estimate is None else replace(estimate, strength=reduction * estimate.strength)


def _scene_distance(cameras: Cameras, points: Tensor | None) -> Tensor:
    """[V] depth of what is photographed: of where the cameras' axes meet, or if they do not, of the median point."""
    poses = cameras.camera_to_worlds.cpu()
    viewmats = get_viewmat(poses)
    median = None if points is None or len(points) == 0 else points.cpu().median(dim=0).values
    centre = torch.from_numpy(centre_of_attention(poses.double().numpy(), 1.0)).float()
    if median is not None and not axes_meet(poses.double().numpy()):
        centre = median
    depth = viewmats[:, 2, :3] @ centre + viewmats[:, 2, 3]
    return depth.clamp(min=0.05 * float(depth.abs().max()))


def _typical_defocus(distance: Tensor) -> float:
    """|1/d − 1/z| of a point that lies 5 % of its distance out of focus."""
    return float(0.05 / distance.median())
