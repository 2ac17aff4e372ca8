"""Blur of an image by discs whose radius differs from pixel to pixel: what a lens out of focus does.

Each pixel becomes the mean of the image over the disc around its centre, pixels counted by the share of their area
that the disc covers, row by row: in the row dy away the disc reaches on average over that row's height

    h(R, dy) = ∫ √(R² − t²) dt,  t from dy − ½ to dy + ½ within ±R,

to either side, so a row's part is the difference of two values of its running sum, wherever they fall between pixels.
The weights 2h add up to πR² exactly, R → 0 leaves the image as it is, and everything is smooth in R. The cost per
pixel grows with the disc's height, not with its area, and no radius is too large. Outside the image nothing is known:
a disc that reaches over the border is normalised by what lies inside.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TABLE_STEPS = 128
"""Half-widths are tabulated for this many radii per pixel, and interpolated."""
TABLE_ROWS = 64
"""Rows of the largest table; the few larger discs are worked out, for tables grow with the square of the radius."""
MIN_RADIUS = 1.0 / 32.0
"""Smaller discs leave the image as it is, and have no slope: their reach is a thousandth of a pixel."""


def disc_blur(image: Tensor, radius: Tensor) -> Tensor:
    """Return the mean of the image over a disc around every pixel, one row of the discs at a time.

    Differentiable in both. In torch's own functions, for any device and dtype; `layered` has kernels for processors.

    Args:
        image: [H, W, C] floating point, in linear light where it shows light.
        radius: [H, W] or [H, W, 1] radius of every pixel's disc in pixels, ≥ 0; same dtype and device.

    Returns:
        [H, W, C].

    Raises:
        ValueError: other shapes than these.
    """
    if image.dim() != 3 or radius.shape not in (image.shape[:2], (*image.shape[:2], 1)):
        raise ValueError(f"disc_blur: image {list(image.shape)} and radius {list(radius.shape)}, wanted [H,W,C], [H,W]")
    height, width, _ = image.shape
    radius = radius.reshape(height, width)
    sums = torch.nn.functional.pad(image.cumsum(dim=1), (0, 0, 1, 1))
    sums[:, -1] = sums[:, -2]
    radius = radius.clamp(min=MIN_RADIUS)
    column = torch.arange(width, device=image.device, dtype=image.dtype) + 0.5
    y, x = torch.arange(height, device=image.device)[:, None], column[None, :]

    def integral(t: float) -> Tensor:
        share = t / radius
        # Where the row's edge is outside the disc, the slope of the root must not be asked for: it is infinite.
        inside = share.abs() < 1
        safe = torch.where(inside, share, torch.zeros_like(share))
        whole = torch.full_like(share, math.copysign(math.pi / 2, t))
        return 0.5 * radius**2 * torch.where(inside, safe * (1 - safe**2).sqrt() + safe.asin(), whole)

    def running_sum(row: Tensor, at: Tensor) -> Tensor:
        whole = at.detach().floor().long().clamp(max=width)
        low, high = sums[row, whole], sums[row, whole + 1]
        return low + (high - low) * (at - whole)[..., None]

    total, area = torch.zeros_like(image), torch.zeros_like(radius)
    reach = math.ceil(float(radius.detach().max()) + 0.5) - 1 if radius.numel() else 0
    for dy in range(-reach, reach + 1):
        # The disc is symmetric; for dy = 0 both halves of the row are the same.
        half = integral(abs(dy) + 0.5) - integral(abs(dy) - 0.5)
        row = (y + dy).clamp(0, height - 1)
        left, right = (x - half).clamp(min=0), (x + half).clamp(max=width)
        inside = ((y + dy >= 0) & (y + dy < height)).to(image.dtype)
        total = total + (running_sum(row, right) - running_sum(row, left)) * inside[..., None]
        area = area + (right - left) * inside
    return total / area[..., None]


def disc_weights(radius: float) -> NDArray[np.float64]:
    """Return the weights [K, K] of `disc_blur` for one radius, K odd; they add up to 1."""
    radius = max(radius, MIN_RADIUS)
    reach = max(math.ceil(radius - 0.5), 0)
    across = np.arange(-reach, reach + 1)
    half = _half_widths(np.array([radius]), np.abs(across))[0][:, None]
    left, right = np.maximum(across - 0.5, -half), np.minimum(across + 0.5, half)
    weights = np.maximum(right - left, 0.0)
    return weights / weights.sum()


def _half_widths(radius: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return h(R, dy) of the module's text. [K] radii > 0, [n] rows dy ≥ 0 -> [K, n]"""

    def integral(t: NDArray) -> NDArray:
        t = np.clip(t / r, -1.0, 1.0)
        return 0.5 * r * r * (t * np.sqrt(1.0 - t * t) + np.arcsin(t))

    r = radius[:, None]
    return integral(rows + 0.5) - integral(rows - 0.5)


def half_width_table(largest: float) -> NDArray[np.float64]:
    """Return a table that goes up to the radius ``largest``, or as far as tables go."""
    # Rows from the centre up that the disc touches, in steps of eight so that few tables are made.
    rows = math.ceil(min(TABLE_ROWS - 9.0, largest) + 0.5) + 1  # in this order, not-a-number gives the largest
    return _table(8 * math.ceil(rows / 8))


@cache
def _table(rows: int) -> NDArray[np.float64]:
    """Return half-widths of radii k / TABLE_STEPS, from 0 to the largest that needs only this many rows. [K, rows]"""
    radius = np.arange(TABLE_STEPS * rows - TABLE_STEPS // 2 + 1) / TABLE_STEPS
    radius[0] = 1.0  # of no use: MIN_RADIUS is one step
    table = _half_widths(radius, np.arange(rows))
    table[0] = 0.0
    return table
