"""macro-splat: blurry macro photographs in, a sharp 3D Gaussian splat model out.

A nerfstudio method plugin. Reading order: README, `assets/guide/architecture.md`, `method.py`, `pipeline.py`,
`model/`, `defocus/`, `ops/`.
"""

__version__ = "0.2.0"
