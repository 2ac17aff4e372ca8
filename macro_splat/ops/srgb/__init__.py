"""The sRGB transfer curve, both ways and differentiable.

`srgb` has the functions, in plain torch for any device and dtype; `cpu` the kernels that they use for float32 on a
processor; `constants` what both are made of.
"""

from macro_splat.ops.srgb.srgb import linear_to_srgb, srgb_to_linear

__all__ = ["linear_to_srgb", "srgb_to_linear"]
