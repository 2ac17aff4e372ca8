"""The thin-lens law of defocus.

A point at depth z in front of a lens with an entrance pupil of radius A that is focused at the distance d is imaged
as a disc, the circle of confusion, of diameter

    c = 2 A · fl · |1/d − 1/z|   pixels,

with fl the focal length of the pinhole camera in pixels (image distance over pixel pitch). This is exact for a thin
lens at every magnification when d and z are measured from the entrance pupil: by similar triangles the cone of light
cuts the plane of focus in a disc of diameter 2A·|z − d|/z, which is imaged with fl/d pixels per unit. Written with
the lens's own focal length f and the f-number N (A = f/2N) it is the textbook form c = f²/N · |z − d| / (z (d − f)),
because fl·pitch = f d/(d − f).
"""

from __future__ import annotations

import math

from torch import Tensor

SIGMA_PER_DIAMETER = 0.25
"""A uniform disc of radius R has the variance R²/4 per axis: the Gaussian of the same variance has sigma = R/2."""


def circle_of_confusion_px(depth: Tensor, focus_distance: Tensor | float, aperture_radius, focal_px) -> Tensor:
    """Signed diameter of the circle of confusion, in pixels: positive behind the plane of focus, negative before it.

    Args:
        depth: z along the optical axis, any shape, in scene units, > 0.
        focus_distance: distance of the plane of focus in the same units; ``inf`` is allowed.
        aperture_radius: radius of the entrance pupil in the same units; 0 is a pinhole.
        focal_px: focal length of the pinhole camera in pixels.
    """
    return 2.0 * aperture_radius * focal_px * (1.0 / focus_distance - 1.0 / depth)


def blur_sigma_px(depth: Tensor, focus_distance: Tensor | float, aperture_radius, focal_px) -> Tensor:
    """Standard deviation, in pixels, of the Gaussian with the variance of the circle of confusion (see above)."""
    diameter = circle_of_confusion_px(depth, focus_distance, aperture_radius, focal_px)
    return SIGMA_PER_DIAMETER * diameter.abs()


def macro_blur_sigma_px(depth: Tensor, focus_distance: float, aperture_radius: float, focal_px: float) -> Tensor:
    """The macro approximation σ = α·|z − d| with α = A·fl/(2 d²), of which d/z times is exact.

    It holds while |z − d| ≪ d: at 5 % from the plane of focus it is 5 % off. Kept to compare with publications that
    use it; everything here uses the exact law, which costs nothing more.
    """
    alpha = 2.0 * SIGMA_PER_DIAMETER * aperture_radius * focal_px / focus_distance**2
    return alpha * (depth - focus_distance).abs()


def depth_of_field(
    focus_distance: float, aperture_radius: float, focal_px: float, max_diameter_px: float = 1.0
) -> tuple[float, float]:
    """Nearest and farthest depth whose circle of confusion is at most ``max_diameter_px`` wide, in scene units.

    The farthest is ``inf`` beyond the hyperfocal distance; a pinhole (aperture 0) gives (0, inf).
    """
    if aperture_radius <= 0:
        return 0.0, math.inf
    slack = max_diameter_px / (2.0 * aperture_radius * focal_px)
    inverse_focus = 1.0 / focus_distance
    far = math.inf if inverse_focus <= slack else 1.0 / (inverse_focus - slack)
    return 1.0 / (inverse_focus + slack), far
