"""Comparing the lenses that were learnt with the true ones."""

from __future__ import annotations

import torch
from torch import Tensor

from macro_splat.defocus.thin_lens import coc_radius_px


def focus_distance_errors(focus_distance: Tensor, truth: Tensor) -> tuple[float, float] | None:
    """Return the median over the views of |d − d*|, in the unit of the distances, and of |d − d*| / d*.

    Args:
        focus_distance: [V]. truth: [V], NaN where unknown.

    Returns:
        None where no view's truth is known.
    """
    known = ~truth.isnan()
    if not known.any():
        return None
    error = (focus_distance - truth)[known].abs()
    return float(error.median()), float((error / truth[known]).median())


def coc_radius_error(
    depth: Tensor,
    focal_px: float,
    lens: tuple[float, float],
    true_lens: tuple[float, float],
) -> float | None:
    """Return the median over the object's pixels of the error of the circle of confusion's radius, in pixels.

    Both lenses are asked at the true depth: the error is the lens's alone.

    Args:
        depth: [H, W, 1] true depth, 0 where there is nothing.
        focal_px: focal length in pixels of the picture.
        lens, true_lens: focus distance and pupil radius, in the unit of the depth.

    Returns:
        None where the view shows no object.
    """
    z = depth[depth > 0]
    if z.numel() == 0:
        return None
    radius, true_radius = (
        coc_radius_px(z, 1.0 / focus_distance, aperture_radius * focal_px).abs()
        for focus_distance, aperture_radius in (lens, true_lens)
    )
    return float(torch.median((radius - true_radius).abs()))
