"""What photographs tell before the first step of a training: where nothing is, and how much noise there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from nerfstudio.cameras.cameras import Cameras
from numpy.typing import NDArray

from macro_splat.compat.viewmat import get_viewmat
from macro_splat.model.background import SilhouetteConsistency, empty_pixels
from macro_splat.ops.resize import enlarged, look_reduction, reduced

NOISE_PIXELS = 10_000
"""As many of a photograph's empty pixels tell its noise."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What surrounds the object in the photographs."""

    plain: bool
    """Whether any photograph shows a plain background."""
    samples: NDArray[np.float64]
    """[K, 3] empty pixels in 0..1, at full size: their scatter is the sensor's noise."""


def find_silhouettes(
    photographs: Sequence[NDArray],
    cameras: Cameras,
    background: NDArray[np.float32],
    points: NDArray[np.float64] | None,
    keep_mask: Callable[[int, NDArray[np.bool_]], None],
) -> Surroundings:
    """Find the pixels at which photographs show nothing but their plain background.

    Args:
        photographs: of V views, [H, W, 3 or 4], uint8 or float in 0..1; transparent ones tell by themselves.
        cameras: the V cameras.
        background: [3] in 0..1.
        points: [P, 3] on surfaces, model units: where some photographs show one and others nothing, nobody knows.
        keep_mask: called with a view and its empty pixels [H, W]; again with fewer, where others contradict it.
    """
    matrices = cameras.get_intrinsics_matrices().cpu().double().numpy()
    viewmats = get_viewmat(cameras.camera_to_worlds.cpu()).double().numpy()
    consistency = SilhouetteConsistency(np.empty((0, 3)) if points is None else points)
    plain, samples = False, []
    for view, picture in enumerate(photographs):
        reduction = look_reduction(max(picture.shape[:2]))
        empty = empty_pixels(reduced(picture[..., :3], reduction), background)
        if empty is None:
            continue
        plain = True
        if picture.shape[-1] == 3:
            consistency.add_view(view, empty, viewmats[view], matrices[view] / [[reduction], [reduction], [1]])
            empty = enlarged(empty, reduction, picture.shape[:2])
            keep_mask(view, empty)
            shown = picture[empty]
            samples.append(shown[:: len(shown) // NOISE_PIXELS + 1] / (255.0 if shown.dtype == np.uint8 else 1.0))
    for view in consistency.conflicting_views():
        picture = photographs[view]
        reduction = look_reduction(max(picture.shape[:2]))
        empty = empty_pixels(reduced(picture, reduction), background)
        assert empty is not None  # as above: masks are not held, so that memory stays flat in the number of photographs
        keep_mask(view, enlarged(consistency.prune(view, empty), reduction, picture.shape[:2]))
    return Surroundings(plain, np.concatenate(samples) if samples else np.empty((0, 3)))
