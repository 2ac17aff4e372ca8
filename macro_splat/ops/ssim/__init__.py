"""Comparing images: the structural similarity that training and evaluation use, fast on a processor as well.

`ssim` picks the fused kernels for float32 tensors on a CPU and torch's convolutions everywhere else.
"""

from macro_splat.ops.ssim.ssim import ssim

__all__ = ["ssim"]
