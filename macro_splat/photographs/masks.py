"""Masks: which pixels of a photograph belong to the object. True = the object, False = to be ignored, or empty.

Found where the common programs put them, or made where the background is plain.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.background import (
    BACKGROUND_TOLERANCE,
    MIN_BACKGROUND_SHARE,
    NEIGHBOURHOOD_PX,
    border_mask,
    largest_deviation,
    share_of_colour,
)
from macro_splat.photographs.folder import MASK_ENDINGS, MASK_FOLDERS, looks_like_mask
from macro_splat.photographs.load import UPRIGHT_TRANSPOSE, Photograph, open_unmapped
from macro_splat.photographs.raw import is_raw
from macro_splat.utils.pictures import broken_picture

MASK_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
THRESHOLD = 128
"""Grey or alpha, of 255, from which on a pixel belongs to the object: JPEG leaves no mask quite black."""

MASK_EDGE = 1024
"""Masks are made on the picture reduced to this longer edge."""
MIN_LIGHT, MAX_DARK = 0.55, 0.25
"""A background brighter or darker than this is light or dark; what lies between may be an object's own greys."""
MAX_SCATTER = 0.008
"""A background that scatters more, of 1, is none: noise is averaged to a thousandth, what is out of focus is patchy."""
MARGIN_PX = 3
"""Added around the object for outskirts too faint to be told from noise."""
MIN_OBJECT_SHARE, MAX_OBJECT_SHARE = 0.002, 0.95
"""Share of the picture that an object has."""


def find_mask(photograph: Photograph, folder: Path | None = None) -> Path | NDArray[np.bool_] | None:
    """Return the photograph's mask: a file for `load_mask`, the alpha channel itself [H, W], upright, or None.

    Looked for, in this order: in `folder`; in `masks/` or `mask/` in the folder of photographs, beside it, and in that
    of the photograph; beside the photograph; in its alpha channel. Names are those of the photograph with any
    picture's ending, or with one added (`a.png`, `a.jpg.png`), and with `.mask`, `_mask` or `-mask` (`a.mask.png`,
    `a_mask.png`, `a.jpg.mask.png`). Beside the photograph `a.jpg.png` and `a.png` count where they look like a mask.

    Raises:
        MacroSplatError: `folder` is none.
    """
    if folder is not None and not Path(folder).is_dir():
        raise MacroSplatError(f"{folder} is no folder; give the folder that holds the masks")
    name = PurePosixPath(photograph.name)
    root = photograph.path.parents[len(name.parts) - 1]
    parent = photograph.path.parent
    marked = [base + ending for base in (name.stem, name.name) for ending in MASK_ENDINGS]
    everything = [name.stem, name.name, *marked]

    places = [] if folder is None else [Path(folder) / name.parent]
    places += [root / mask_folder / name.parent for mask_folder in MASK_FOLDERS]
    places += [root.parent / mask_folder / name.parent for mask_folder in MASK_FOLDERS]
    places += [parent / mask_folder for mask_folder in MASK_FOLDERS]
    for place, stems in [*((place, everything) for place in places), (parent, marked)]:
        if not place.is_dir():
            continue
        for stem in stems:
            for suffix in MASK_SUFFIXES:
                for ending in (suffix, suffix.upper()):
                    if (place / (stem + ending)).is_file():
                        return place / (stem + ending)
        same = place / name.name
        if stems is everything and same.is_file() and not is_raw(same):
            return same
    for beside in (parent / (base + ending) for base in (name.name, name.stem) for ending in (".png", ".PNG")):
        if beside != photograph.path and beside.is_file() and looks_like_mask(beside):
            return beside
    return _alpha(photograph)


def load_mask(photograph: Photograph, mask: Path | NDArray[np.bool_], *, inverted: bool = False) -> NDArray[np.bool_]:
    """Return the mask [H, W] of the upright photograph.

    A file of the photograph's stored size is rotated as the photograph is, one of another size but the same shape is
    resized.

    Args:
        mask: as `find_mask` gives it.
        inverted: the file's white pixels are those to ignore.

    Raises:
        MacroSplatError: the file is broken or of another shape than the photograph.
    """
    if not isinstance(mask, Path):
        return mask
    try:
        with open_unmapped(mask) as image:
            image.load()
            # Pillow rotates TIFF files itself.
            upright = image if image.format == "TIFF" else ImageOps.exif_transpose(image)
            transparent = "A" in upright.getbands() and len(upright.getchannel("A").getcolors() or ()) != 1
            grey = upright.getchannel("A") if transparent else upright.convert("L")
    except Exception as error:  # decoders raise many kinds of errors, and all of them mean that the file is broken
        raise broken_picture(mask, error) from error
    size = (photograph.width, photograph.height)
    if grey.size != size and photograph.exif.orientation >= 5 and _same_shape(grey.size, size[::-1]):
        grey = grey.transpose(UPRIGHT_TRANSPOSE[photograph.exif.orientation])
    if not _same_shape(grey.size, size):
        raise MacroSplatError(
            f"{mask} is {grey.width}x{grey.height} but its photograph {photograph.name} is {size[0]}x{size[1]}; "
            "make it anew or remove it"
        )
    if grey.size != size:
        grey = grey.resize(size, Image.Resampling.BILINEAR)
    return (np.asarray(grey) >= THRESHOLD) ^ inverted


