"""Numbers as colours: signed circles of confusion, differences, and what is in focus."""

from __future__ import annotations

import functools
import math

import matplotlib
import torch
from torch import Tensor

DIVERGING = "coolwarm"
"""Perceptual, by K. Moreland (2009): blue before the plane of focus, light grey in it, red behind it."""
SEQUENTIAL = "inferno"
LARGEST_DIFFERENCE = 0.25
"""Difference of sRGB values that gets the brightest colour."""
IN_FOCUS_PX = 1.0
"""Radius of the circle of confusion up to which an edge counts as in focus."""
EDGE = 0.04
"""Difference of brightness from pixel to pixel that makes an edge."""
PEAKING = (1.0, 0.15, 0.1)


def signed_colors(values: Tensor, full_scale: float) -> Tensor:
    """Return colours [H, W, 3] of signed values [H, W, 1]: 0 in the middle of the map, ±``full_scale`` at its ends."""
    return _look_up(DIVERGING, 0.5 + 0.5 * values / full_scale)


def coc_colors(coc_radius: Tensor, alpha: Tensor) -> Tensor:
    """Return colours of signed circles of confusion, black where nothing is.

    The ends of the map are the power of two, in pixels of diameter and at least 2, that holds all but 2 % of the
    covered pixels: a scale that seldom changes as the camera moves.

    Args:
        coc_radius: [H, W, 1] signed radius in pixels. alpha: [H, W, 1] opacity of the render.

    Returns:
        [H, W, 3] in 0..1.
    """
    diameters = 2.0 * coc_radius[alpha > 0.5].abs()
    sample = diameters[:: max(1, len(diameters) // 10_000)]
    large = float(torch.quantile(sample, 0.98)) if len(sample) else 0.0
    full_scale = 2.0 ** math.ceil(math.log2(max(large, 2.0)))
    return signed_colors(2.0 * coc_radius, full_scale) * alpha.clamp(0.0, 1.0)


def difference_colors(picture: Tensor, other: Tensor) -> Tensor:
    """Return colours [H, W, 3] of the mean absolute difference of two pictures [H, W, 3]: black where there is none."""
    difference = (picture - other).abs().mean(dim=-1, keepdim=True)
    return _look_up(SEQUENTIAL, difference / LARGEST_DIFFERENCE)


def focus_peaking(sharp: Tensor, seen: Tensor, coc_radius: Tensor, alpha: Tensor) -> Tensor:
    """Return the picture as the lens saw it, with the edges that are in focus marked red.

    Args:
        sharp, seen: [H, W, 3] without and with the lens's blur.
        coc_radius: [H, W, 1] radius in pixels, signed or not.
        alpha: [H, W, 1] opacity of the render.
    """
    brightness = sharp.mean(dim=-1)
    edge = torch.zeros_like(brightness)
    down, right = brightness.diff(dim=0).abs(), brightness.diff(dim=1).abs()
    edge[1:] = down
    edge[:, 1:] = torch.maximum(edge[:, 1:], right)
    marked = (edge[..., None] > EDGE) & (coc_radius.abs() <= IN_FOCUS_PX) & (alpha > 0.5)
    return torch.where(marked, seen.new_tensor(PEAKING), seen)


def _look_up(name: str, values: Tensor) -> Tensor:
    index = (values[..., 0].clamp(0.0, 1.0) * 255.0).round().long()
    return _table(name, values.device)[index]


@functools.cache
def _table(name: str, device: torch.device) -> Tensor:
    colors = matplotlib.colormaps[name](range(256))[:, :3]
    return torch.from_numpy(colors).float().to(device)
