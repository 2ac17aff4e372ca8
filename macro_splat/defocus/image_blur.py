"""Defocus as an operator on the rendered picture: every pixel gathers the light of its circle of confusion."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from macro_splat.image.disc_blur import disc_blur
from macro_splat.image.transfer import linear_to_srgb, srgb_to_linear

COVERED = 0.5
"""Opacity from which a pixel's depth is its own; below it is mixed with what lies around."""
FIRST_CELL = 4
"""Pixels along the smallest squares over which a radius is averaged to be carried past a silhouette."""


def defocus_picture(picture: Tensor, radius: Tensor, alpha: Tensor, *, linear_light: bool = True) -> Tensor:
    """Blur a sharp picture as a lens does.

    Args:
        picture: [H, W, 3] sRGB, composited with its background; values above 1 are highlights.
        radius: [H, W, 1] radius of the circle of confusion at the rendered depth, pixels, ≥ 0.
        alpha: [H, W, 1] opacity of the render.
        linear_light: add up light; False adds up the sRGB values.

    Returns:
        [H, W, 3] sRGB.
    """
    radius = extend_radius(radius, alpha)
    if not linear_light:
        return disc_blur(picture, radius)
    return linear_to_srgb(disc_blur(srgb_to_linear(picture), radius))


def extend_radius(radius: Tensor, alpha: Tensor) -> Tensor:
    """Carry the radius past the silhouette, as far as it reaches: a blurred object spreads into the space beside it.

    Where there is nothing, a pixel takes the radius of the nearest covered ones (averages over ever larger squares,
    weighted by opacity); beyond a radius from them it is 0. No gradient flows through what is carried.

    Args:
        radius, alpha: [H, W, 1].

    Returns:
        [H, W, 1]
    """
    own = (alpha / COVERED).clamp(max=1.0).detach()
    if bool((own >= 1.0).all()):
        return radius
    with torch.no_grad():
        around = _average_around(radius.detach(), own)
    return own * radius + (1.0 - own) * around


def _average_around(radius: Tensor, weight: Tensor) -> Tensor:
    height, width, _ = radius.shape
    level = torch.stack([(radius * weight)[..., 0], weight[..., 0]])[None]
    level = F.avg_pool2d(level, FIRST_CELL, ceil_mode=True, count_include_pad=False)
    result = torch.zeros_like(level)
    cell = FIRST_CELL
    largest = float(radius.max())
    while True:
        # Averages over three cells each way, so that cells need not be aligned with what they look for.
        smooth = F.avg_pool2d(level, 3, stride=1, padding=1, count_include_pad=False)
        if cell > FIRST_CELL:
            smooth = F.interpolate(smooth, scale_factor=cell // FIRST_CELL, mode="bilinear")
            smooth = smooth[..., : result.shape[2], : result.shape[3]]
        mean = smooth[:, :1] / smooth[:, 1:].clamp(min=1e-6)
        # This far away light arrives only from discs as large as the squares looked at.
        reached = mean >= cell // 2 if cell > FIRST_CELL else torch.ones_like(mean, dtype=torch.bool)
        found = (result[:, 1:] == 0) & (smooth[:, 1:] > 0.02) & reached
        result = torch.where(found, torch.cat([mean, torch.ones_like(mean)], dim=1), result)
        cell *= 2
        if largest < cell // 2 or min(level.shape[2:]) < 2:
            break
        level = F.avg_pool2d(level, 2, ceil_mode=True, count_include_pad=False)
    around = F.interpolate(result[:, :1], scale_factor=FIRST_CELL, mode="bilinear")
    return around[0, 0, :height, :width, None]
