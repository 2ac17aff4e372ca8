"""Comparing rendered depth with the truth."""

from __future__ import annotations

from torch import Tensor

COVERED = 0.5
"""Opacity from which the render says something about depth."""


def median_depth_error(depth: Tensor, truth: Tensor, alpha: Tensor) -> float | None:
    """Return the median of |depth − truth| where the truth has an object and the render covers it, in the unit of both.

    Args:
        depth: [H, W, 1] rendered depth along the optical axis.
        truth: [H, W, 1] true depth, 0 where there is nothing.
        alpha: [H, W, 1] opacity of the render.

    Returns:
        None where no pixel can be compared.
    """
    judged = (truth > 0) & (alpha > COVERED)
    return float((depth - truth)[judged].abs().median()) if judged.any() else None
