"""Tensors in, tensors out: rasterizer, blur, SSIM, sRGB and the like, each with its kernels for processors."""
