"""`lens.json`: the lens of every training photograph as it was learnt, in a form to read, beside a run's config.yml."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from macro_splat.defocus.per_view_lens import Origin, PerViewLens
from macro_splat.defocus.thin_lens import SIGMA_PER_DIAMETER
from macro_splat.utils.atomic import atomic_write

FILE_NAME = "lens.json"


def write_lens(path: Path, lens: PerViewLens, names: Sequence[str], metadata: dict[str, Any]) -> None:
    """Write the record whole or not at all; arguments as `lens_record`.

    Raises:
        OSError: the file cannot be written; an older one is untouched.
    """
    with atomic_write(path, "w") as file:
        json.dump(lens_record(lens, names, metadata), file, indent=1, allow_nan=False)
        file.write("\n")


def lens_record(lens: PerViewLens, names: Sequence[str], metadata: dict[str, Any]) -> dict[str, Any]:
    """Everything about the lens that is known, as plain numbers; what is unknown or infinite is None.

    Args:
        lens: of V views, in model units.
        names: [V] of the photographs.
        metadata: the dataparser's: `dataparser_scale` leads back to the scene's units, `mm_per_unit` from there to
            millimetres, and `lens` holds each view's `focal_length_mm`. Without them lengths stay in model units.

    Returns:
        `units`; `shared`, what all views have in common; `views`, for each its name, and of the focus distance and of
        the pupil's radius the value, the change since the start, where the start came from and, where that was
        estimated, its standard deviation.
    """
    scale = metadata.get("dataparser_scale")
    mm = metadata.get("mm_per_unit")
    to_scene = 1.0 if scale is None else 1.0 / float(scale)
    focus, aperture = (t.detach().cpu() * to_scene for t in (lens.focus_distance(), lens.aperture_radius()))
    start_focus, start_aperture = (t.cpu() * to_scene for t in (1.0 / lens.start_inverse_focus, lens.start_aperture))
    given = metadata.get("lens")
    focal_mm = [math.nan] * len(names) if given is None else given.focal_length_mm.reshape(-1).tolist()
    focal_px = lens.focal_px.cpu()

    def quantity(now: float, start: float, origin: Tensor, deviation: Tensor) -> dict[str, Any]:
        values = {
            "value": now,
            "value_mm": now * mm if mm is not None else math.nan,
            "change": now - start,
            "start_from": Origin(int(origin)).name.lower(),
            "start_uncertainty": float(deviation) * to_scene,
        }
        return {key: _known(value) for key, value in values.items()}

    views = []
    for i, name in enumerate(names):
        radius = float(aperture[i])
        f_number = math.nan if mm is None or radius <= 0 else focal_mm[i] / (2.0 * radius * mm)
        view: dict[str, Any] = {
            "name": name,
            "focus_distance": quantity(
                float(focus[i]), float(start_focus[i]), lens.focus_origin[i], lens.focus_uncertainty[i]
            ),
            "aperture_radius": quantity(
                radius, float(start_aperture[i]), lens.aperture_origin[i], lens.aperture_uncertainty[i]
            ),
            "f_number": _known(f_number),
            "focal_length_mm": _known(focal_mm[i]),
            "focal_length_px": float(focal_px[i]),
        }
        views.append(view)
    strength = 2.0 * SIGMA_PER_DIAMETER * aperture * focal_px
    return {
        "units": {
            "length": "model units" if scale is None else metadata.get("scene_unit") or "scene units, scale unknown",
            "mm_per_unit": mm if scale is not None else None,
            "blur": "sigma in pixels = strength * |1 / focus_distance - 1 / depth|",
        },
        "shared": {
            "strength": _known(float(strength.median())) if len(names) else None,
            "aperture_factor": float(lens.log_aperture_shared.detach().exp()),
        },
        "views": views,
    }


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
