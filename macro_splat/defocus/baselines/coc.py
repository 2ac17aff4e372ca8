"""A Gaussian per pixel, as wide as the circle of confusion at its depth, added up in sRGB values.

After Zhao et al., Joint Deblurring and 3D Reconstruction for Macrophotography, PG 2025, and Shen et al., DoF-Gaussian,
ICASSP 2025, as far as their descriptions go: σ from the thin-lens law with focus distance and aperture of each view
learnt along, kernels on the rendered picture. Unlike ours it knows neither linear light nor silhouettes; the lens
starts where ours starts, and depth gets its gradient.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from macro_splat.defocus.blur_models import LensBlurModel
from macro_splat.defocus.thin_lens import SIGMA_PER_DIAMETER

FINEST_SIGMA_PX = 0.5
RATIO = 2.0**0.5
"""Between the widths of two neighbouring blurred pictures."""


class CocBlurModel(LensBlurModel):
    """See the module's text."""

    needs_depth = True
    grow_gradient = 0.0002  # blur on the picture makes gradients small; half of it changed nothing (0.01 dB)

    def blur_picture(self, view: int, picture: Tensor, alpha: Tensor, depth: Tensor | None, focal_px: Tensor) -> Tensor:
        """Blur by `gaussian_gather`."""
        assert depth is not None
        return gaussian_gather(picture, 2.0 * SIGMA_PER_DIAMETER * self.lens.blur_radius(view, depth, focal_px))


def gaussian_gather(picture: Tensor, sigma: Tensor) -> Tensor:
    """Return, for every pixel, the mean around it under a Gaussian of its own width, normalised inside the picture.

    The picture is blurred at a ladder of widths (each √2 times the one before, as far as the widest pixel needs), and
    each pixel mixes the two that enclose its variance, so that the variance of its kernel is exact.

    Args:
        picture: [H, W, C]. sigma: [H, W, 1] in pixels, ≥ 0. Differentiable in both.
    """
    variance = sigma[..., 0].square()
    planes = picture.permute(2, 0, 1)
    low_variance, low = 0.0, planes
    result = torch.zeros_like(planes)
    width = FINEST_SIGMA_PX
    while True:
        high_variance, high = width * width, _blurred(planes, width)
        share = (variance - low_variance) / (high_variance - low_variance)
        inside = (variance >= low_variance) & (variance < high_variance)
        result = result + torch.where(inside, low + (high - low) * share, torch.zeros_like(low))
        if not bool((variance >= high_variance).any()):
            return result.permute(1, 2, 0).contiguous()
        low_variance, low, width = high_variance, high, width * RATIO


def _blurred(planes: Tensor, sigma: float) -> Tensor:
    """Blur [C, H, W] by one Gaussian: a product with a matrix along each axis."""
    rows, columns = (_gaussian_matrix(n, sigma, planes.device, planes.dtype) for n in planes.shape[1:])
    return rows @ planes @ columns.T


@lru_cache(maxsize=64)
def _gaussian_matrix(size: int, sigma: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a matrix [size, size], each row a sampled Gaussian that adds up to 1."""
    place = torch.arange(size, device=device, dtype=torch.float64)
    weights = torch.exp(-0.5 * ((place[:, None] - place[None, :]) / sigma) ** 2)
    return (weights / weights.sum(dim=1, keepdim=True)).to(dtype)
