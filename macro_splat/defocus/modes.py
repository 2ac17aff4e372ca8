"""The blur model of each defocus mode: ours and the baselines."""

from __future__ import annotations

from torch import Tensor

from macro_splat.defocus.baselines.coc import CocBlurModel
from macro_splat.defocus.baselines.covariance import CovarianceBlurModel
from macro_splat.defocus.baselines.pixel_kernel import PixelKernelBlurModel
from macro_splat.defocus.blur_models import BlurModel, ImageBlurModel, LensBlurModel, SplatBlurModel
from macro_splat.defocus.config import DefocusConfig

LENS_MODES: dict[str, type[LensBlurModel]] = {"splat": SplatBlurModel, "image": ImageBlurModel, "coc": CocBlurModel}
FREE_MODES = {"covariance": CovarianceBlurModel, "pixel-kernel": PixelKernelBlurModel}


def make_blur_model(config: DefocusConfig, num_views: int, stacks: Tensor | None = None) -> BlurModel:
    """Return the blur model of a mode.

    Args:
        config: with the mode.
        num_views: of the training.
        stacks: [V] equal for views that share an aperture.
    """
    if config.mode == "off":
        return BlurModel()
    if config.mode in LENS_MODES:
        return LENS_MODES[config.mode](config, num_views, stacks)
    return FREE_MODES[config.mode](num_views)
