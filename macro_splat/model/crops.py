"""Training on parts of photographs: for which models that is possible, and what is rendered around a part."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from macro_splat.defocus.image_blur import CELL
from macro_splat.errors import MacroSplatError

if TYPE_CHECKING:
    from macro_splat.model.macro_splat_model import MacroSplatModelConfig

WIDEST_SHARE = 0.995
"""Of the Gaussians: those that are blurred wider than that share of them do not widen what is rendered."""
BEYOND = 2 * CELL + 2
"""Pixels: so much farther than the blur reaches the operator looks for edges of surfaces."""


@torch.no_grad()
def blur_margin(means: Tensor, viewmat: Tensor, camera: Cameras, radius: Callable[[Tensor], Tensor]) -> int:
    """Pixels around a part of a photograph from which its lens brings light into it.

    It is the radius of the circle of confusion of the Gaussians that are seen in the part or blurred into it, and at
    most half the part's longer edge: beyond that a step would cost more than four times as much.

    Args:
        means: [N, 3] of the Gaussians.
        viewmat: [4, 4] world to camera.
        camera: that sees the part alone.
        radius: from depth [N] to the radius of the circle of confusion in pixels.
    """
    width, height = int(camera.width), int(camera.height)
    x, y, z = (means @ viewmat[:3, :3].T + viewmat[:3, 3]).unbind(1)
    column, row = (camera.fx * x / z + camera.cx)[0], (camera.fy * y / z + camera.cy)[0]
    beside = torch.maximum(torch.maximum(-column, column - width), torch.maximum(-row, row - height))
    wide = radius(z)
    wide = wide[(z > 0) & (beside <= wide)]
    if len(wide) == 0:
        return 0
    widest = float(wide.kthvalue(math.ceil(WIDEST_SHARE * len(wide))).values)
    return min(math.ceil(widest) + BEYOND, max(width, height) // 2)


def check_crops(config: MacroSplatModelConfig) -> None:
    """Whether a model can be trained on parts of photographs.

    Raises:
        MacroSplatError: it cannot.
    """
    mode, blur_net, downscales = config.defocus.mode, config.defocus.blur_net, config.num_downscales
    for option, hinders in (
        (f"--pipeline.model.defocus.mode {mode}", mode not in ("off", "splat", "image")),
        ("--pipeline.model.defocus.blur-net True", blur_net),
        (f"--pipeline.model.num-downscales {downscales}", downscales > 0),
    ):
        if hinders:
            raise MacroSplatError(
                f"{option} needs whole photographs, and these are too large for that; give "
                "--pipeline.datamanager.step-megapixels 0 or a --pipeline.datamanager.max-image-edge"
            )


__all__ = ["blur_margin", "check_crops"]
