"""The two layers of a picture at the edge of a surface in front of another one."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

MIN_SEEN = 0.05
"""Share of its disc that a pixel must see of the back layer, for that to be known behind the front one."""


@dataclass(frozen=True, eq=False)
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
