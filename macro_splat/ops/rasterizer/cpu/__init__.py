"""The rasterizer for processors: gsplat's `rasterization` in Numba kernels.

Order of work: `projection` and `harmonics` (Gaussians to images), `binning` (lists per tile), `compositing` (pixels);
`render` joins them to torch.
"""

from macro_splat.ops.rasterizer.cpu.render import rasterization_cpu

__all__ = ["rasterization_cpu"]
