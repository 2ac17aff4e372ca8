"""Judging where no sharp truth exists: blur the sharp render by the photograph's own lens, which is fitted to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.defocus.per_view_lens import PerViewLens

RADII_PX = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Blur radius across the depths of the picture, for the coarse search."""
FOCUS_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Places of the plane of focus among the inverse depths of the picture, for the coarse search."""


@dataclass(frozen=True)
class FittedLens:
    """The lens of one photograph, and what it makes of the render."""

    focus_distance: float
    aperture_radius: float
    """0 where the render fits best as it is."""
    picture: Tensor
    """[H, W, 3] the render as this lens photographs it."""


def fit_lens(
    picture: Tensor,
    depth: Tensor,
    alpha: Tensor,
    photograph: Tensor,
    focal_px: float,
    *,
    mask: Tensor | None = None,
    steps: int = 100,
) -> FittedLens:
    """Fit focus distance and aperture of one photograph, with the scene as it is.

    A coarse search over both, then Adam on the mean absolute difference. Only these two numbers see the photograph;
    every model is judged through the same operator, whatever it was trained with.

    Args:
        picture: [H, W, 3] sharp render, sRGB, composited. depth, alpha: [H, W, 1] of the render.
        photograph: [H, W, 3].
        focal_px: in pixels of the picture.
        mask: [H, W, 1] bool, the pixels that count.
        steps: of Adam.
    """
    picture, depth, alpha = (tensor.detach() for tensor in (picture, depth, alpha))
    weight = torch.ones_like(alpha) if mask is None else mask.float()

    def loss_of(blurred: Tensor) -> Tensor:
        return ((blurred - photograph).abs() * weight).mean()

    covered = depth[(alpha > 0.5) & (depth > 0)]
    sharp = FittedLens(math.inf, 0.0, picture)
    if covered.numel() == 0:
        return sharp
    inverse = (1.0 / covered).quantile(torch.tensor([0.02, 0.98], device=depth.device))
    span = float(inverse[1] - inverse[0]) or float(inverse[1])
    lens = PerViewLens(1).to(depth.device)

    def start(focus_quantile: float, radius_px: float) -> None:
        focus = float(inverse[0]) + focus_quantile * span
        values = (torch.tensor([v]) for v in (1.0 / focus, radius_px / (focal_px * span), focal_px))
        lens.set_start(*values)

    def blurred() -> Tensor:
        return defocus_picture(picture, lens.coc_radius(0, depth, focal_px), alpha)

    with torch.no_grad():
        tried = []
        for candidate in [(focus, radius) for focus in FOCUS_QUANTILES for radius in RADII_PX[1:]]:
            start(*candidate)
            tried.append((float(loss_of(blurred())), candidate))
    start(*min(tried)[1])
    optimizer = torch.optim.Adam(
        [
            {"params": [lens.focus_offset_px], "lr": 0.05},
            {"params": [lens.log_aperture_shared], "lr": 0.02},
        ]
    )
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.02 ** (1.0 / max(steps, 1)))
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(blurred()).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        result = blurred()
        if loss_of(picture) <= loss_of(result):
            return sharp
        return FittedLens(float(lens.focus_distance()), float(lens.aperture_radius()), result)
