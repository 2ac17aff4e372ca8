"""Gaussians to pixels: one function at gsplat's seam, on an NVIDIA card through gsplat, on a processor through Numba.

`rasterization` is the public function; `options` what it is given, as two dataclasses that every implementation takes;
`gpu` and `cpu` the implementations; `rasterization_reference` the same in plain torch, slow and exact, for tests, with
which `gpu` shares `features`. Stands on torch, numpy and numba alone; gsplat is imported when a CUDA tensor arrives.
"""

from macro_splat.ops.rasterizer.rasterization import rasterization
from macro_splat.ops.rasterizer.reference import rasterization_reference

__all__ = ["rasterization", "rasterization_reference"]