def _same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether one is the other resized, within the rounding of whole pixels."""
    scale = max(size) / max(other)
    return all(abs(a - b * scale) <= max(1.0, scale) for a, b in zip(size, other, strict=True))


def _alpha(photograph: Photograph) -> NDArray[np.bool_] | None:
    """Return the alpha channel, upright; None if there is none or nothing is transparent."""
    if is_raw(photograph.path):
        return None
    try:
        with open_unmapped(photograph.path) as image:
            if not ("A" in image.getbands() or "transparency" in image.info):
                return None
            image.load()
            orientation = photograph.exif.orientation
            alpha = image.convert("RGBA").getchannel("A")
            if orientation in UPRIGHT_TRANSPOSE and image.format != "TIFF":  # Pillow rotates TIFF files itself
                alpha = alpha.transpose(UPRIGHT_TRANSPOSE[orientation])
    except Exception as error:
        raise broken_picture(photograph.path, error) from error
    mask = np.asarray(alpha) >= THRESHOLD
    return None if mask.all() else mask


def make_mask(picture: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Return the object before a plain light or dark background, with its blurred outskirts; None if that is not plain.

    The background is a quadratic surface of colour through the border, which follows the fall-off of lamps and lenses.
    It is what is joined to the border and differs from that surface no more than the border does, in the mean over a
    small neighbourhood: noise passes, the faint outskirts of a blurred object do not. Holes in the object stay with it.

    Args:
        picture: [H, W, 3] sRGB.

    Returns:
        [H, W]; True = the object.
    """
    full_height, full_width = picture.shape[:2]
    scale = min(1.0, MASK_EDGE / max(full_height, full_width))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    colours = small.astype(np.float32) / np.float32(255)
    background = plain_background_surface(colours)
    if background is None:
        return None
    difference = cv2.blur(np.abs(colours - background).mean(axis=2), (NEIGHBOURHOOD_PX, NEIGHBOURHOOD_PX))
    limit, scatter = largest_deviation(difference[border_mask(difference.shape)])
    if scatter > MAX_SCATTER:
        return None
    plain = difference <= limit

    # Components of the plain pixels that touch the border, which a frame around the picture joins into one.
    framed = cv2.copyMakeBorder(plain.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels = cv2.connectedComponents(framed, connectivity=4)
    target = (labels[1:-1, 1:-1] != labels[0, 0]).astype(np.uint8)
    margin = 2 * (MARGIN_PX + NEIGHBOURHOOD_PX // 2) + 1
    target = cv2.dilate(target, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (margin, margin)))
    if not MIN_OBJECT_SHARE <= target.mean() <= MAX_OBJECT_SHARE:
        return None
    return cv2.resize(target, (full_width, full_height), interpolation=cv2.INTER_NEAREST).astype(bool)


def plain_background_surface(colours: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the background's colour at every pixel, by what most of the border shows; None if that is not plain.

    Args:
        colours: [H, W, 3] sRGB in 0..1.

    Returns:
        [H, W, 3].
    """
    height, width = colours.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).astype(np.float32)
    at_border = border_mask((height, width))
    design, seen = terms[at_border], colours[at_border]
    fitted = np.broadcast_to(np.median(seen, axis=0), seen.shape)
    for count in (1, 3, 6, 6):  # constant, plane, quadratic: what the object covers of the border drops out on the way
        agrees = (np.abs(seen - fitted) <= 2 * BACKGROUND_TOLERANCE).all(axis=1)
        if agrees.sum() < MIN_BACKGROUND_SHARE / 2 * len(seen):
            return None
        surface, *_ = np.linalg.lstsq(design[agrees, :count], seen[agrees], rcond=None)
        fitted = design[:, :count] @ surface
    if share_of_colour(seen, fitted) < MIN_BACKGROUND_SHARE:
        return None
    brightness = float(np.median(fitted.mean(axis=1)))
    if MAX_DARK < brightness < MIN_LIGHT:
        return None
    return np.clip(terms @ surface, 0.0, 1.0)
