"""What counts as a plain background: one colour along most of a photograph's border.

Masks are made from it (`masks.py`: a background whose brightness falls off smoothly), and training recognises empty
pixels by it (`model/background.py`: one colour for all photographs).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BACKGROUND_TOLERANCE = 0.06
"""How far, of 1 and per channel, a pixel may be from the background's colour; sensor noise is within."""
MIN_BACKGROUND_SHARE = 0.6
"""Share of all border pixels that must be background: the rest is where the object touches the border."""
NEIGHBOURHOOD_PX = 5
"""Side of the square that is averaged to tell the faint outskirts of an object from noise."""
MAX_DEVIATIONS = 5.0
"""The background ends where the picture differs from it by so many times its own scatter."""


def border_mask(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return [H, W], true in the outermost rows and columns."""
    border = np.zeros(shape[:2], bool)
    border[[0, -1]] = border[:, [0, -1]] = True
    return border


def border_pixels(picture: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels [N, ...] of the outermost rows and columns of a picture [H, W, ...], corners twice."""
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def share_of_colour(
    pixels: NDArray[np.floating], colour: NDArray[np.floating], tolerance: float = BACKGROUND_TOLERANCE
) -> float:
    """Return the share of pixels [N, 3] that have a colour ([3], or [N, 3] one for each) within the tolerance."""
    return float((np.abs(pixels - colour) <= tolerance).all(axis=1).mean())


def largest_deviation(border: NDArray[np.floating]) -> tuple[np.floating, np.floating]:
    """Return how far background may differ from its colour, and the standard deviation of that along the border.

    Args:
        border: [N] differences from the background's colour along the border; those of the object do not count.
    """
    border = border[border <= BACKGROUND_TOLERANCE]
    usual = np.median(border)
    scatter = 1.4826 * np.median(np.abs(border - usual))
    return usual + MAX_DEVIATIONS * scatter + 0.5 / 255, scatter
