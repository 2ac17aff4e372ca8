"""The masks of a capture: read where there are any, made where the ground is plain, at the size of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macro_splat.photographs.background import MIN_BACKGROUND_SHARE, share_of_colour
from macro_splat.photographs.load import Photograph, load_photograph, reduced_size
from macro_splat.photographs.masks import find_mask, load_mask, make_mask
from macro_splat.process.config import ProcessConfig
from macro_splat.process.survey import ImageQuality
from macro_splat.process.workspace import Workspace, file_fingerprint, fingerprint, key_of
from macro_splat.process.write_image import write_mask

VERSION = 2
"""Counts changes of what is kept, so that results of older versions are made anew."""
MIN_MADE_SHARE = 0.8
"""Part of the photographs whose ground must be plain: otherwise what looks so is some blurred part of the object."""
MAKING_EDGE = 1600
"""Masks are made from pictures reduced to this: a plain ground looks the same, in a fraction of the time."""
BYTES_PER_PIXEL = 10
"""At the peak: an alpha channel is read with its picture."""
COLOUR_TOLERANCE = 15.0
"""Of 255: as far may a pixel be from the background's colour, per channel, to count as background."""

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
        """Return the mask [H, W], True = look here."""
        with Image.open(self.path) as image:
            return np.asarray(image.convert("L")) > 127


def prepare_masks(
    photographs: Sequence[Photograph], config: ProcessConfig, workspace: Workspace, *, for_poses: bool
) -> dict[str, PreparedMask]:
    """Read or make the mask of every photograph, as far as the options ask for it; by name.

    Leaves `masks/NAME.png` in the workspace.

    Args:
        for_poses: whether structure from motion comes next: "auto" makes masks for that alone.

    Raises:
        MacroSplatError: a mask that is there cannot be read, or is none of its photograph.
    """
    if config.masks == "none":
        return {}
    ours = (config.out / "masks").resolve()  # what an earlier run left, where photographs lie within the capture
    make = config.masks == "make" or (config.masks == "auto" and for_poses)

    def prepare(photograph: Photograph) -> PreparedMask | None:
        found = find_mask(photograph, config.mask_folder)
        if isinstance(found, Path) and found.resolve().is_relative_to(ours):
            found = None
        origin: Origin | None = "made" if make else None
        if found is not None:
            origin = "read" if isinstance(found, Path) else "alpha"
        if origin is None:
            return None
        source = [str(found), *file_fingerprint(found)] if isinstance(found, Path) else origin
        size = reduced_size(photograph, config.max_edge)
        key = key_of(VERSION, fingerprint(photograph), source, config.mask_inverted, size)
        path = workspace.folder / "masks" / f"{photograph.name}.png"

        def write() -> bool:
            if found is None:
                mask = make_mask(load_photograph(photograph, MAKING_EDGE))
            else:
                mask = load_mask(photograph, found, inverted=config.mask_inverted)
            if mask is not None:
                write_mask(mask, path, size)
            return mask is not None

        exists = workspace.cached("masks", photograph.name, key, write, lambda exists: not exists or path.is_file())
        return PreparedMask(path, origin, origin == "made" and config.masks == "auto") if exists else None

    masks = workspace.for_each(photographs, prepare, what="Masks", bytes_per_pixel=BYTES_PER_PIXEL)
    prepared = {p.name: mask for p, mask in zip(photographs, masks, strict=True) if mask is not None}
    unmade = len(photographs) - len(prepared)
    made = sum(mask.origin == "made" for mask in prepared.values())
    if config.masks == "auto" and made < MIN_MADE_SHARE * (made + unmade):
        return {name: mask for name, mask in prepared.items() if mask.origin != "made"}
    return prepared


def background_colour(masks: Mapping[str, PreparedMask], quality: Mapping[str, ImageQuality]) -> tuple[int, int, int]:
    """Return the colour around the object in all photographs, or black where backgrounds differ or are not plain."""
    backgrounds = []
    for name, mask in masks.items():
        thumbnail = quality[name].load_thumbnail()
        outside = np.asarray(Image.fromarray(~mask.load()).resize(thumbnail.shape[1::-1], Image.Resampling.NEAREST))
        if outside.any():
            backgrounds.append(thumbnail[outside].astype(np.float32))
    if not backgrounds:
        return 0, 0, 0
    common = np.median([np.median(background, axis=0) for background in backgrounds], axis=0)
    agreement = np.mean([share_of_colour(background, common, COLOUR_TOLERANCE) for background in backgrounds])
    red, green, blue = (int(v) for v in np.round(common)) if agreement >= MIN_BACKGROUND_SHARE else (0, 0, 0)
    return red, green, blue
