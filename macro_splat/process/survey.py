"""The quality of every photograph, decoded once: how sharp it is and where, and a thumbnail for the report."""

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
from macro_splat.process.workspace import Workspace, fingerprint, key_of
from macro_splat.utils.atomic import atomic_write
from macro_splat.utils.npy import load_npy

VERSION = 1
"""Counts changes of what is kept, so that results of older versions are made anew."""
THUMBNAIL_EDGE = 256
BYTES_PER_PIXEL = 22
"""At the peak: a picture and a rotated copy of it, then four planes of float32."""


@dataclass(frozen=True)
class ImageQuality:
    """How good a photograph is, with the files that show it."""

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
        """Return the map of sharpness [h, w]."""
        return load_npy(self.sharpness)

    def load_thumbnail(self) -> NDArray[np.uint8]:
        """Return the thumbnail [h, w, 3]."""
        with Image.open(self.thumbnail) as image:
            return np.array(image.convert("RGB"))


class SharpnessMaps(Mapping[str, NDArray[np.float32]]):
    """The maps [h, w] of photographs by name, read when asked for: all of them at once may not fit into memory."""

    def __init__(self, quality: Mapping[str, ImageQuality]) -> None:
        self._quality = quality

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self._quality[name].load_map()

    def __iter__(self) -> Iterator[str]:
        return iter(self._quality)

    def __len__(self) -> int:
        return len(self._quality)


def survey(photographs: Sequence[Photograph], workspace: Workspace) -> dict[str, ImageQuality]:
    """Judge every photograph that has changed since the last time; results by name.

    Leaves `thumbnails/NAME.jpg` and `sharpness/NAME.npy` in the workspace.

    Raises:
        MacroSplatError: a photograph is broken.
    """

    def judge(photograph: Photograph) -> ImageQuality:
        thumbnail = workspace.folder / "thumbnails" / f"{photograph.name}.jpg"
        sharpness = workspace.folder / "sharpness" / f"{photograph.name}.npy"
        kept = workspace.cached(
            "survey",
            photograph.name,
            key_of(VERSION, fingerprint(photograph)),
            lambda: _judge(photograph, thumbnail, sharpness),
            lambda _: thumbnail.is_file() and sharpness.is_file(),
        )
        blur = math.inf if kept["blur_px"] is None else kept["blur_px"]
        return ImageQuality(kept["score"], kept["verdict"], blur, thumbnail, sharpness)

    results = workspace.for_each(photographs, judge, what="Sharpness", bytes_per_pixel=BYTES_PER_PIXEL)
    return {photograph.name: result for photograph, result in zip(photographs, results, strict=True)}


def _judge(photograph: Photograph, thumbnail: Path, sharpness: Path) -> dict:
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
