"""Defocus as an operator on the rendered picture: every pixel gathers the light of its circle of confusion."""

from __future__ import annotations

import torch
from torch import Tensor

from macro_splat.image.disc_blur import disc_blur
from macro_splat.image.nearest import carry_to_nearest
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

    Where there is nothing, a pixel takes the radius of the nearest covered pixel, if a disc of that radius reaches
    from there to here; otherwise it is 0. No gradient flows through what is carried.

    Args:
        radius, alpha: [H, W, 1].

    Returns:
        [H, W, 1]
    """
    own = (alpha / COVERED).clamp(max=1.0).detach()
    covered = own[..., 0] >= 1.0
    if bool(covered.all()):
        return radius
    nearest, distance = carry_to_nearest(radius[..., 0], covered)
    carried = torch.where(distance <= nearest + 1.5, nearest, torch.zeros_like(nearest))[..., None]
    return own * radius + (1.0 - own) * carried
