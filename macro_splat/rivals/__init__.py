"""Known ways to model defocus, as heads of the same harness, to compare with: written from their descriptions.

`pixel_kernel.py` free kernels per pixel (BAGS), `covariance.py` Gaussians that a network widens (Deblurring-3DGS),
`coc.py` a Gaussian per pixel by the circle of confusion (macro deblurring, DoF-Gaussian); `stack_fusion.py` makes
all-in-focus pictures of focus stacks before any training, as photographers do.
"""

from __future__ import annotations

from torch import Tensor

from macro_splat.defocus.config import DefocusConfig
from macro_splat.defocus.heads import Head


def make_rival(config: DefocusConfig, num_views: int, stacks: Tensor | None = None) -> Head:
    """The head of a rival's mode; arguments as `macro_splat.defocus.heads.make_head`."""
    from macro_splat.rivals.coc import CocHead
    from macro_splat.rivals.covariance import CovarianceHead
    from macro_splat.rivals.pixel_kernel import PixelKernelHead

    if config.mode == "coc":
        return CocHead(config, num_views, stacks)
    return {"covariance": CovarianceHead, "pixel-kernel": PixelKernelHead}[config.mode](num_views)


__all__ = ["make_rival"]
