"""The window of the structural similarity and its constants, those of the paper for a data range of 1."""

from __future__ import annotations

import math

WINDOW = 11
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2


def gaussian_window() -> list[float]:
    """Return the window's weights along one axis; they add up to 1."""
    weights = [math.exp(-((k - WINDOW // 2) ** 2) / (2 * SIGMA**2)) for k in range(WINDOW)]
    return [weight / sum(weights) for weight in weights]
