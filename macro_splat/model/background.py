"""The plain background of a capture, if it has one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.06
"""How far a border pixel may be from the common colour, per channel, to count as it; sensor noise is within."""
SHARE = 0.6
"""Share of all border pixels that must have the common colour: the rest is where the object touches the border."""


def plain_background(photographs: list[NDArray]) -> NDArray[np.float32]:
    """The colour [3] in 0..1 that surrounds the object, or black where the surroundings are not plain.

    Args:
        photographs: [H, W, 3] each, uint8 or float in 0..1.
    """
    borders = []
    for photograph in photographs:
        edges = [photograph[0], photograph[-1], photograph[:, 0], photograph[:, -1]]
        border = np.concatenate([edge[..., :3].reshape(-1, 3) for edge in edges]).astype(np.float32)
        borders.append(border / 255.0 if photograph.dtype == np.uint8 else border)
    pixels = np.concatenate(borders)
    common = np.median(pixels, axis=0)
    plain = (np.abs(pixels - common) <= TOLERANCE).all(axis=1).mean() >= SHARE
    return common.astype(np.float32) if plain else np.zeros(3, np.float32)
