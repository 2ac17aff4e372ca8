"""The optics: the thin-lens law, the lens of every view, and how both are found from blurry photographs.

Stands on torch and numpy, and `estimate` on scipy; nothing here knows nerfstudio.
"""

from macro_splat.defocus.kernel import Kernel, lens_kernel
from macro_splat.defocus.per_view_lens import Origin, PerViewLens
from macro_splat.defocus.thin_lens import (
    blur_sigma_px,
    circle_of_confusion_px,
    depth_of_field,
    macro_blur_sigma_px,
)

__all__ = [
    "Kernel",
    "Origin",
    "PerViewLens",
    "blur_sigma_px",
    "circle_of_confusion_px",
    "depth_of_field",
    "lens_kernel",
    "macro_blur_sigma_px",
]
