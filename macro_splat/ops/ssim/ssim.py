"""Structural similarity of two images (Wang et al., Image Quality Assessment, IEEE TIP 2004), differentiable."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from macro_splat.ops.ssim.window import C1, C2, WINDOW, gaussian_window


def ssim(x: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean structural similarity of two images with values in [0, 1]; 1 where they are equal.

    An 11 x 11 Gaussian window of σ = 1.5 px is laid wherever it fits inside the image, with the paper's constants for
    a data range of 1; the result is the mean over windows and channels. These are the choices of `pytorch_msssim` and
    so of nerfstudio. Differentiable in `x` and `y`; on a CPU fastest where only `x` needs a gradient.

    Args:
        x: [H, W, C], floating point.
        y: of the same shape, dtype and device.
        weight: how much each window counts by the pixel at its centre, ≥ 0, [H, W] or [H, W, 1], any dtype; None for
            all the same. If it is zero everywhere the result is 1, and no gradient flows.

    Returns:
        A scalar.

    Raises:
        ValueError: other shapes than these, or an image smaller than the window.
    """
    if x.dim() != 3 or x.shape != y.shape:
        raise ValueError(f"ssim: images of shape {list(x.shape)} and {list(y.shape)}, wanted twice the same [H, W, C]")
    height, width, channels = x.shape
    if min(height, width) < WINDOW:
        raise ValueError(f"ssim: images of {width} x {height} pixels are smaller than the {WINDOW} x {WINDOW} window")
    if weight is not None:
        if weight.shape not in ((height, width), (height, width, 1)):
            raise ValueError(f"ssim: weight of shape {list(weight.shape)}, wanted [{height}, {width}] or [.., .., 1]")
        margin = WINDOW // 2
        weight = weight.reshape(height, width)[margin : height - margin, margin : width - margin].to(x)
        total = weight.sum()
        if not total > 0:
            return x.new_ones(())
        weight = weight / (total * channels)

    both_float32 = x.dtype == y.dtype == torch.float32
    if x.device.type == "cpu" and both_float32 and not y.requires_grad and (weight is None or not weight.requires_grad):
        from macro_splat.ops.ssim.cpu import FusedSSIM  # starts the compiler, so only where it is used

        return FusedSSIM.apply(x, y, weight)
    similarity = _similarity_by_convolution(x, y)
    return similarity.mean() if weight is None else (similarity * weight).sum()


def _similarity_by_convolution(x: Tensor, y: Tensor) -> Tensor:
    """Return the similarity of every window, by torch's convolutions. [H, W, C] -> [C, H - 10, W - 10]"""
    x, y = x.permute(2, 0, 1), y.permute(2, 0, 1)
    stacked = torch.cat([x, y, x * x + y * y, x * y])[None]
    planes = stacked.shape[1]
    window = x.new_tensor(gaussian_window()).expand(planes, 1, WINDOW)
    blurred = F.conv2d(F.conv2d(stacked, window[..., None], groups=planes), window[:, :, None], groups=planes)
    mean_x, mean_y, square, product = blurred[0].chunk(4)
    covariance = product - mean_x * mean_y
    variances = square - mean_x**2 - mean_y**2
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return luminance * (2 * covariance + C2) / (variances + C2)
