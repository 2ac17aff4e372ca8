"""What the camera wrote beside the picture: EXIF, a little XMP and Canon's notes. Garbage in them is the normal case.

Formulas are those of a thin lens focused at magnification m (e.g. S. F. Ray, Applied Photographic Optics, ch. 22):
the object is f·(1 + 1/m) before the lens, the sensor f·(1 + m) behind it, their distance is D = f·(1 + m)²/m, and the
working f-number is N·(1 + m). A real macro lens has two principal planes some way apart, shortens its focal length
when focused close, and its pupils differ in size, so that m from D is a first guess, good to perhaps a fifth.
"""

from __future__ import annotations

import io
import math
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin
from PIL.ExifTags import IFD
from PIL.ExifTags import Base as Tag

from macro_splat.photographs.raw import is_raw, open_raw
from macro_splat.utils.pictures import broken_picture

FULL_FRAME_DIAGONAL_MM = math.hypot(36.0, 24.0)
SUBSECONDS = {
    Tag.DateTime: Tag.SubsecTime,
    Tag.DateTimeOriginal: Tag.SubsecTimeOriginal,
    Tag.DateTimeDigitized: Tag.SubsecTimeDigitized,
}
UNIT_IN_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}
CANON_SHOT_INFO, CANON_FILE_INFO = 0x0004, 0x0093
# What Pillow has to say about garbage in the tags is of no use to photographers.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
RESIZED = 1.5
"""From this factor on, a sensor that is smaller by its pixels than by the 35 mm equivalent means a resized picture."""


@dataclass(frozen=True)
class Exif:
    """What is known of how a photograph was taken; None = the tag is not there or makes no sense."""

    camera: str | None = None
    """Maker and model."""
    lens: str | None = None
    focal_length_mm: float | None = None
    """Of the lens itself, as engraved: not the 35 mm equivalent."""
    f_number: float | None = None
    """As set: at infinity."""
    focus_distance_mm: float | None = None
    """From the object in focus to the sensor, as cameras count it; often coarse."""
    exposure_s: float | None = None
    iso: float | None = None
    taken: datetime | None = None
    """By the camera's clock, with fractions of a second where given."""
    orientation: int = 1
    """1..8, EXIF's: how to make the stored picture upright."""
    sensor_width_mm: float | None = None
    """Of that part of the sensor which the rows of the photograph as stored cover."""
    pixel_pitch_mm: float | None = None
    """Side of a pixel of the photograph as stored, on the sensor."""
    magnification: float | None = None
    """Of the thin lens in focus at `focus_distance_mm`; by the tags at most 1."""
    working_f_number: float | None = None
    """f_number · (1 + magnification): what sets exposure and diffraction."""

    @property
    def object_distance_mm(self) -> float | None:
        """From the thin lens to the plane in focus, f·(1 + 1/m): what a capture calls `focus_distance`."""
        if self.focal_length_mm is None or self.magnification is None:
            return None
        return self.focal_length_mm * (1 + 1 / self.magnification)


def read_exif(path: Path) -> Exif:
    """Read the tags of a photograph: JPEG, PNG, TIFF or raw.

    Raises:
        MacroSplatError: the file itself is no picture. Whatever stands in the tags raises nothing.
    """
    if is_raw(path):
        return _read_raw(path)
    try:
        with Image.open(path) as image:
            return _parse(_tags(image), image.info, stored_size(image))
    except Exception as error:  # decoders raise many kinds of errors, and all of them mean that the file is broken
        raise broken_picture(path, error) from error


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an opened picture's pixels as they lie in the file: Pillow turns TIFF files upright."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        return tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]
    return image.size


def magnification_at(focal_length_mm: float, focus_distance_mm: float) -> float | None:
    """Magnification m ≤ 1 of a thin lens whose object and sensor are D = f·(1 + m)²/m apart; None if D < 4f.

    No thin lens focuses nearer than 4f; real ones do, by shortening f, and then nothing follows from D.
    """
    f, d = focal_length_mm, focus_distance_mm
    if d < 4 * f:
        return None
    # The smaller root of f·m² − (D − 2f)·m + f = 0, in the form without cancellation.
    return 2 * f / (d - 2 * f + math.sqrt(d * (d - 4 * f)))


def _read_raw(path: Path) -> Exif:
    with open_raw(path) as raw:
        size = (raw.sizes.width, raw.sizes.height)
        exif = Image.Exif()
        try:  # most raw files are built like TIFF files, whose tags can be read without their pixels
            with path.open("rb") as file:
                exif.load_from_fp(file)
            return _parse(exif, {"xmp": exif.get(Tag.XMLPacket)}, size)
        except Exception:  # others are not
            pass
        try:  # and carry a JPEG whose tags are the photograph's
            with Image.open(io.BytesIO(raw.extract_thumb().data)) as image:
                return _parse(_tags(image), image.info, size)
        except Exception:  # or none, or a preview of another kind: then there are no tags
            return Exif()


