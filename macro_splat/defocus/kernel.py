"""The defocus kernel of a pixel, as numbers: what the lens made of the light of a point at its depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from macro_splat.defocus.thin_lens import SIGMA_PER_DIAMETER
from macro_splat.ops.blur.disc import disc_weights

Shape = Literal["disc", "gaussian"]
GAUSSIAN_REACH = 4.0
"""Sigmas to which a Gaussian is followed: what lies beyond is less than 1/3000 of it."""


@dataclass(frozen=True)
class Kernel:
    """The blur of one pixel; lengths in pixels of the picture, ``depth`` in the units of the lens."""

    depth: float
    """z along the optical axis of what the pixel shows; 0 where it shows nothing."""
    circle_of_confusion_px: float
    """Signed diameter: negative before the plane of focus, positive behind it."""
    sigma_px: float
    """Standard deviation of the blur per axis, of the Gaussian or of the disc (a quarter of its diameter)."""
    weights: NDArray[np.float64]
    """[K, K], K odd, row by row as the picture: the share of every pixel around. They add up to 1."""


def kernel_of_coc(diameter_px: float, shape: Shape, depth: float) -> Kernel:
    """Return the kernel of a circle of confusion of this signed diameter.

    Args:
        diameter_px: signed, in pixels.
        shape: "disc": the circle itself, by the area that it covers of every pixel, which adds about 1/12 px² to the
            variance of discs wider than a few pixels. "gaussian": of the same variance, sampled at pixels' centres.
        depth: only kept.

    Raises:
        ValueError: the diameter is not finite.
    """
    if not math.isfinite(diameter_px):
        raise ValueError(f"a circle of confusion has a finite diameter, not {diameter_px}")
    sigma = SIGMA_PER_DIAMETER * abs(diameter_px)
    weights = disc_weights(0.5 * abs(diameter_px)) if shape == "disc" else gaussian_weights(sigma)
    return Kernel(depth, diameter_px + 0.0, sigma, weights)  # no −0


def gaussian_weights(sigma: float) -> NDArray[np.float64]:
    """Return a Gaussian sampled at pixels' centres, as splats are, to `GAUSSIAN_REACH`. [K, K], K odd; sum 1."""
    reach = math.ceil(GAUSSIAN_REACH * sigma)
    if sigma < 0.1:  # its neighbours get less than 1e-20, and the division below is safe
        return np.pad(np.ones((1, 1)), reach)
    row = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights = row[:, None] * row[None, :]
    return weights / weights.sum()
