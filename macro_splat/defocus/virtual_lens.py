"""A lens that need not have taken any photograph: the sharp model seen through whatever focus and pupil one likes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.defocus.thin_lens import coc_radius_px
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

    def coc_radius(self, depth: Tensor, focal_px: float | Tensor) -> Tensor:
        """Return `coc_radius_px` at ``depth`` for an image with the focal length ``focal_px``."""
        return coc_radius_px(depth, 1.0 / self.focus_distance, self.aperture_radius * focal_px)

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
        """Return the photograph [H, W, 3] that this lens takes of a sharp picture, see `defocus_picture`.

        Args:
            picture: [H, W, 3] sRGB, composited with its background.
            depth, alpha: [H, W, 1] of the render.
            focal_px: focal length in its pixels.
            linear_light, depth_edges: see `defocus_picture`.
        """
        if self.aperture_radius == 0:
            return picture
        coc_radius = self.coc_radius(depth, focal_px)
        return defocus_picture(picture, coc_radius, alpha, linear_light=linear_light, depth_edges=depth_edges)
