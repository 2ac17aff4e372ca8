"""Images and masks of a capture, written from photographs.

A photograph that can stay as it is (8 bit JPEG or PNG, upright, in sRGB, no reduction asked for) is copied byte for
byte. Any other becomes a JPEG if it was one, else a PNG, with those EXIF tags that say something about the lens.
"""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffImagePlugin
from PIL.ExifTags import IFD
from PIL.ExifTags import Base as Tag

from macro_splat.photographs.exif import SUBSECONDS
from macro_splat.photographs.load import Photograph, load_photograph, reduced_size
from macro_splat.photographs.raw import is_raw
from macro_splat.utils.atomic import atomic_write

JPEG_QUALITY = 97
PNG_COMPRESSION = 2
"""Of 9: larger ones take several times as long for files a few percent smaller."""
JPEG_SUFFIXES = (".jpg", ".jpeg")


def image_name(photograph: Photograph, *, carved: bool) -> str:
    """Return where the image of a photograph lies in the capture: its own name, with another ending where it must."""
    path = PurePosixPath("images") / photograph.name
    suffix = path.suffix.lower()
    if suffix == ".png" or (suffix in JPEG_SUFFIXES and not carved):
        return str(path)
    # The old ending stays, for another photograph may have the same name but for it.
    return f"{path}.png"


def can_stay(photograph: Photograph, max_edge: int | None) -> bool:
    """Return whether a photograph is an image of a capture already."""
    if is_raw(photograph.path) or reduced_size(photograph, max_edge) != (photograph.width, photograph.height):
        return False
    if photograph.exif.orientation != 1:
        return False
    with Image.open(photograph.path) as image:
        if image.format not in ("JPEG", "PNG") or image.mode not in ("RGB", "L") or "transparency" in image.info:
            return False
        if (image.format == "PNG") != (photograph.path.suffix.lower() == ".png"):
            return False  # a misnamed file
        if image.format == "PNG" and _png_depth(photograph.path) > 8:
            return False  # a capture's images have 8 bits, and Pillow does not tell these from others
        icc = image.info.get("icc_profile")
    return not icc or _is_srgb(icc)


def _png_depth(path: Path) -> int:
    """Return the bits per sample, which stand in the header at the head of the file."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _is_srgb(icc: bytes) -> bool:
    try:
        description = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return True  # what cannot be read means nothing: see `load_photograph`
    return "srgb" in description.lower()


def write_image(
    photograph: Photograph,
    target: Path,
    max_edge: int | None = None,
    carve: tuple[NDArray[np.bool_], Sequence[int]] | None = None,
) -> None:
    """Write the image of a photograph, upright and in sRGB.

    Args:
        max_edge: reduce it so that its longer edge has at most this many pixels.
        carve: mask [H, W] at the size of the image, and the colour that replaces what lies outside.

    Raises:
        MacroSplatError: the photograph is broken.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if carve is None and can_stay(photograph, max_edge):
        with photograph.path.open("rb") as source, atomic_write(target) as file:
            shutil.copyfileobj(source, file, 1 << 20)
        return
    picture = load_photograph(photograph, max_edge)
    if carve is not None:
        mask, colour = carve
        picture[~mask] = np.asarray(colour, dtype=np.uint8)
    exif = _exif_block(photograph, picture.shape[1], picture.shape[0])
    image = Image.fromarray(picture)
    with atomic_write(target) as file:
        if target.suffix.lower() == ".png":
            image.save(file, "PNG", compress_level=PNG_COMPRESSION, exif=exif)
        else:
            image.save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4", exif=exif)


def _exif_block(photograph: Photograph, width: int, height: int) -> Image.Exif:
    """Return what is known of the photograph as EXIF tags of its image of this size."""
    known = photograph.exif
    main = Image.Exif()
    if known.camera:
        main[Tag.Model] = known.camera
    tags: dict[int, Any] = {Tag.ExifImageWidth: width, Tag.ExifImageHeight: height}
    numbers = {
        Tag.FocalLength: known.focal_length_mm,
        Tag.FNumber: known.f_number,
        Tag.ExposureTime: known.exposure_s,
        Tag.SubjectDistance: None if known.focus_distance_mm is None else known.focus_distance_mm / 1000,
    }
    if known.pixel_pitch_mm is not None:
        pitch = known.pixel_pitch_mm * max(photograph.width, photograph.height) / max(width, height)
        numbers |= {Tag.FocalPlaneXResolution: 1 / pitch, Tag.FocalPlaneYResolution: 1 / pitch}
        tags[Tag.FocalPlaneResolutionUnit] = 4  # mm
    for tag, number in numbers.items():
        if number is not None and math.isfinite(number):
            tags[tag] = TiffImagePlugin.IFDRational(number)
    if known.lens:
        tags[Tag.LensModel] = known.lens
    if known.iso is not None:
        tags[Tag.ISOSpeedRatings] = min(65535, round(known.iso))
    if known.taken is not None:
        tags[Tag.DateTimeOriginal] = f"{known.taken:%Y:%m:%d %H:%M:%S}"
        tags[SUBSECONDS[Tag.DateTimeOriginal]] = f"{known.taken.microsecond:06d}"
    main.get_ifd(IFD.Exif).update(tags)
    return main


def write_mask(mask: NDArray[np.bool_], target: Path, size: tuple[int, int] | None = None) -> None:
    """Write a mask [H, W], True = look here, as a PNG of 0 and 255, resized to a width and height if they are given."""
    target.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    if size is not None and picture.size != size:
        picture = picture.resize(size, Image.Resampling.NEAREST)
    with atomic_write(target) as file:
        picture.save(file, "PNG")
