"""Defocus as an operator on the rendered picture: every pixel gathers the light of its circle of confusion.

A pixel gathers over a disc of its own radius, which is right as long as depth changes smoothly. At the edge of a
surface in front of another it is not: blur of what is in front spreads over what is sharp behind it, and what is sharp
in front does not spread into the blur behind it. There the picture is taken for two layers, split half-way between
the nearest and the farthest circle of confusion around. With m the share of the front layer in a pixel of colour P,
and G the gathering with a layer's own radii, carried to where the other one covers it,

    blurred = G_front(mP) + (1 − G_front(m)) · G_back((1−m)P) / G_back(1−m).

The back layer is normalised by what is seen of it, so it goes on unchanged behind the front one, and where both are
one surface after all the two parts add up to it again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from macro_splat.image.disc_blur import disc_blur
from macro_splat.image.extremes import extreme_around, extreme_in_cells
from macro_splat.image.nearest import carry_to_nearest
from macro_splat.image.transfer import linear_to_srgb, srgb_to_linear

COVERED = 0.5
"""Opacity from which a pixel's depth is its own; below it is mixed with what lies around."""
EDGE_PX = 1.0
"""Difference of the circle's signed radius around a pixel, from which it is taken for two layers."""
SOFTNESS = 0.2
"""Width of the transition between the layers, as a share of that difference."""
SEEN = 0.05
"""Share of its disc that a pixel must see of the back layer, for that to be known behind the front one."""
CELL = 4
"""Pixels along the squares in which the nearest and the farthest circle are looked for."""


def defocus_picture(picture: Tensor, circle: Tensor, alpha: Tensor, *, linear_light: bool = True) -> Tensor:
    """Blur a sharp picture as a lens does.

    Args:
        picture: [H, W, 3] sRGB, composited with its background; values above 1 are highlights.
        circle: [H, W, 1] signed radius of the circle of confusion at the rendered depth, in pixels; it grows with the
            depth (negative before the plane of focus).
        alpha: [H, W, 1] opacity of the render.
        linear_light: add up light; False adds up the sRGB values.

    Returns:
        [H, W, 3] sRGB.
    """
    light = srgb_to_linear(picture) if linear_light else picture
    blurred = _defocus_light(light, circle[..., 0], alpha[..., 0].detach())
    return linear_to_srgb(blurred) if linear_light else blurred


def _defocus_light(light: Tensor, circle: Tensor, alpha: Tensor) -> Tensor:
    covered = alpha >= COVERED
    whole = extend_radius(circle.abs(), alpha)
    layers = front_layer(circle.detach(), covered)
    if layers is None:
        return disc_blur(light, whole)
    front, at_edge = layers
    in_front = front > 0.5
    radius = circle.abs()
    nearest, distance = carry_to_nearest(radius, in_front)
    reached = torch.where(distance <= nearest + 1.5, nearest, torch.zeros_like(nearest))
    front_radius = torch.where(in_front, radius, reached) * at_edge
    behind = covered & ~in_front
    # Under the front layer the back one goes on, however far that is.
    back_radius = torch.where(behind, radius, carry_to_nearest(radius, behind)[0]) * at_edge
    share = front[..., None]
    near = disc_blur(torch.cat([share * light, share], dim=-1), front_radius)
    far = disc_blur(torch.cat([(1 - share) * light, 1 - share], dim=-1), back_radius)
    seen = far[..., 3:]
    layered = near[..., :3] + (1 - near[..., 3:]) * far[..., :3] / seen.clamp(min=1e-3)
    two = at_edge & (seen[..., 0] > SEEN)
    blurred = disc_blur(light, torch.where(two, torch.zeros_like(whole), whole))
    return torch.where(two[..., None], layered, blurred)


def extend_radius(radius: Tensor, alpha: Tensor) -> Tensor:
    """Carry the radius past the silhouette, as far as it reaches: a blurred object spreads into the space beside it.

    Where there is nothing, a pixel takes the radius of the nearest covered pixel, if a disc of that radius reaches
    from there to here; otherwise it is 0. No gradient flows through what is carried.

    Args:
        radius, alpha: [H, W].

    Returns:
        [H, W]
    """
    own = (alpha / COVERED).clamp(max=1.0).detach()
    covered = own >= 1.0
    if bool(covered.all()):
        return radius
    nearest, distance = carry_to_nearest(radius, covered)
    carried = torch.where(distance <= nearest + 1.5, nearest, torch.zeros_like(nearest))
    return own * radius + (1.0 - own) * carried


def front_layer(circle: Tensor, covered: Tensor) -> tuple[Tensor, Tensor] | None:
    """The share of every pixel that belongs to the surface in front, and where there are two surfaces to tell apart.

    Args:
        circle: [H, W] signed radius of the circle of confusion. covered: [H, W] bool, where it means something.

    Returns:
        share [H, W] in 0..1 and edge [H, W] bool, or None if there is no such place.
    """
    if not bool(covered.any()):
        return None
    height, width = circle.shape
    far = torch.finfo(circle.dtype).max
    low = extreme_in_cells(torch.where(covered, circle, far), CELL, torch.minimum)
    high = extreme_in_cells(torch.where(covered, circle, -far), CELL, torch.maximum)
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
    share = ((0.5 * (low + high) - circle) / (SOFTNESS * gap) + 0.5).clamp(0.0, 1.0)
    return torch.where(edge & covered, share, torch.zeros_like(share)), edge


__all__ = ["defocus_picture", "extend_radius", "front_layer"]
