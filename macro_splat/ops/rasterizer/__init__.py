"""Gaussians to pixels: one function at gsplat's seam, on an NVIDIA card through gsplat, on a processor through Numba.

`rasterization` is the public function; `rasterization_reference` is the same in plain torch, slow and exact, for tests.
Stands on torch, numpy and numba alone; gsplat is imported only when a CUDA tensor arrives.
"""

from macro_splat.ops.rasterizer.rasterization import rasterization
from macro_splat.ops.rasterizer.reference import rasterization_reference

__all__ = ["rasterization", "rasterization_reference"]
