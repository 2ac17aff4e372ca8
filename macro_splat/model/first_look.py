"""What a training finds out from its photographs before the first step: background, lens, and where nothing is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from macro_splat.data.cache import Photographs
from macro_splat.image.reduction import enlarged, look_reduction, reduced
from macro_splat.model.background import empty_pixels, plain_background
from macro_splat.model.crops import check_crops
from macro_splat.model.lens_start import report_lens, start_lens

if TYPE_CHECKING:
    from macro_splat.model.macro_splat_model import MacroSplatModel


def look_at_photographs(model: MacroSplatModel, datamanager: Any, resumed: bool) -> None:
    """Set the model's background and lens, and mark the `empty` pixels of the cached photographs.

    Args:
        resumed: the training goes on from a checkpoint, which knows the background and the lens.

    Raises:
        MacroSplatError: the photographs are too large for the model, see `check_crops`.
    """
    photographs = Photographs(datamanager.cached_train)
    cameras = datamanager.train_dataset.cameras
    if float((cameras.width * cameras.height).max()) > datamanager.step_pixels:
        check_crops(model.config)
    finds_background = model.config.background_color == "auto"
    if not resumed:
        if finds_background:
            model.background.copy_(torch.from_numpy(plain_background(photographs)))
        if model.lens is not None:
            metadata = datamanager.train_dataset.metadata
            points, measured = metadata.get("points3D_xyz"), metadata.get("points3D_measured", True)
            source = start_lens(model.lens, photographs, cameras, points, measured)
            report_lens(model.lens, source)
    if model.head.uses_silhouette and finds_background:
        background = model.background.cpu().numpy()
        model.cluttered = True
        for batch, photograph in zip(datamanager.cached_train, photographs, strict=True):
            reduction = look_reduction(max(photograph.shape[:2]))
            empty = empty_pixels(reduced(photograph, reduction), background)
            model.cluttered &= empty is None
            if empty is not None and batch["image"].shape[-1] == 3:
                empty = enlarged(empty, reduction, photograph.shape[:2])
                batch["empty"] = torch.from_numpy(empty)[..., None].to(batch["image"].device)


__all__ = ["look_at_photographs"]
