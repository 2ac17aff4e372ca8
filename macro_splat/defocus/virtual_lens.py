"""A lens that need not have taken any photograph: the sharp model seen through whatever focus and pupil one likes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.errors import MacroSplatError


@dataclass(frozen=True)
class VirtualLens:
    """Focus distance and entrance pupil of a thin lens, in the model's units.

    Raises:
        MacroSplatError: a value that no lens has.
    """

    focus_distance: float
    """From the centre of projection to the plane of focus, > 0; ``inf`` is allowed."""
    aperture_radius: float
    """Of the entrance pupil, >= 0 and finite; 0 is a pinhole, which sees all sharp."""

    def __post_init__(self) -> None:
        if not self.focus_distance > 0:  # NaN too
            raise MacroSplatError(f"focus distance {self.focus_distance:g}: give one greater than 0; inf is allowed")
        if not 0 <= self.aperture_radius < math.inf:
            raise MacroSplatError(f"aperture radius {self.aperture_radius:g}: give a finite one, 0 for all sharp")

    def signed_radius(self, depth: Tensor, focal_px: float | Tensor) -> Tensor:
        """Radius of the circle of confusion, in px of an image with the focal length ``focal_px``, at ``depth``.

        Negative before the plane of focus, positive behind it; the law is that of `thin_lens`. Depths at or behind the
        camera give 0.

        Args:
            depth: z along the optical axis, any shape, model units.
        """
        in_front = depth > 0
        inverse_depth = 1.0 / torch.where(in_front, depth, torch.ones_like(depth))
        radius = self.aperture_radius * focal_px * (1.0 / self.focus_distance - inverse_depth)
        return torch.where(in_front, radius, torch.zeros_like(radius))

    def photograph(
        self,
        picture: Tensor,
        depth: Tensor,
        alpha: Tensor,
        focal_px: float | Tensor,
        *,
        linear_light: bool = True,
        depth_edges: bool = True,
    ) -> Tensor:
        """The photograph [H, W, 3] that this lens takes of a sharp picture, as `defocus_picture`.

        Args:
            picture: [H, W, 3] sRGB, composited with its background.
            depth, alpha: [H, W, 1] of the render.
            focal_px: focal length in its pixels.
            linear_light, depth_edges: see `defocus_picture`.
        """
        if self.aperture_radius == 0:
            return picture
        circle = self.signed_radius(depth, focal_px)
        return defocus_picture(picture, circle, alpha, linear_light=linear_light, depth_edges=depth_edges)


__all__ = ["VirtualLens"]
