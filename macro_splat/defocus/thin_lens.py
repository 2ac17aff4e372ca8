"""The thin-lens law of defocus.

A point at depth z in front of a lens with an entrance pupil of radius A that is focused at the distance d is imaged
as a disc, the circle of confusion, of radius

    r = A · fl · |1/d − 1/z|   pixels,

with fl the focal length of the pinhole camera in pixels (image distance over pixel pitch). This is exact for a thin
lens at every magnification when d and z are measured from the entrance pupil: by similar triangles the cone of light
cuts the plane of focus in a disc of radius A·|z − d|/z, which is imaged with fl/d pixels per unit. Written with the
lens's own focal length f and the f-number N (A = f/2N) it is the textbook form 2r = f²/N · |z − d| / (z (d − f)),
because fl·pitch = f d/(d − f).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIGMA_PER_DIAMETER = 0.25
"""A uniform disc of radius R has the variance R²/4 per axis: the Gaussian of the same variance has sigma = R/2."""


def coc_radius_px(depth: Tensor, inverse_focus: float | Tensor, strength: float | Tensor) -> Tensor:
    """Return the signed radius of the circle of confusion: negative before the plane of focus, positive behind it.

    Differentiable in all arguments.

    Args:
        depth: z along the optical axis, any shape, in scene units. Depths at or behind the camera give 0.
        inverse_focus: 1/d, one over the distance of the plane of focus in the same units; 0 is a focus at infinity.
        strength: A·fl, radius of the entrance pupil in the same units times the focal length of the pinhole camera in
            pixels; 0 is a pinhole.

    Returns:
        Pixels, shape of the depth.
    """
    in_front = depth > 0
    inverse_depth = 1.0 / torch.where(in_front, depth, torch.ones_like(depth))
    radius = strength * (inverse_focus - inverse_depth)
    return torch.where(in_front, radius, torch.zeros_like(radius))


def depth_of_field(
    inverse_focus: float | NDArray[np.float64], strength: float | NDArray[np.float64], max_diameter_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the nearest and the farthest depth whose circle of confusion is at most ``max_diameter_px`` wide.

    Args:
        inverse_focus, strength: see `coc_radius_px`.

    Returns:
        In scene units. The farthest depth is ``inf`` beyond the hyperfocal distance; a pinhole gives (0, inf).
    """
    with np.errstate(divide="ignore"):
        slack = np.divide(max_diameter_px, np.multiply(2.0, strength))
    return distance_of(inverse_focus + slack), distance_of(inverse_focus - slack)


def distance_of(inverse: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1/x; ``inf`` at 0 and below, which is at and beyond infinity."""
    positive = inverse > 0
    return np.where(positive, 1.0 / np.where(positive, inverse, 1.0), np.inf)
