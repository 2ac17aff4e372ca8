"""Disc blur of a picture of two layers: what is in front of something else, and what lies behind it.

`disc_blur` is right as long as depth changes smoothly. At the edge of a surface in front of another it is not: blur of
what is in front spreads over what is sharp behind it, and what is sharp in front does not spread into the blur behind
it. With m the share of the front layer in a pixel of light P, and G the gathering with a layer's own radii,

    blurred = G_front(mP) + (1 − G_front(m)) · G_back((1−m)P) / G_back(1−m).

The back layer is normalised by what is seen of it, so it goes on unchanged behind the front one, and where both are
one surface after all the two parts add up to it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from macro_splat.ops.blur.disc import disc_blur, half_width_table

SEEN = 0.05
"""Share of its disc that a pixel must see of the back layer, for that to be known behind the front one."""


@dataclass
class Layers:
    """Where a picture is taken for two layers, and how far these reach. No gradient flows through any of it."""

    edge: Tensor
    """[H, W] bool: pixels at which two surfaces meet."""
    share: Tensor
    """[H, W] in 0..1: how much of the pixel belongs to the front layer; 0 off the edges."""
    in_front: Tensor
    """[H, W] bool: pixels of the front layer."""
    behind: Tensor
    """[H, W] bool: pixels of the back layer."""
    front_radius: Tensor
    """[H, W] radius of the front layer where it is not the pixel's own."""
    back_radius: Tensor
    """[H, W] radius of the back layer where it is not the pixel's own."""


def layered_blur(light: Tensor, radius: Tensor, own: Tensor, carried: Tensor, layers: Layers | None) -> Tensor:
    """Mean of the light over the disc of every pixel, or over those of two layers at an edge between them.

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
        return _FusedLayeredBlur.apply(light, radius, own, carried, layers)
    return _layered_blur_by_parts(light, radius, own, carried, layers)


def _layered_blur_by_parts(
    light: Tensor, radius: Tensor, own: Tensor, carried: Tensor, layers: Layers | None
) -> Tensor:
    """The same, one layer after the other."""
    whole = own * radius + (1 - own) * carried
    if layers is None:
        return disc_blur(light, whole)
    front_radius = torch.where(layers.in_front, radius, layers.front_radius) * layers.edge
    back_radius = torch.where(layers.behind, radius, layers.back_radius) * layers.edge
    share = layers.share[..., None]
    near = disc_blur(torch.cat([share * light, share], dim=-1), front_radius)
    far = disc_blur(torch.cat([(1 - share) * light, 1 - share], dim=-1), back_radius)
    seen = far[..., 3:]
    layered = near[..., :3] + (1 - near[..., 3:]) * far[..., :3] / seen.clamp(min=SEEN)
    two = layers.edge & (seen[..., 0] > SEEN)
    blurred = disc_blur(light, torch.where(two, torch.zeros_like(whole), whole))
    return torch.where(two[..., None], layered, blurred)


class _FusedLayeredBlur(torch.autograd.Function):
    """The same by kernels for the CPU, in one go over the pixels."""

    @staticmethod
    def forward(ctx: Any, light: Tensor, radius: Tensor, own: Tensor, carried: Tensor, layers: Layers | None) -> Tensor:
        from macro_splat.ops.blur.layered_cpu import blur  # starts the compiler, so only where it is used

        light = light.contiguous()
        largest = max(float(radius.detach().max()), float(carried.max()))
        if layers is not None:
            planes = (layers.share, layers.front_radius, layers.back_radius)
            # 0: one surface; an edge, whose pixel is of neither layer: 1, of the front one: 2, of the back one: 3.
            kind = layers.edge.to(torch.int8) + (layers.edge & layers.in_front) + 2 * (layers.edge & layers.behind)
            largest = max(largest, float(layers.front_radius.max()), float(layers.back_radius.max()))
        else:
            none = torch.zeros_like(carried)
            planes, kind = (none, none, none), torch.zeros_like(radius, dtype=torch.int8)
        ctx.shape, ctx.plan = radius.shape, tuple(_flat(t) for t in (radius, own, carried, *planes, kind))
        ctx.table = half_width_table(largest)
        blurred = torch.empty_like(light)
        ctx.state = blur(_flat(light), ctx.plan, ctx.table, _flat(blurred), *ctx.shape)
        return blurred

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        from macro_splat.ops.blur.layered_cpu import blur_backward

        gradient, by_radius = torch.empty_like(upstream), upstream.new_empty(ctx.shape)
        blur_backward(ctx.plan, ctx.table, ctx.state, _flat(upstream), _flat(gradient), _flat(by_radius), *ctx.shape)
        return gradient, by_radius, None, None, None


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().reshape(-1).numpy()


__all__ = ["SEEN", "Layers", "layered_blur"]