def _tags(image: Image.Image) -> Image.Exif:
    """Return the EXIF block of an opened picture, empty if there is none or it cannot be walked through."""
    try:
        if image.format != "PNG":
            return image.getexif()
        # Pillow's own way decodes all pixels in search of tags behind them.
        block = _png_chunk(image, b"eXIf")
        if block is None:
            return Image.Image.getexif(image)
        exif = Image.Exif()
        exif.load(block)
        return exif
    except Exception:  # any garbage may stand there
        return Image.Exif()


def _parse(exif: Image.Exif, info: Mapping[Any, Any], size: tuple[int, int]) -> Exif:
    """Read the tags of a picture whose stored pixels are of that size; `info` has its XMP and the block in bytes."""
    main, tags = _directories(exif)
    xmp = _xmp(info)
    focal_length = _number(tags.get(Tag.FocalLength), 0.1, 1e4)
    f_number = _number(tags.get(Tag.FNumber), 0.1, 1e3)
    if f_number is None and (apex := _number(tags.get(Tag.ApertureValue), 0.0, 20.0)) is not None:
        f_number = 2 ** (apex / 2)
    exposure = _number(tags.get(Tag.ExposureTime), 1e-7, 1e6)
    if exposure is None and (apex := _number(tags.get(Tag.ShutterSpeedValue), -20.0, 20.0)) is not None:
        exposure = 2**-apex
    iso = _number(tags.get(Tag.ISOSpeedRatings), 1.0, 1e8)
    if iso is None or iso == 65535:  # the tag holds 16 bits
        iso = _number(tags.get(Tag.RecommendedExposureIndex), 1.0, 1e8) or iso
    focus_distance = (
        _metres(tags.get(Tag.SubjectDistance))
        or _metres(_xmp_value(xmp, "ApproximateFocusDistance"))
        or _metres(_xmp_value(xmp, "SubjectDistance"))
        or _canon_focus_distance(info.get("exif"), main.get(Tag.Make), tags.get(Tag.MakerNote))
    )
    magnification = magnification_at(focal_length, focus_distance) if focal_length and focus_distance else None
    orientation = _number(main.get(Tag.Orientation), 1, 8)
    sensor_width = _sensor_width(tags, focal_length, size)
    return Exif(
        camera=_camera(_text(main.get(Tag.Make)), _text(main.get(Tag.Model))),
        lens=_text(tags.get(Tag.LensModel)) or _text(_xmp_value(xmp, "Lens")),
        focal_length_mm=focal_length,
        f_number=f_number,
        focus_distance_mm=focus_distance,
        exposure_s=exposure,
        iso=iso,
        taken=_taken(main, tags),
        orientation=int(orientation) if orientation is not None else 1,
        sensor_width_mm=sensor_width,
        pixel_pitch_mm=sensor_width / size[0] if sensor_width else None,
        magnification=magnification,
        working_f_number=f_number * (1 + magnification) if f_number and magnification else None,
    )


def _directories(exif: Image.Exif) -> tuple[Mapping[int, Any], Mapping[int, Any]]:
    """Return the main directory and the EXIF directory, as far as they can be read."""
    main = {}
    for tag in exif:
        try:
            main[tag] = exif[tag]
        except Exception:  # any garbage may stand there
            continue
    try:
        return main, exif.get_ifd(IFD.Exif)
    except Exception:
        return main, {}


def _png_chunk(image: Image.Image, kind: bytes) -> bytes | None:
    """Return the data of the first chunk of that kind in the file of a PNG picture, found without decoding any."""
    if not getattr(image, "filename", ""):
        return None
    with open(image.filename, "rb") as file:  # type: ignore[attr-defined]
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, found = struct.unpack(">I4s", head)
            if found == kind:
                return file.read(length)
            file.seek(length + 4, 1)
    return None


def _xmp(info: Mapping[Any, Any]) -> str:
    """Return the XMP packet as text, empty if there is none."""
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    return packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet)


def _xmp_value(packet: str, name: str) -> str | None:
    """Return the value of a simple property, written as attribute or as element.

    By a regular expression: XML parsers stumble over the garbage that may stand there, or can be made to explode.
    """
    found = re.search(rf"\b\w+:{name}\s*(?:=\s*[\"']([^\"'<>]*)|>([^<>]*)<)", packet[:1_000_000])
    return None if found is None else found[1] or found[2]


def _number(value: Any, low: float, high: float) -> float | None:
    """Return the tag as a number if it is one within [low, high]; of several, the first."""
    if isinstance(value, tuple | list):
        value = value[0] if value else None
    if isinstance(value, bytes) or value is None:
        return None
    try:
        if isinstance(value, str):
            numerator, _, denominator = value.partition("/")
            number = float(numerator) / float(denominator or 1)
        else:
            number = float(value)
    except (ValueError, TypeError, ArithmeticError):
        return None
    return number if low <= number <= high else None  # false for nan


