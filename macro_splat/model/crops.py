"""What is rendered around a photograph or a part of it, and which models can be trained on parts."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor
from torch.nn.functional import pad

from macro_splat.data.crops import Crop
from macro_splat.defocus.config import DefocusConfig
from macro_splat.defocus.image_blur import CELL
from macro_splat.errors import MacroSplatError

WIDEST_SHARE = 0.995
"""Of the Gaussians: those that are blurred wider than that share of them do not widen what is rendered."""
BEYOND = 2 * CELL + 2
"""Pixels: so much farther than the blur reaches the operator looks for edges of surfaces."""


@torch.no_grad()
def blur_margin(means: Tensor, viewmat: Tensor, camera: Cameras, radius: Callable[[Tensor], Tensor]) -> int:
    """Pixels around a photograph, or a part of it, from which its lens brings light into it.

    It is as far as the circles of confusion of the Gaussians in the picture reach out of it, and those of the ones
    beside it reach, if they do reach into it; and at most half the longer edge: beyond that a step would cost more than
    four times as much.

    Args:
        means: [N, 3] of the Gaussians.
        viewmat: [4, 4] world to camera.
        camera: that sees the photograph or the part.
        radius: from depth [N] to the radius of the circle of confusion in pixels.
    """
    width, height = int(camera.width), int(camera.height)
    x, y, z = (means @ viewmat[:3, :3].T + viewmat[:3, 3]).unbind(1)
    column, row = (camera.fx * x / z + camera.cx)[0], (camera.fy * y / z + camera.cy)[0]
    beside = torch.maximum(torch.maximum(-column, column - width), torch.maximum(-row, row - height))
    wide = radius(z)
    reach = torch.where(beside > 0, torch.where(beside <= wide, wide, 0.0), wide + beside)
    reach = reach[(z > 0) & (reach > 0)]
    if len(reach) == 0:
        return 0
    farthest = float(reach.kthvalue(math.ceil(WIDEST_SHARE * len(reach))).values)
    return min(math.ceil(farthest) + BEYOND, max(width, height) // 2)


def seen_part(camera: Cameras, margin: int) -> tuple[Crop, Crop] | None:
    """What of a photograph is trained on, and what is rendered for it; None where both are all of it.

    Args:
        camera: of the whole photograph, or of the part that its metadata name as `crop`.
        margin: pixels to be rendered around that.
    """
    crop: Crop | None = (camera.metadata or {}).get("crop")
    if crop is None:
        if margin == 0:
            return None
        crop = Crop.whole(int(camera.width), int(camera.height))
    return crop, crop.widened(margin, CELL) if margin > 0 else crop


def composited(render: Tensor, alpha: Tensor, background: Tensor, photograph: Crop | None) -> Tensor:
    """A render on its background; beside a photograph, its border goes on instead.

    What lies beside a photograph is in it as blur only, and may be in no other one: as long as nothing is modelled
    there, the neighbour in the photograph is a better guess than a background that there is none.

    Args:
        render: [H, W, 3] of what is modelled. alpha: [H, W, 1] its opacity. background: [3].
        photograph: where it lies in the render; None if it is all of it, or the background is known to go on.

    Returns:
        [H, W, 3].
    """
    clear = 1 - alpha
    if photograph is None:
        return render + clear * background
    height, width = render.shape[:2]
    left, top = photograph.left, photograph.top
    right, bottom = width - left - photograph.width, height - top - photograph.height
    inside = photograph.of(render) + photograph.of(clear) * background
    goes_on = pad(inside.permute(2, 0, 1)[None], (left, right, top, bottom), mode="replicate")[0].permute(1, 2, 0)
    beside = torch.ones(height, width, 1, dtype=torch.bool, device=render.device)
    photograph.of(beside)[:] = False
    return render + clear * torch.where(beside, goes_on, background)


def check_crops(defocus: DefocusConfig, num_downscales: int) -> None:
    """Check whether a model can be trained on parts of photographs.

    Raises:
        MacroSplatError: it cannot.
    """
    mode, blur_net = defocus.mode, defocus.blur_net
    for option, hinders in (
        (f"--pipeline.model.defocus.mode {mode}", mode not in ("off", "splat", "image")),
        ("--pipeline.model.defocus.blur-net True", blur_net),
        (f"--pipeline.model.num-downscales {num_downscales}", num_downscales > 0),
    ):
        if hinders:
            raise MacroSplatError(
                f"{option} needs whole photographs, and these are too large for that; give "
                "--pipeline.datamanager.step-megapixels 0 or a --pipeline.datamanager.max-image-edge"
            )
