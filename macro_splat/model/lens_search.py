"""The lens tried out on the model in training, for the views whose capture does not tell how they were focused."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from macro_splat.defocus.per_view_lens import PerViewLens
from macro_splat.defocus.search import SharpView, search_focus, search_strength

VIEWS_FOR_STRENGTH = 12
"""As many views are blurred with every strength tried."""


@torch.no_grad()
def search_lens(
    lens: PerViewLens,
    unknown_focus: Tensor,
    unknown_aperture: Tensor,
    sharp_view: Callable[[int], tuple[SharpView, float]],
) -> None:
    """Move the plane of focus of the views without a given one to where the photograph is explained best.

    Views with a given focus distance, and a given aperture, stay as they are.

    Args:
        lens: of V views; its focus distances and its shared aperture are changed.
        unknown_focus, unknown_aperture: [V] bool, whether the capture leaves it open.
        sharp_view: returns what the model shows of a view now, and the focal length in its pixels.
    """
    if not bool(unknown_focus.any() | unknown_aperture.any()):
        return
    views = []
    moved = 0
    for index in range(lens.num_views):
        view, focal_px = sharp_view(index)
        strength = float(lens.aperture_radius()[index]) * focal_px
        focus = float(lens.inverse_focus_distance()[index])
        if bool(unknown_focus[index]):
            better, error, before = search_focus(view, focus, strength)
            if error < before:
                lens.set_inverse_focus_distance(index, better)
                moved += 1
                focus = better
        if index % max(1, lens.num_views // VIEWS_FOR_STRENGTH) == 0:
            views.append((view, focus, strength))
    # One factor for all: where some apertures are given, they hold the others.
    factor = search_strength(views) if bool(unknown_aperture.all()) else 1.0
    lens.log_aperture_shared.add_(math.log(factor))
    CONSOLE.log(f"Lens tried out: {moved} of {lens.num_views} planes of focus moved, aperture times {factor:g}.")
