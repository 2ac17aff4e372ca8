"""Where a view was focused, by trying: the sharp picture of the model is blurred for many distances and compared.

Gradients alone move the plane of focus through the scene only as long as its blur and the photograph's overlap, and
never from the wrong side of the object to the right one. A few trials of every view, once the model has a shape, do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from macro_splat.defocus.thin_lens import coc_radius_px

NUM_CANDIDATES = 25
FOCUS_MARGIN = 0.3
"""How far beyond the scene's nearest and farthest point the plane of focus is looked for, as a share of its depth."""
MAX_ERROR_RATIO = 0.99
"""A trial must lower the error to this share of the present one to be believed."""
APERTURE_FACTORS = (0.7, 0.85, 1.0, 1.2, 1.45)
"""Factors by which the common aperture is tried."""


@dataclass
class SharpView:
    """The model's sharp picture of one training view and what the camera saw."""

    photograph: Tensor
    """[H, W, 3]"""
    depth: Tensor
    """[H, W, 1] z of the render, > 0; anything where `alpha` is 0."""
    alpha: Tensor
    """[H, W, 1]"""
    blur: Callable[[Tensor], Tensor]
    """From the signed radius of the circle of confusion [H, W, 1] to the picture [H, W, 3] as that lens sees it."""


def blur_error(view: SharpView, inverse_focus: float, strength: float) -> float:
    """Return the mean absolute difference of the photograph from the picture blurred by this lens.

    Args:
        view: see there.
        inverse_focus: 1/d.
        strength: aperture radius times focal length in pixels, see `coc_radius_px`.
    """
    coc_radius = coc_radius_px(view.depth, inverse_focus, strength)
    return float((view.blur(coc_radius).clamp(0.0, 1.0) - view.photograph).abs().mean())


@torch.no_grad()
def search_focus(view: SharpView, inverse_focus: float, strength: float) -> tuple[float, float, float]:
    """Return the inverse focus distance that explains a photograph best.

    Args:
        view: see there.
        inverse_focus: the present value.
        strength: see `blur_error`.

    Returns:
        The better value, or the present one if none is better by far, and the error of it and of the present one.
    """
    seen = 1.0 / view.depth[view.alpha > 0.5]
    now = blur_error(view, inverse_focus, strength)
    if seen.numel() < 100:
        return inverse_focus, now, now
    low, high = (float(v) for v in torch.quantile(seen[:: max(1, seen.numel() // 10_000)], torch.tensor([0.02, 0.98])))
    reach = FOCUS_MARGIN * (high - low)
    candidates = torch.linspace(low - reach, high + reach, NUM_CANDIDATES).tolist()
    errors = [blur_error(view, candidate, strength) for candidate in candidates]
    best = min(range(NUM_CANDIDATES), key=errors.__getitem__)
    value, error = candidates[best], errors[best]
    if 0 < best < NUM_CANDIDATES - 1:
        before, at, after = errors[best - 1 : best + 2]
        curvature = before - 2 * at + after
        if curvature > 0:
            value += (candidates[1] - candidates[0]) * 0.5 * (before - after) / curvature
    return (value, error, now) if error < MAX_ERROR_RATIO * now else (inverse_focus, now, now)


@torch.no_grad()
def search_strength(views: list[tuple[SharpView, float, float]]) -> float:
    """Return the factor by which all apertures should be larger, from `APERTURE_FACTORS`.

    Args:
        views: with the inverse focus distance and the strength of each.
    """
    errors = [
        math.fsum(blur_error(view, focus, factor * strength) for view, focus, strength in views)
        for factor in APERTURE_FACTORS
    ]
    best = min(range(len(APERTURE_FACTORS)), key=errors.__getitem__)
    return APERTURE_FACTORS[best] if errors[best] < MAX_ERROR_RATIO * errors[APERTURE_FACTORS.index(1.0)] else 1.0
