"""A first look at every photograph, decoded once: how sharp it is and where, and a thumbnail for the report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macro_splat.photographs.load import Photograph, load_photograph
from macro_splat.photographs.sharpness import Verdict, judge_focus, sharpness_map, sharpness_score
from macro_splat.process.parallel import for_each, threads_for
from macro_splat.process.stage_cache import StageCache, fingerprint, key_of
from macro_splat.utils.atomic import atomic_write
from macro_splat.utils.npy import load_npy
from macro_splat.utils.progress import ProgressCallback

VERSION = 1
"""Counts changes of what is kept, so that results of older versions are made anew."""
THUMBNAIL_EDGE = 256
BYTES_PER_PIXEL = 22
"""At the peak: a picture and a turned copy of it, then four planes of float32."""


@dataclass(frozen=True)
class Look:
    """What the first look at a photograph tells."""

    score: float
    """How much sharp detail it holds."""
    verdict: Verdict
    blur_px: float
    """σ of its sharpest edges in pixels of the picture reduced to `sharpness.VERDICT_EDGE`; infinite without edges."""
    thumbnail: Path
    """JPEG, longest edge THUMBNAIL_EDGE."""
    sharpness: Path
    """.npy of the map of sharpness."""

    def load_map(self) -> NDArray[np.float32]:
        """The map of sharpness [h, w]."""
        return load_npy(self.sharpness)

    def load_thumbnail(self) -> NDArray[np.uint8]:
        """The thumbnail [h, w, 3]."""
        with Image.open(self.thumbnail) as image:
            return np.array(image.convert("RGB"))


class SharpnessMaps(Mapping[str, NDArray[np.float32]]):
    """The maps [h, w] of photographs by name, read when asked for: all of them at once may not fit into memory."""

    def __init__(self, looks: Mapping[str, Look]) -> None:
        self._looks = looks

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self._looks[name].load_map()

    def __iter__(self) -> Iterator[str]:
        return iter(self._looks)

    def __len__(self) -> int:
        return len(self._looks)


def survey(
    photographs: Sequence[Photograph],
    work: Path,
    cache: StageCache,
    *,
    threads: int | None,
    progress: ProgressCallback,
) -> dict[str, Look]:
    """Look at every photograph that has changed since the last time; results by name.

    Args:
        work: folder for `thumbnails/NAME.jpg` and `sharpness/NAME.npy`.

    Raises:
        MacroSplatError: a photograph is broken.
    """

    def look(photograph: Photograph) -> Look:
        key = key_of(VERSION, fingerprint(photograph))
        thumbnail = work / "thumbnails" / f"{photograph.name}.jpg"
        sharpness = work / "sharpness" / f"{photograph.name}.npy"
        kept = cache.get("survey", photograph.name, key)
        if kept is None or not (thumbnail.is_file() and sharpness.is_file()):
            kept = _look(photograph, thumbnail, sharpness)
            cache.put("survey", photograph.name, key, kept)
        blur = math.inf if kept["blur_px"] is None else kept["blur_px"]
        return Look(kept["score"], kept["verdict"], blur, thumbnail, sharpness)

    most = threads_for(photographs, BYTES_PER_PIXEL, threads)
    looks = for_each(photographs, look, threads=most, what="Sharpness", progress=progress)
    return {photograph.name: result for photograph, result in zip(photographs, looks, strict=True)}


def _look(photograph: Photograph, thumbnail: Path, sharpness: Path) -> dict:
    picture = load_photograph(photograph)
    focus = judge_focus(picture)
    thumbnail.parent.mkdir(parents=True, exist_ok=True)
    sharpness.parent.mkdir(parents=True, exist_ok=True)
    scale = min(1.0, THUMBNAIL_EDGE / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    with atomic_write(thumbnail) as file:
        Image.fromarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)).save(file, "JPEG", quality=85)
    values = sharpness_map(picture)
    with atomic_write(sharpness) as file:
        np.save(file, values)
    blur = focus.blur_px if math.isfinite(focus.blur_px) else None
    return {"score": sharpness_score(values), "verdict": focus.verdict, "blur_px": blur}
