"""Defocus as an operator on the rendered picture: every pixel gathers the light of its circle of confusion.

At the edge of a surface in front of another the picture is taken for two layers, split half-way between the nearest
and the farthest circle of confusion around, see `macro_splat/ops/blur/layered.py`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from macro_splat.ops.blur.layered import Layers, layered_blur
from macro_splat.ops.blur.nearest import carry_to_nearest
from macro_splat.ops.extrema import extreme_around, extreme_in_cells
from macro_splat.ops.srgb import linear_to_srgb, srgb_to_linear

COVERED = 0.5
"""Opacity from which a pixel's depth is its own; below it is mixed with what lies around."""
EDGE_PX = 1.0
"""Difference of the signed CoC radius around a pixel, from which it is taken for two layers."""
SOFTNESS = 0.2
"""Width of the transition between the layers, as a share of that difference."""
CELL = 4
"""Pixels along the squares in which the smallest and the largest CoC radius are looked for."""


def defocus_picture(
    picture: Tensor, coc_radius: Tensor, alpha: Tensor, *, linear_light: bool = True, depth_edges: bool = True
) -> Tensor:
    """Blur a sharp picture as a lens does.

    Args:
        picture: [H, W, 3] sRGB, composited with its background; values above 1 are highlights.
        coc_radius: [H, W, 1] signed, of the circle of confusion at the rendered depth, in pixels; it grows with the
            depth (negative before the plane of focus).
        alpha: [H, W, 1] opacity of the render.
        linear_light: add up light; False adds up the sRGB values.
        depth_edges: tell two layers apart where one surface ends before another.

    Returns:
        [H, W, 3] sRGB.
    """
    light = srgb_to_linear(picture) if linear_light else picture
    blurred = _defocus_light(light, coc_radius[..., 0], alpha[..., 0].detach(), depth_edges)
    return linear_to_srgb(blurred) if linear_light else blurred


def _defocus_light(light: Tensor, coc_radius: Tensor, alpha: Tensor, depth_edges: bool) -> Tensor:
    covered, radius = alpha >= COVERED, coc_radius.abs()
    own, carried = extend_radius(radius, alpha)
    share = front_layer(coc_radius.detach(), covered) if depth_edges else None
    if share is None:
        return layered_blur(light, radius, own, carried, None)
    front, edge = share
    in_front = front > 0.5
    behind = covered & ~in_front
    # Under the front layer the back one goes on, however far that is.
    limit = float(radius.detach().max()) + 2 * CELL  # an edge is not farther from what makes it one
    layers = Layers(
        edge, front, in_front, behind, carry_within_reach(radius, in_front), carry_to_nearest(radius, behind, limit)[0]
    )
    return layered_blur(light, radius, own, carried, layers)


def extend_radius(radius: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Carry the radius past the silhouette, as far as it reaches: a blurred object spreads into the space beside it.

    Args:
        radius, alpha: [H, W].

    Returns:
        How far a pixel's radius is its own, [H, W] in 0..1, and what is carried there from the nearest covered pixel.
    """
    return (alpha / COVERED).clamp(max=1.0), carry_within_reach(radius, alpha >= COVERED)


def carry_within_reach(radius: Tensor, known: Tensor) -> Tensor:
    """Return the radius of the nearest known pixel where a disc of that radius reaches this pixel, else 0. [H, W]"""
    nearest, distance = carry_to_nearest(radius, known, float(radius.detach().max()) + 1.5)
    return torch.where(distance <= nearest + 1.5, nearest, torch.zeros_like(nearest))


def front_layer(coc_radius: Tensor, covered: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the share of each pixel that belongs to the surface in front, and where two surfaces meet.

    Args:
        coc_radius: [H, W] signed radius of the circle of confusion. covered: [H, W] bool, where it means something.

    Returns:
        share [H, W] in 0..1 and edge [H, W] bool, or None if there is no such place.
    """
    if not bool(covered.any()):
        return None
    height, width = coc_radius.shape
    far = torch.finfo(coc_radius.dtype).max
    low = extreme_in_cells(torch.where(covered, coc_radius, far), CELL, torch.minimum)
    high = extreme_in_cells(torch.where(covered, coc_radius, -far), CELL, torch.maximum)
    # Two surfaces meet at a pixel if the disc of one of them reaches the other: its own, or that of what lies there.
    own_reach = torch.maximum(torch.where(high > -far, high.abs(), 0.0), torch.where(low < far, low.abs(), 0.0))
    around_low, around_high, wide_low, wide_high = low, high, low, high
    for k in range(math.ceil(min(float(own_reach.max()), max(height, width)) / CELL)):
        reaches = own_reach >= k * CELL
        wide_low, wide_high = extreme_around(wide_low, torch.minimum), extreme_around(wide_high, torch.maximum)
        # What comes from cells whose discs are as large as the way is long so far.
        sent_low = extreme_around(torch.where(around_low.abs() >= k * CELL, around_low, far), torch.minimum)
        sent_high = extreme_around(torch.where(around_high.abs() >= k * CELL, around_high, -far), torch.maximum)
        around_low, around_high = torch.minimum(around_low, sent_low), torch.maximum(around_high, sent_high)
        low = torch.minimum(torch.where(reaches, wide_low, low), around_low)
        high = torch.maximum(torch.where(reaches, wide_high, high), around_high)
    low, high = (t.repeat_interleave(CELL, 0).repeat_interleave(CELL, 1)[:height, :width] for t in (low, high))
    edge = (high - low > EDGE_PX) & (low < far)
    if not bool(edge.any()):
        return None
    gap = (high - low).clamp(min=EDGE_PX)
    share = ((0.5 * (low + high) - coc_radius) / (SOFTNESS * gap) + 0.5).clamp(0.0, 1.0)
    return torch.where(edge & covered, share, torch.zeros_like(share)), edge
