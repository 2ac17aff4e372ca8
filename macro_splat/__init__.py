"""macro-splat: blurry macro photographs in, a sharp 3D Gaussian splat model out.

A nerfstudio method plugin. Reading order: README, `method.py`, `model/`, `defocus/`, `rasterizer/`.
"""

__version__ = "0.1.0"
