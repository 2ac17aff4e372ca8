"""Photographs of a folder: which there are, their size and tags, and their pixels when asked for.

The originals are only ever read. Nothing is decoded before `load_photograph`, and nothing is kept.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.ExifTags import Base as Tag

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.exif import Exif, read_exif, stored_size
from macro_splat.photographs.folder import (
    SAME_MOMENT_S,
    NoteCallback,
    check_names,
    count_by_suffix,
    list_pictures,
    looks_like_mask,
    preference,
    report_skipped,
    versions,
)
from macro_splat.photographs.raw import is_raw, open_raw
from macro_splat.utils.pictures import broken_picture

UPRIGHT_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of EXIF's orientation upright."""

# Pillow refuses pictures beyond 179 megapixels, which stays; its warning from 89 on is of no use to photographers.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Photograph:
    """One photograph, as a file: the pixels come from `load_photograph`."""

    path: Path
    """The original, never written to."""
    name: str
    """Posix path relative to the folder of photographs: its identity everywhere."""
    width: int
    height: int
    """Of the upright picture, that is after the EXIF orientation."""
    exif: Exif


def find_photographs(
    folder: Path, leave_out: Iterable[Path] = (), note: NoteCallback = lambda what, do: None
) -> list[Photograph]:
    """Return all photographs in the folder and in those below it, in the natural order of their names (2 before 10).

    Left out are hidden files, masks, and folders below that are captures. Of several files of one photograph, which
    have the same name but for the ending, one is taken: no raw file where there is a developed picture, whose
    development is the photographer's choice; the largest; and of these TIFF before PNG before JPEG.

    Args:
        leave_out: folders whose pictures are no photographs, for instance where masks are kept.
        note: called with what was left out, and what to do if it is wanted.

    Raises:
        MacroSplatError: no such folder, nothing in it, or the first picture that cannot be opened.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise MacroSplatError(f"{folder} {what}; give the folder that holds the photographs")
    found = list_pictures(folder, leave_out)
    if not found.pictures:
        but = f" but {count_by_suffix(found.unread)}, which are not read" if found.unread else ""
        but = but or (f" but the capture {found.captures[0].name}" if found.captures else "")
        raise MacroSplatError(f"{folder} holds no photographs{but}; give a folder with JPEG, PNG, TIFF or raw files")
    check_names(found.pictures, folder)
    report_skipped(found, folder, note)
    photographs, others = [], []
    for group in versions(found.pictures):
        best, rest = _best(group, folder)
        photographs += best
        others += [(path, best[0]) for path in rest]
    if others:
        path, best_one = min(others)
        note(
            f"{len(others)} file(s) show photographs that are there in a better format and are left out, as "
            f"{path.relative_to(folder).as_posix()} beside {best_one.path.name}.",
            "Give other photographs other names.",
        )
    return sorted(photographs, key=lambda photograph: natural_order(photograph.name))


def _best(group: Sequence[Path], folder: Path) -> tuple[list[Photograph], list[Path]]:
    """Return the photographs among files of one name, mostly one, and the files that show it too. Masks are neither."""
    raw = [path for path in group if is_raw(path)]
    developed = [path for path in group if not is_raw(path)]
    pictures = developed
    if len(group) > 1:
        pictures = [path for path in developed if path.suffix.lower() != ".png" or not looks_like_mask(path)]
    chosen = pictures or raw[:1] or developed
    opened = [open_photograph(path, path.relative_to(folder).as_posix()) for path in chosen]
    if len(opened) > 1:
        most = max(photograph.width * photograph.height for photograph in opened)
        opened.sort(key=lambda p: preference(p.path, p.width * p.height, most))
    best, *rest = opened
    others = [photograph for photograph in rest if not _same_moment(photograph.exif, best.exif)]
    same = [photograph.path for photograph in rest if photograph not in others]
    return [best, *others], same + [path for path in raw if path not in chosen]


def _same_moment(a: Exif, b: Exif) -> bool:
    """Return False where the tags say that two photographs were taken at different times."""
    if a.taken is None or b.taken is None:
        return True
    return abs((a.taken.replace(tzinfo=None) - b.taken.replace(tzinfo=None)).total_seconds()) <= SAME_MOMENT_S


def open_photograph(path: Path, name: str) -> Photograph:
    """Read size and tags of one file.

    Raises:
        MacroSplatError: the file cannot be opened as a picture.
    """
    exif = read_exif(path)
    if is_raw(path):
        with open_raw(path) as raw:
            size = (raw.sizes.width, raw.sizes.height)
            on_its_side = raw.sizes.flip in (5, 6)
    else:
        try:
            with Image.open(path) as image:
                size = stored_size(image)
        except Exception as error:  # decoders raise many kinds of errors
            raise broken_picture(path, error) from error
        on_its_side = exif.orientation >= 5
    width, height = size[::-1] if on_its_side else size
    return Photograph(path, name, width, height, exif)


def natural_order(name: str) -> tuple:
    """Return a key that sorts numbers in names by their value and letters without regard to case."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(int(part), part) if i % 2 else part for i, part in enumerate(parts)], name


