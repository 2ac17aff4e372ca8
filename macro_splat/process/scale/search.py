"""Where photographs show a target: searched in many at a time, and kept for the next run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from macro_splat.photographs.load import Photograph, load_photograph
from macro_splat.process.scale.markers import Sighting, TargetFinder
from macro_splat.process.targets import Target
from macro_splat.process.workspace import Workspace, fingerprint, key_of

VERSION = 1
"""Counts changes of what is kept, so that results of older versions are made anew."""
BYTES_PER_PIXEL = 10
"""At the peak: a photograph that is being decoded, and OpenCV's thresholded pictures of it."""


def search_target(
    photographs: Sequence[Photograph], target: Target, workspace: Workspace, *, max_edge: int
) -> list[Sighting | None]:
    """Return the target as each photograph shows it, in pixels of the photograph reduced to `max_edge`; None: not seen.

    Raises:
        MacroSplatError: the target is impossible, or a photograph broken.
    """
    TargetFinder(target)  # complains before anything is read
    own = threading.local()  # OpenCV does not promise that detectors can be shared

    def search(photograph: Photograph) -> dict[str, Any]:
        if not hasattr(own, "finder"):
            own.finder = TargetFinder(target)
        sighting = own.finder.find(load_photograph(photograph, max_edge))
        if sighting is None:
            return {"seen": False}
        marks = [[*mark, *map(float, xy)] for mark, xy in sighting.xy.items()]
        return {"seen": True, "marks": marks, "deviation_px": float(sighting.deviation_px)}

    def find(photograph: Photograph) -> Sighting | None:
        key = key_of(VERSION, type(target).__name__, asdict(target), max_edge, fingerprint(photograph))
        kept = workspace.cached("markers", photograph.name, key, lambda: search(photograph))
        if not kept["seen"]:
            return None
        xy = {(body, number): np.array([x, y]) for body, number, x, y in kept["marks"]}
        return Sighting(xy, kept["deviation_px"])

    if not photographs:
        return []
    return workspace.for_each(photographs, find, what="Markers", bytes_per_pixel=BYTES_PER_PIXEL)
