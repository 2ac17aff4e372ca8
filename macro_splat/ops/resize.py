"""Large photographs made smaller, for what needs no more than a look at them."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

LOOKED_AT_EDGE = 1600
"""Pixels along the longer edge of what is looked at."""


def look_reduction(longer_edge: int) -> int:
    """Return the whole factor by which photographs of this size are reduced to be looked at."""
    return max(1, math.ceil(longer_edge / LOOKED_AT_EDGE))


def reduced(picture: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return means of squares of so many pixels; what is left over at the right and the lower border is left out.

    Args:
        picture: [H, W, C] uint8 or float32. factor: ≥ 1; 1 returns the picture itself.
    """
    if factor == 1:
        return picture
    height, width = (edge // factor for edge in picture.shape[:2])
    whole = np.ascontiguousarray(picture[: height * factor, : width * factor])
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def enlarged(mask: NDArray[np.bool_], factor: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of a `reduced` picture for the picture itself, of this height and width; its border goes on."""
    large = mask.repeat(factor, axis=0).repeat(factor, axis=1)
    beyond = [(0, whole - edge) for whole, edge in zip(shape, large.shape, strict=True)]
    return np.pad(large, beyond, mode="edge")
