"""What a training minimises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from macro_splat.model.background import opacity_binarization
from macro_splat.ops.ssim import ssim

if TYPE_CHECKING:
    from macro_splat.model.macro_splat_model import MacroSplatModel


def losses(model: MacroSplatModel, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """L1 and SSIM between the photograph and the picture as its lens saw it; in training the priors too.

    Args:
        outputs: of the model for a view.
        batch: what belongs to the view: `image`, and where there are any, `mask` and `empty`.

    Returns:
        Scalars by name, whose sum is the loss.
    """
    photograph = model.composite_with_background(model.get_gt_img(batch["image"]), outputs["background"])
    picture = outputs["rgb"]
    empty = model._downscale_if_required(batch["empty"].float()) > 0.5 if "empty" in batch else None
    background = model.background
    if model.sensor_noise is not None:
        picture, background = model.sensor_noise.read(picture), model.sensor_noise.read(background)
    if empty is not None:
        photograph = torch.where(empty, background, photograph)  # without its noise
    if "mask" in batch:
        mask = model._downscale_if_required(batch["mask"]).to(model.device)
        photograph, picture = photograph * mask, picture * mask
    share, defocus = model.config.ssim_lambda, model.config.defocus
    if "clarity" in outputs and defocus.blurred_weight < 1.0:
        weight = defocus.blurred_weight + (1 - defocus.blurred_weight) * outputs["clarity"]
        l1 = ((photograph - picture).abs() * weight).mean()
        structure = (1 - ssim(picture, photograph, weight)) * weight.mean()
    else:
        l1, structure = (photograph - picture).abs().mean(), 1 - ssim(picture, photograph)
    terms = {"main_loss": (1 - share) * l1 + share * structure}
    if model.config.use_scale_regularization and model.step % 10 == 0:
        terms["scale_reg"] = 0.1 * _anisotropy_penalty(model)
    if model.training:
        if defocus.binarization_weight > 0 and model.head.renders_sharp and model.schedule is not None:
            alpha = outputs["accumulation"]
            weight = defocus.binarization_weight * model.schedule.crispness(model.step)
            terms["crisp"] = weight * opacity_binarization(alpha)
        terms |= model.head.losses()
        if empty is not None:
            alpha = outputs["accumulation"] * empty
            terms["silhouette"] = defocus.silhouette_weight * alpha.mean()
        model.camera_optimizer.get_loss_dict(terms)
    return terms


def _anisotropy_penalty(model: MacroSplatModel) -> Tensor:
    """How far, on average, the longest axis of a Gaussian is over `max_gauss_ratio` times its shortest."""
    log_ratio = model.scales.amax(dim=-1) - model.scales.amin(dim=-1)
    return (log_ratio.exp() - model.config.max_gauss_ratio).clamp(min=0.0).mean()


__all__ = ["losses"]