def _metres(value: Any) -> float | None:
    """Return a distance that stands in metres, in millimetres. 0 means unknown and 2³² − 1 infinity."""
    metres = _number(value, 1e-3, 1e5)
    return None if metres is None else metres * 1000


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    text = "".join(c if c.isprintable() else " " for c in value.split("\0")[0])
    return " ".join(text.split())[:200] or None


def _camera(make: str | None, model: str | None) -> str | None:
    if make is None or model is None:
        return make or model
    return model if model.lower().startswith(make.lower().split()[0]) else f"{make} {model}"


def _taken(main: Mapping[int, Any], tags: Mapping[int, Any]) -> datetime | None:
    for tag, directory in ((Tag.DateTimeOriginal, tags), (Tag.DateTimeDigitized, tags), (Tag.DateTime, main)):
        found = re.match(r"(\d{4})\D(\d\d)\D(\d\d)\D(\d\d)\D(\d\d)\D(\d\d)", _text(directory.get(tag)) or "", re.ASCII)
        if found is None:
            continue
        digits = re.match(r"\d+", _text(tags.get(SUBSECONDS[tag])) or "", re.ASCII)
        microsecond = int(digits[0][:6].ljust(6, "0")) if digits else 0
        try:
            year, month, day, hour, minute, second = (int(part) for part in found.groups())
            return datetime(year, month, day, hour, minute, second, microsecond)
        except ValueError:  # month 13, or 0000:00:00 of a camera whose clock was never set
            continue
    return None


def _sensor_width(tags: Mapping[int, Any], focal_length: float | None, size: tuple[int, int]) -> float | None:
    """Width in mm of what the stored picture's rows cover on the sensor.

    First by FocalPlaneXResolution, pixels per unit of the picture as it left the camera, whose size is PixelXDimension:
    the picture may have been resized or rotated since. Else by the 35 mm equivalent, which relates the diagonals (CIPA
    DCG-001). A tool that resized the picture, corrected PixelXDimension but left FocalPlaneXResolution makes the sensor
    too small; the equivalent gives that away.
    """
    width, height = size
    by_equivalent = None
    equivalent = _number(tags.get(Tag.FocalLengthIn35mmFilm), 1.0, 1e5)
    if equivalent is not None and focal_length is not None:
        diagonal = FULL_FRAME_DIAGONAL_MM * focal_length / equivalent
        by_equivalent = _number(diagonal * width / math.hypot(width, height), 0.5, 200.0)

    unit = UNIT_IN_MM.get(int(_number(tags.get(Tag.FocalPlaneResolutionUnit, 2), 0, 100) or 0))
    resolution = _number(tags.get(Tag.FocalPlaneXResolution), 1e-6, 1e9)
    if unit is None or resolution is None:
        return by_equivalent
    at_capture = (
        _number(tags.get(Tag.ExifImageWidth), 1, 1e6) or width,
        _number(tags.get(Tag.ExifImageHeight), 1, 1e6) or height,
    )
    rotated = (at_capture[0] - at_capture[1]) * (width - height) < 0
    if rotated:
        resolution = _number(tags.get(Tag.FocalPlaneYResolution), 1e-6, 1e9) or resolution
    by_pixels = _number(at_capture[rotated] / resolution * unit, 0.5, 200.0)
    if by_pixels is None or (by_equivalent is not None and by_pixels * RESIZED < by_equivalent):
        return by_equivalent
    return by_pixels


def _canon_focus_distance(block: Any, make: Any, note: Any) -> float | None:
    """Focus distance in mm from Canon's notes: cm in the ShotInfo or FileInfo record, upper and lower bound.

    Record layouts as documented for ExifTool (Canon tag names: ShotInfo 19 and 20, FileInfo 20 and 21). Other makers
    encrypt this or count in steps of a motor.
    """
    if not (isinstance(block, bytes) and isinstance(note, bytes) and note and (_text(make) or "").startswith("Canon")):
        return None
    block = block.removeprefix(b"Exif\0\0")
    try:
        # Offsets within the note count from the start of the whole block.
        directory = TiffImagePlugin.ImageFileDirectory_v2(block[:8])
        file = io.BytesIO(block)
        file.seek(block.find(note))
        directory.load(file)
        for tag, first in ((CANON_SHOT_INFO, 19), (CANON_FILE_INFO, 20)):
            bounds = [cm for cm in directory.get(tag, ())[first : first + 2] if 0 < cm < 65535]
            if bounds:
                return 10.0 * sum(bounds) / len(bounds)
    except Exception:  # any garbage may stand there
        return None
    return None