def load_photograph(photograph: Photograph, max_edge: int | None = None) -> NDArray[np.uint8]:
    """Return the picture [H, W, 3], upright, in sRGB; an alpha channel is dropped.

    Raw files are developed by LibRaw with the camera's white balance and without automatic brightness, so that the
    photographs of a capture match.

    Args:
        max_edge: reduce the picture, by averaging, so that its longer edge has at most this many pixels.

    Raises:
        MacroSplatError: the file is broken or has pixels of a kind that no photograph has.
    """
    width, height = reduced_size(photograph, max_edge)
    try:
        if is_raw(photograph.path):
            image = _develop(photograph, max(width, height))
        else:
            image = _decode(photograph, (width, height))
    except MacroSplatError:
        raise
    except Exception as error:  # decoders raise many kinds of errors, and all of them mean that the file is broken
        raise broken_picture(photograph.path, error) from error
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BOX, reducing_gap=2.0)
    return np.array(image)


def reduced_size(photograph: Photograph, max_edge: int | None) -> tuple[int, int]:
    """Return width and height of the upright picture whose longer edge is at most `max_edge`."""
    width, height = photograph.width, photograph.height
    if max_edge is None or max_edge >= max(width, height):
        return width, height
    scale = max_edge / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _develop(photograph: Photograph, edge: int) -> Image.Image:
    with open_raw(photograph.path) as raw:
        half = 2 * edge <= max(photograph.width, photograph.height)
        return Image.fromarray(
            raw.postprocess(use_camera_wb=True, no_auto_bright=True, gamma=(2.4, 12.92), output_bps=8, half_size=half)
        )


@contextmanager
def open_unmapped(path: Path) -> Iterator[Image.Image]:
    """Open a picture so that Pillow does not map it into memory: it scrambles mapped TIFF files (grey, or with an
    alpha channel) that lie on their side, in version 13 at least."""
    with path.open("rb") as file, Image.open(file) as image:
        yield image


def _decode(photograph: Photograph, size: tuple[int, int]) -> Image.Image:
    """Decode the picture, upright and in sRGB, of the given size or larger."""
    orientation = photograph.exif.orientation
    with open_unmapped(photograph.path) as image:
        _check_pixels(photograph.path, image)
        # A JPEG is decoded at 1/2, 1/4 or 1/8 of its size, which saves time and memory.
        image.draft(None, size[::-1] if orientation >= 5 else size)
        image.load()
        if image.format == "TIFF":  # Pillow rotates these, and these alone, and then forgets the tag
            orientation = image.tag_v2.get(Tag.Orientation, 1)  # type: ignore[attr-defined]
        upright = _to_srgb(image)
    return upright.transpose(UPRIGHT_TRANSPOSE[orientation]) if orientation in UPRIGHT_TRANSPOSE else upright


def _check_pixels(path: Path, image: Image.Image) -> None:
    tags = getattr(image, "tag_v2", {})
    if tags.get(Tag.PlanarConfiguration) == 2 and max(tags.get(Tag.BitsPerSample, (8,))) > 8:
        # Pillow and OpenCV scramble them without a word.
        raise MacroSplatError(f"{path}: a 16 bit TIFF with separate colour planes; export it with interleaved pixels")
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise MacroSplatError(f"{path} has pixels of 32 bits; export it with 8 or 16 bits per channel")


def _to_srgb(image: Image.Image) -> Image.Image:
    """Return 8 bit RGB by the colour profile, if the picture carries one that can be used."""
    if image.mode.startswith("I"):  # 16 bit grey; 16 bit colours are 8 bit by Pillow's decoder already
        image = Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    icc = image.info.get("icc_profile")
    if icc and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            if "srgb" not in ImageCms.getProfileDescription(profile).lower():
                image = image.convert("RGB") if image.mode == "RGBA" else image
                srgb = ImageCms.createProfile("sRGB")
                return cast(Image.Image, ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB"))
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a broken profile, or one of another kind of picture: as if there were none
    return image.convert("RGB")
