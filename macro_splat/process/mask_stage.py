"""The masks of a capture: read where there are any, made where the ground is plain, at the size of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macro_splat.photographs.load import Photograph, load_photograph, reduced_size
from macro_splat.photographs.masks import find_mask, load_mask, make_mask
from macro_splat.process.config import ProcessSettings
from macro_splat.process.parallel import for_each, threads_for
from macro_splat.process.stage_cache import StageCache, file_fingerprint, fingerprint, key_of
from macro_splat.process.survey import Look
from macro_splat.process.write_image import write_mask
from macro_splat.utils.progress import ProgressCallback

VERSION = 2
"""Counts changes of what is kept, so that results of older versions are made anew."""
MADE_FOR = 0.8
"""Part of the photographs whose ground must be plain: otherwise what looks so is some blurred part of the object."""
MAKING_EDGE = 1600
"""Masks are made from pictures reduced to this: a plain ground looks the same, in a fraction of the time."""
BYTES_PER_PIXEL = 10
"""At the peak: an alpha channel is read with its picture."""
GROUND_TOLERANCE = 15.0
"""Of 255: as far may a pixel be from the ground's colour, per channel, to count as ground."""
GROUND_SHARE = 0.6
"""Part of the pixels outside the masks that must count as ground for it to be plain."""

Origin = Literal["read", "alpha", "made"]


@dataclass(frozen=True)
class PreparedMask:
    """The mask of one photograph, at the size of its image in the capture."""

    path: Path
    """A PNG of 0 (outside) and 255."""
    origin: Origin
    for_poses_only: bool = False
    """It helps structure from motion; training recognises a plain ground itself."""

    def load(self) -> NDArray[np.bool_]:
        """The mask [H, W], True = look here."""
        with Image.open(self.path) as image:
            return np.asarray(image.convert("L")) > 127


def prepare_masks(
    photographs: Sequence[Photograph],
    settings: ProcessSettings,
    work: Path,
    cache: StageCache,
    *,
    for_poses: bool,
    progress: ProgressCallback,
) -> dict[str, PreparedMask]:
    """Read or make the mask of every photograph, as far as the settings ask for it; by name.

    Args:
        work: folder for `masks/NAME.png`.
        for_poses: whether structure from motion comes next: "auto" makes masks for that alone.

    Raises:
        MacroSplatError: a mask that is there cannot be read, or is none of its photograph.
    """
    if settings.masks == "none":
        return {}
    ours = (work.parent / "masks").resolve()  # what an earlier run left, where photographs lie within the capture
    make = settings.masks == "make" or (settings.masks == "auto" and for_poses)

    def prepare(photograph: Photograph) -> PreparedMask | None:
        found = find_mask(photograph, settings.mask_folder)
        if isinstance(found, Path) and found.resolve().is_relative_to(ours):
            found = None
        origin: Origin | None = "made" if make else None
        if found is not None:
            origin = "read" if isinstance(found, Path) else "alpha"
        if origin is None:
            return None
        source = [str(found), *file_fingerprint(found)] if isinstance(found, Path) else origin
        size = reduced_size(photograph, settings.max_image_edge or None)
        key = key_of(VERSION, fingerprint(photograph), source, settings.mask_inverted, size)
        path = work / "masks" / f"{photograph.name}.png"
        exists: bool | None = cache.get("masks", photograph.name, key)
        if exists is None or (exists and not path.is_file()):
            mask = (
                make_mask(load_photograph(photograph, MAKING_EDGE))
                if found is None
                else load_mask(photograph, found, inverted=settings.mask_inverted)
            )
            exists = mask is not None
            if mask is not None:
                write_mask(mask, path, size)
            cache.put("masks", photograph.name, key, exists)
        return PreparedMask(path, origin, origin == "made" and settings.masks == "auto") if exists else None

    threads = threads_for(photographs, BYTES_PER_PIXEL, settings.threads)
    masks = for_each(photographs, prepare, threads=threads, what="Masks", progress=progress)
    prepared = {p.name: mask for p, mask in zip(photographs, masks, strict=True) if mask is not None}
    unmade = len(photographs) - len(prepared)
    made = sum(mask.origin == "made" for mask in prepared.values())
    if settings.masks == "auto" and made < MADE_FOR * (made + unmade):
        return {name: mask for name, mask in prepared.items() if mask.origin != "made"}
    return prepared


def ground_of(masks: Mapping[str, PreparedMask], looks: Mapping[str, Look]) -> tuple[int, int, int]:
    """The colour around the object in all photographs, or black where their grounds differ or are not plain."""
    grounds = []
    for name, mask in masks.items():
        thumbnail = looks[name].load_thumbnail()
        outside = np.asarray(Image.fromarray(~mask.load()).resize(thumbnail.shape[1::-1], Image.Resampling.NEAREST))
        if outside.any():
            grounds.append(thumbnail[outside].astype(np.float32))
    if not grounds:
        return 0, 0, 0
    common = np.median([np.median(ground, axis=0) for ground in grounds], axis=0)
    plain = np.mean([(np.abs(ground - common) <= GROUND_TOLERANCE).all(axis=1).mean() for ground in grounds])
    red, green, blue = (int(v) for v in np.round(common)) if plain >= GROUND_SHARE else (0, 0, 0)
    return red, green, blue
