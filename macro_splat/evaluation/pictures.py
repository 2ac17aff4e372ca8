"""Comparing a rendered picture with the truth."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from macro_splat.ops.ssim import ssim

SMALLEST_ERROR = 1e-10
"""Mean square below which pictures count as equal: 100 dB."""


def psnr(picture: Tensor, truth: Tensor, mask: Tensor | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB, for values in 0..1.

    Args:
        picture, truth: [H, W, 3].
        mask: [H, W, 1] bool, the pixels that count; it must hold at least one.
    """
    error = (picture - truth).square()
    if mask is not None:
        error = error[mask[..., 0]]
    return float(-10.0 * torch.log10(error.mean().clamp(min=SMALLEST_ERROR)))


def gradient_energy(picture: Tensor, mask: Tensor | None = None) -> float:
    """Return the sum of the squared differences of neighbouring pixels, right and below. ``mask`` as in `psnr`."""
    right = (picture[:-1, 1:] - picture[:-1, :-1]).square()
    below = (picture[1:, :-1] - picture[:-1, :-1]).square()
    energy = right + below
    return float((energy if mask is None else energy * mask[:-1, :-1]).double().sum())


def sharpness_ratio(picture: Tensor, truth: Tensor, mask: Tensor | None = None) -> float:
    """Return the gradient energy of a picture over that of the truth: below 1 blurred, above 1 noisy or over-sharpened.

    NaN where the truth is one flat colour.
    """
    energy = gradient_energy(truth, mask)
    return gradient_energy(picture, mask) / energy if energy > 0 else float("nan")


@torch.no_grad()
def compare_pictures(
    picture: Tensor,
    truth: Tensor,
    *,
    mask: Tensor | None = None,
    object_mask: Tensor | None = None,
    lpips: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> dict[str, float]:
    """Return all figures for one view.

    Args:
        picture, truth: [H, W, 3] in 0..1.
        mask: [H, W, 1] bool, the pixels to judge; all if absent.
        object_mask: [H, W, 1] bool, the pixels of the object.
        lpips: learned perceptual distance of two images [1, 3, H, W].

    Returns:
        `psnr` and, with an object mask, `psnr_object` in dB; `ssim`; `sharpness_ratio`; `lpips` where there is one
        (masked pixels are black in both pictures there).
    """
    figures = {
        "psnr": psnr(picture, truth, mask),
        "ssim": float(ssim(picture, truth, mask)),
        "sharpness_ratio": sharpness_ratio(picture, truth, mask),
    }
    if object_mask is not None:
        judged = object_mask if mask is None else object_mask & mask
        if judged.any():
            figures["psnr_object"] = psnr(picture, truth, judged)
    if lpips is not None:
        pair = (image if mask is None else image * mask for image in (picture, truth))
        figures["lpips"] = float(lpips(*(image.permute(2, 0, 1)[None] for image in pair)))
    return figures
