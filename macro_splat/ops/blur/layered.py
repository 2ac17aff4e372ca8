"""Disc blur of a picture of two layers: what is in front of something else, and what lies behind it.

`disc_blur` is right as long as depth changes smoothly. At the edge of a surface in front of another it is not: blur of
what is in front spreads over what is sharp behind it, and what is sharp in front does not spread into the blur behind
it. With m the share of the front layer in a pixel of light P, and G the gathering with a layer's own radii,

    blurred = G_front(mP) + (1 − G_front(m)) · G_back((1−m)P) / G_back(1−m).

The back layer is normalised by what is seen of it, so it goes on unchanged behind the front one, and where both are
one surface after all the two parts add up to it again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from macro_splat.ops.blur.disc import disc_blur
from macro_splat.ops.blur.layers import MIN_SEEN, Layers


def layered_blur(light: Tensor, radius: Tensor, own: Tensor, carried: Tensor, layers: Layers | None) -> Tensor:
    """Return the mean of the light over the disc of every pixel, or over those of two layers at an edge between them.

    Differentiable in the light and in the pixels' own radii.

    Args:
        light: [H, W, 3] linear.
        radius: [H, W] radius of every pixel's disc in pixels, ≥ 0.
        own: [H, W] in 0..1, how far that radius is the pixel's own; the rest is `carried` [H, W], from elsewhere.
        layers: the edges, if there are any.

    Returns:
        [H, W, 3].
    """
    if light.device.type == "cpu" and light.dtype == radius.dtype == torch.float32:
        from macro_splat.ops.blur.layered_cpu import FusedLayeredBlur  # starts the compiler, so only where it is used

        return FusedLayeredBlur.apply(light, radius, own, carried, layers)
    return _layered_blur_by_parts(light, radius, own, carried, layers)


def _layered_blur_by_parts(
    light: Tensor, radius: Tensor, own: Tensor, carried: Tensor, layers: Layers | None
) -> Tensor:
    """Do the same one layer after the other, in torch's own functions."""
    whole = own * radius + (1 - own) * carried
    if layers is None:
        return disc_blur(light, whole)
    front_radius = torch.where(layers.in_front, radius, layers.front_radius) * layers.edge
    back_radius = torch.where(layers.behind, radius, layers.back_radius) * layers.edge
    share = layers.share[..., None]
    near = disc_blur(torch.cat([share * light, share], dim=-1), front_radius)
    far = disc_blur(torch.cat([(1 - share) * light, 1 - share], dim=-1), back_radius)
    seen = far[..., 3:]
    layered = near[..., :3] + (1 - near[..., 3:]) * far[..., :3] / seen.clamp(min=MIN_SEEN)
    two = layers.edge & (seen[..., 0] > MIN_SEEN)
    blurred = disc_blur(light, torch.where(two, torch.zeros_like(whole), whole))
    return torch.where(two[..., None], layered, blurred)
