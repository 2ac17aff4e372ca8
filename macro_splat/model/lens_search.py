"""The lens tried out on the model in training, for the views whose capture does not tell how they were focused."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from nerfstudio.utils.rich_utils import CONSOLE
from torch.nn.functional import interpolate

from macro_splat.defocus.image_blur import defocus_picture
from macro_splat.defocus.per_view_lens import PerViewLens
from macro_splat.defocus.search import SharpView, search_focus, search_strength
from macro_splat.ops.resize import look_reduction

if TYPE_CHECKING:
    from macro_splat.model.macro_splat_model import MacroSplatModel

VIEWS_FOR_STRENGTH = 12
"""As many views are blurred with every strength tried."""


@torch.no_grad()
def search_lens(model: MacroSplatModel, lens: PerViewLens, datamanager: Any) -> None:
    """Move the plane of focus of the views without a given one to where the photograph is explained best.

    Views with a given focus distance, and a given aperture, stay as they are.
    """
    cameras = datamanager.train_dataset.cameras
    unknown_focus = _unknown(cameras, "focus_distance")
    unknown_aperture = _unknown(cameras, "aperture_radius")
    if not bool(unknown_focus.any() | unknown_aperture.any()):
        return
    views = []
    moved = 0
    for index in range(len(cameras)):
        view, focal_px = _sharp_view(model, datamanager, index)
        strength = float(lens.aperture_radius()[index]) * focal_px
        focus = float(lens.inverse_focus_distance()[index])
        if bool(unknown_focus[index]):
            better, error, before = search_focus(view, focus, strength)
            if error < before:
                lens.set_inverse_focus_distance(index, better)
                moved += 1
                focus = better
        if index % max(1, len(cameras) // VIEWS_FOR_STRENGTH) == 0:
            views.append((view, focus, strength))
    # One factor for all: where some apertures are given, they hold the others.
    factor = search_strength(views) if bool(unknown_aperture.all()) else 1.0
    lens.log_aperture_shared.add_(math.log(factor))
    CONSOLE.log(f"Lens tried out: {moved} of {len(cameras)} planes of focus moved, aperture times {factor:g}.")


def _unknown(cameras: Any, key: str) -> torch.Tensor:
    values = (cameras.metadata or {}).get(key)
    if values is None:
        return torch.ones(len(cameras), dtype=torch.bool)
    return values.reshape(-1).isnan()


def _sharp_view(model: MacroSplatModel, datamanager: Any, index: int) -> tuple[SharpView, float]:
    """What the model shows of a view, reduced if it is large, and its focal length in pixels."""
    camera = datamanager.train_dataset.cameras[index : index + 1].to(model.device)
    reduction = look_reduction(max(int(camera.width), int(camera.height)))
    if reduction > 1:
        camera.rescale_output_resolution(1 / reduction)
    outputs = model.render_training_view(camera, index)
    image = datamanager.cached_train[index]["image"]
    photograph = model.composite_with_background(model.get_gt_img(image), model.background)
    size = int(camera.height), int(camera.width)
    if photograph.shape[:2] != size:
        photograph = interpolate(photograph.permute(2, 0, 1)[None], size, mode="area")[0].permute(1, 2, 0)
    alpha = outputs["accumulation"]
    blur = partial(defocus_picture, outputs["rgb"], alpha=alpha)
    view = SharpView(photograph, outputs["depth"].clamp(min=1e-6), alpha, blur)
    return view, float(camera.fx[0, 0])
