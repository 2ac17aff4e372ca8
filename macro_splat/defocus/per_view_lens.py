"""The lens of every training view as parameters that are learnt with the scene."""

from __future__ import annotations

import math
from enum import IntEnum

import torch
from torch import Tensor, nn

from macro_splat.defocus.thin_lens import SIGMA_PER_DIAMETER, coc_radius_px

FOCUS_PX_AS_LOG_APERTURE = 0.3
"""Change of the log aperture that counts as much as a focus moved by one pixel of blur sigma: both are as visible."""


class Origin(IntEnum):
    """Where a value came from that a training started with."""

    UNKNOWN = 0  # of runs older than this record
    GUESSED = 1
    ESTIMATED = 2
    GIVEN = 3
    EXIF = 4  # of the photographs' tags: a start that the training may leave, unlike what the capture gives


class PerViewLens(nn.Module):
    """Focus distance and entrance pupil of each of V views.

    Only the product of pupil and scene scale can be seen in photographs, so lengths are in the scene's units,
    whatever these are. Parametrisation, chosen so that one learning rate serves every capture:

    * the focus distance d of a view is stored as the offset, in pixels of blur sigma, from its start: 1/d = 1/d₀ +
      offset / (½·A₀·fl), so a step of the optimizer is the same visible change for every lens;
    * the pupil radius is A = A₀ · exp(shared + residual), one shared value for the capture's lens and a small residual
      for each group of views (a view, or the slices of one stack).

    All parameters exist from construction on (an optimizer sees them); :meth:`set_start` fills them later, when the
    photographs have been looked at. Views whose pupil is 0 are pinholes and stay so.
    """

    start_inverse_focus: Tensor
    start_aperture: Tensor
    focal_px: Tensor
    group: Tensor
    focus_origin: Tensor
    aperture_origin: Tensor
    focus_uncertainty: Tensor
    aperture_uncertainty: Tensor

    def __init__(self, num_views: int, group: Tensor | None = None) -> None:
        """``group``: [V] integers, equal for the views that share one pupil; a group of its own for each if absent."""
        super().__init__()
        group = torch.arange(num_views) if group is None else torch.unique(group, return_inverse=True)[1]
        self.register_buffer("group", group)
        self.register_buffer("start_inverse_focus", torch.ones(num_views))
        self.register_buffer("start_aperture", torch.zeros(num_views))
        self.register_buffer("focal_px", torch.ones(num_views))
        # Where the start came from, `Origin`, and its standard deviation in scene units, infinite where it was not
        # estimated: kept for the reports of a training that is resumed.
        for name in ("focus", "aperture"):
            self.register_buffer(f"{name}_origin", torch.zeros(num_views, dtype=torch.int64))
            self.register_buffer(f"{name}_uncertainty", torch.full((num_views,), math.inf))
        self.focus_offset_px = nn.Parameter(torch.zeros(num_views))
        self.log_aperture_shared = nn.Parameter(torch.zeros(()))
        self.log_aperture_residual = nn.Parameter(torch.zeros(int(group.max()) + 1 if num_views else 0))

    @property
    def num_views(self) -> int:
        return self.focus_offset_px.shape[0]

    @torch.no_grad()
    def set_start(self, focus_distance: Tensor, aperture_radius: Tensor, focal_px: Tensor) -> None:
        """Begin from these values ([V] each, scene units and pixels) and forget what was learnt.

        Raises:
            ValueError: a value is not finite, a focus distance or focal length not positive, a pupil negative.
        """
        if not (torch.isfinite(focus_distance).all() and (focus_distance > 0).all()):
            raise ValueError(f"focus distances must be positive and finite, got {focus_distance.tolist()}")
        if not (torch.isfinite(aperture_radius).all() and (aperture_radius >= 0).all()):
            raise ValueError(f"pupil radii must be finite and not negative, got {aperture_radius.tolist()}")
        if not (torch.isfinite(focal_px).all() and (focal_px > 0).all()):
            raise ValueError(f"focal lengths must be positive and finite, got {focal_px.tolist()}")
        self.start_inverse_focus.copy_(1.0 / focus_distance)
        self.start_aperture.copy_(aperture_radius)
        self.focal_px.copy_(focal_px)
        for parameter in self.parameters():
            parameter.zero_()

    def aperture_radius(self) -> Tensor:
        """Return the pupil radius of every view [V], scene units."""
        return self.start_aperture * torch.exp(self.log_aperture_shared + self.log_aperture_residual[self.group])

    def inverse_focus_distance(self) -> Tensor:
        """Return 1/d of every view [V]; it may pass 0 (focus beyond infinity) while learning, which the law allows."""
        px_per_inverse_length = 2.0 * SIGMA_PER_DIAMETER * self.start_aperture * self.focal_px
        return self.start_inverse_focus + self.focus_offset_px / px_per_inverse_length.clamp(min=1e-12)

    @torch.no_grad()
    def set_inverse_focus_distance(self, view: int, value: float) -> None:
        """Move one view's plane of focus to the distance 1/``value``; a pinhole has none."""
        px_per_inverse_length = 2.0 * SIGMA_PER_DIAMETER * self.start_aperture[view] * self.focal_px[view]
        self.focus_offset_px[view] = (value - self.start_inverse_focus[view]) * px_per_inverse_length

    def focus_distance(self) -> Tensor:
        """Return d of every view [V], scene units; ``inf`` at and beyond infinity."""
        inverse = self.inverse_focus_distance()
        return torch.where(inverse > 0, 1.0 / inverse.clamp(min=1e-12), torch.full_like(inverse, math.inf))

    def blur_variance(self, view: int, depth: Tensor, focal_px: float | Tensor) -> Tensor:
        """Return the variance σ² of the blur in px² at ``depth``; arguments as `coc_radius`."""
        sigma = 2.0 * SIGMA_PER_DIAMETER * self.coc_radius(view, depth, focal_px)
        return sigma * sigma

    def coc_radius(self, view: int, depth: Tensor, focal_px: float | Tensor) -> Tensor:
        """Return `coc_radius_px` at ``depth`` (any shape) for an image of this view with the focal length ``focal_px``.

        Differentiable in the depth and in the lens.
        """
        strength = self.aperture_radius()[view] * focal_px
        return coc_radius_px(depth, self.inverse_focus_distance()[view], strength)

    def blur_radius(self, view: int, depth: Tensor, focal_px: float | Tensor) -> Tensor:
        """Return `coc_radius` without its sign."""
        return self.coc_radius(view, depth, focal_px).abs()

    @torch.no_grad()
    def relative_depth(self, view: int, depth: Tensor) -> Tensor:
        """Return z/d − 1: how far behind the plane of focus, as a share of its distance; −1 if that is infinite."""
        return depth * self.inverse_focus_distance()[view] - 1.0

    def given_penalty(self) -> Tensor:
        """Return how far given values are left behind: mean squares of the change of log pupil and of focus.

        A plane of focus moved by one pixel of blur sigma counts as a pupil changed by `FOCUS_PX_AS_LOG_APERTURE`.
        """
        focus_given, aperture_given = self.focus_origin == Origin.GIVEN, self.aperture_origin == Origin.GIVEN
        change = self.log_aperture_shared + self.log_aperture_residual[self.group]
        squares = (
            change.square() * aperture_given + (FOCUS_PX_AS_LOG_APERTURE * self.focus_offset_px).square() * focus_given
        )
        return squares.mean()

    def estimated_penalty(self) -> Tensor:
        """Return how far pupils fell below what was estimated: mean square, in its deviations. Above it they are free.

        The estimate takes the sharpest that a texture was seen for sharp, so it is a lower bound.
        """
        change = self.log_aperture_shared + self.log_aperture_residual[self.group]
        known = (self.aperture_origin == Origin.ESTIMATED) & self.aperture_uncertainty.isfinite()
        known &= self.start_aperture > 0
        deviation = torch.where(known, self.aperture_uncertainty / self.start_aperture.clamp(min=1e-12), 1.0)
        return (torch.where(known, change.clamp(max=0.0), 0.0) / deviation).square().mean()

    def residual_penalty(self) -> Tensor:
        """Return the mean square of the residuals of log pupil: the prior that one lens took all photographs."""
        return self.log_aperture_residual.square().mean()
