"""What a training minimises, term by term."""

from __future__ import annotations

import torch
from torch import Tensor

from macro_splat.ops.extrema import extreme_around
from macro_splat.ops.ssim import ssim


def photometric_loss(picture: Tensor, photograph: Tensor, ssim_share: float, weight: Tensor | None = None) -> Tensor:
    """Return the weighted mean of L1 and 1 - SSIM between a picture and its photograph.

    Args:
        picture: [H, W, 3], as the view's lens saw it.
        photograph: [H, W, 3].
        ssim_share: weight of 1 - SSIM, 0..1.
        weight: [H, W, 1] of the pixels, or None: all alike.
    """
    difference = (photograph - picture).abs()
    if weight is None:
        l1, structure = difference.mean(), 1 - ssim(picture, photograph)
    else:
        l1 = (difference * weight).mean()
        structure = (1 - ssim(picture, photograph, weight)) * weight.mean()
    return (1 - ssim_share) * l1 + ssim_share * structure


def anisotropy_penalty(log_scales: Tensor, max_ratio: float) -> Tensor:
    """Return how far, on average, the longest axis of a Gaussian is over `max_ratio` times its shortest.

    Args:
        log_scales: [N, 3].
    """
    log_ratio = log_scales.amax(dim=-1) - log_scales.amin(dim=-1)
    return (log_ratio.exp() - max_ratio).clamp(min=0.0).mean()


def opacity_binarization(alpha: Tensor) -> Tensor:
    """Return the mean of α(1 - α), but for the one pixel's width in which a sharp silhouette passes through a pixel.

    Such a pixel has clear and covered neighbours. Where all neighbours are half transparent too there is fuzz, by which
    a model explains blur that its lens does not.

    Args:
        alpha: [H, W, 1] opacity of a sharp render.
    """
    around = alpha.detach()[..., 0]
    contrast = extreme_around(around, torch.maximum) - extreme_around(around, torch.minimum)
    return (alpha * (1.0 - alpha) * (1.0 - contrast)[..., None]).mean()
