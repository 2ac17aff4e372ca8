"""What a training finds out from its photographs before the first step: background, lens, and where nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from macro_splat.compat.viewmat import get_viewmat
from macro_splat.data.cache import CachedView, Photographs
from macro_splat.model.background import SilhouetteConsistency, empty_pixels, plain_background
from macro_splat.model.crops import check_crops
from macro_splat.model.lens_initialization import initialize_lens, report_lens
from macro_splat.model.sensor_noise import SensorNoise
from macro_splat.ops.resize import enlarged, look_reduction, reduced

if TYPE_CHECKING:
    from macro_splat.model.macro_splat_model import MacroSplatModel

NOISE_PIXELS = 10_000
"""As many of a photograph's empty pixels tell its noise."""


def initialize_from_photos(model: MacroSplatModel, datamanager: Any, resumed: bool) -> None:
    """Set the model's background and lens, and mark the `empty` pixels of the cached photographs.

    Args:
        resumed: the training goes on from a checkpoint, which knows the background and the lens.

    Raises:
        MacroSplatError: the photographs are too large for the model, see `check_crops`.
    """
    photographs = Photographs(datamanager.cached_train)
    cameras, metadata = datamanager.train_dataset.cameras, datamanager.train_dataset.metadata
    points, measured = metadata.get("points3D_xyz"), metadata.get("points3D_measured", True)
    if float((cameras.width * cameras.height).max()) > datamanager.step_pixels:
        check_crops(model.config)
    finds_background = model.config.background_color == "auto"
    if not resumed:
        if finds_background:
            model.background.copy_(torch.from_numpy(plain_background(photographs)))
        if model.lens is not None:
            source = initialize_lens(model.lens, photographs, cameras, points, measured)
            report_lens(model.lens, source)
    if model.head.uses_silhouette and finds_background:
        _find_silhouettes(model, datamanager.cached_train, cameras, points if measured else None)


def _find_silhouettes(
    model: MacroSplatModel, views: Sequence[CachedView], cameras: Cameras, points: Tensor | None
) -> None:
    """Mark the `empty` pixels of the views; see whether there are any, and how much noise is in them."""
    background = model.background.cpu().numpy()
    matrices = cameras.get_intrinsics_matrices().cpu().double().numpy()
    viewmats = get_viewmat(cameras.camera_to_worlds.cpu()).double().numpy()
    contradictions = SilhouetteConsistency(np.empty((0, 3)) if points is None else points.cpu().double().numpy())
    model.cluttered, values = True, []
    for number, view in enumerate(views):
        picture = view["image"].cpu().numpy()
        reduction = look_reduction(max(picture.shape[:2]))
        empty = empty_pixels(reduced(picture[..., :3], reduction), background)
        if empty is None:
            continue
        model.cluttered = False
        if picture.shape[-1] == 3:
            contradictions.look(number, empty, viewmats[number], matrices[number] / [[reduction], [reduction], [1]])
            empty = enlarged(empty, reduction, picture.shape[:2])
            view["empty"] = torch.from_numpy(empty)[..., None]
            shown = picture[empty]
            values.append(shown[:: len(shown) // NOISE_PIXELS + 1] / (255.0 if shown.dtype == np.uint8 else 1.0))
    for number in contradictions.views():
        empty = views[number]["empty"][..., 0].cpu().numpy()
        reduction = look_reduction(max(empty.shape))
        height, width = (edge // reduction * reduction for edge in empty.shape)
        left = contradictions.prune(number, empty[:height:reduction, :width:reduction])
        views[number]["empty"] = torch.from_numpy(enlarged(left, reduction, empty.shape))[..., None]
    if model.config.defocus.sensor_noise and values:
        model.sensor_noise = SensorNoise.of_background(np.concatenate(values), background, model.device)


__all__ = ["initialize_from_photos"]
