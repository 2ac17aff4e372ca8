"""Where photographs show a target: searched in many at a time, and kept for the next run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from macro_splat.photographs.load import Photograph, load_photograph, reduced_size
from macro_splat.process.parallel import for_each, threads_for
from macro_splat.process.scale.markers import Sighting, Target, TargetFinder
from macro_splat.process.stage_cache import StageCache, fingerprint, key_of
from macro_splat.utils.progress import ProgressCallback

VERSION = 1
"""Counts changes of what is kept, so that results of older versions are made anew."""
BYTES_PER_PIXEL = 10
"""At the peak: a photograph that is being decoded, and OpenCV's thresholded pictures of it."""


def search_target(
    photographs: Sequence[Photograph],
    target: Target,
    *,
    max_edge: int,
    cache: StageCache | None,
    threads: int | None,
    progress: ProgressCallback,
) -> list[Sighting | None]:
    """The target as each photograph shows it, in pixels of the photograph reduced to `max_edge`; None: not seen.

    Raises:
        MacroSplatError: the target is impossible, or a photograph broken.
    """
    TargetFinder(target)  # complains before anything is read
    own = threading.local()  # OpenCV does not promise that detectors can be shared

    def search(photograph: Photograph) -> Any:
        if not hasattr(own, "finder"):
            own.finder = TargetFinder(target)
        sighting = own.finder.find(load_photograph(photograph, max_edge))
        if sighting is None:
            return {"seen": False}
        marks = [[*mark, *map(float, xy)] for mark, xy in sighting.xy.items()]
        return {"seen": True, "marks": marks, "deviation_px": float(sighting.deviation_px)}

    def look(photograph: Photograph) -> Sighting | None:
        key = key_of(VERSION, type(target).__name__, asdict(target), max_edge, fingerprint(photograph))
        kept = None if cache is None else cache.get("markers", photograph.name, key)
        if kept is None:
            kept = search(photograph)
            if cache is not None:
                cache.put("markers", photograph.name, key, kept)
        if not kept["seen"]:
            return None
        xy = {(body, number): np.array([x, y]) for body, number, x, y in kept["marks"]}
        return Sighting(xy, kept["deviation_px"])

    if not photographs:
        return []
    most = threads_for(photographs, BYTES_PER_PIXEL, threads)
    return for_each(photographs, look, threads=most, what="Markers", progress=progress)


def searched_shape(photograph: Photograph, max_edge: int) -> tuple[int, int]:
    """Rows and columns of the picture that was searched."""
    width, height = reduced_size(photograph, max_edge)
    return height, width
