"""Defocus as an operator on the rendered picture: every pixel gathers the light of its circle of confusion."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from macro_splat.image.disc_blur import disc_blur
from macro_splat.image.transfer import linear_to_srgb, srgb_to_linear

COVERED = 0.5
"""Opacity from which a pixel's depth is its own; below it is mixed with what lies around."""


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
    result = torch.zeros_like(level)
    cell = 1
    while cell < 2 * max(height, width):
        if cell > 1:
            level = F.avg_pool2d(level, 2, ceil_mode=True, count_include_pad=False)
        # Averages over three cells each way, so that cells need not be aligned with what they look for.
        smooth = F.avg_pool2d(level, 3, stride=1, padding=1, count_include_pad=False)
        up = F.interpolate(smooth, scale_factor=cell, mode="bilinear") if cell > 1 else smooth
        up = up[..., :height, :width]
        mean = up[:, :1] / up[:, 1:].clamp(min=1e-6)
        # This far away light arrives only from discs as large as the squares looked at.
        found = (result[:, 1:] == 0) & (up[:, 1:] > 0.02) & (mean + 1.0 >= cell)
        result = torch.where(found, torch.cat([mean, torch.ones_like(mean)], dim=1), result)
        cell *= 2
        if not bool((mean + 1.0 >= cell).any()):
            break
    return result[0, 0, :, :, None]
