"""Which files below a folder are photographs, and which are masks, earlier captures or other versions of one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, features

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.raw import RAW_SUFFIXES, is_raw
from macro_splat.utils.messages import brief, first_few

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"}) | (
    {".webp"} if features.check("webp") else frozenset()
)
OTHER_SUFFIXES = frozenset(
    {".heic", ".heif", ".hif", ".avif", ".webp", ".jxl", ".jp2", ".j2k", ".bmp", ".gif", ".psd", ".exr", ".hdr"}
    | {".jpe", ".jfif", ".mov", ".mp4", ".m4v", ".avi"}
)
"""What may be photographs or films of the object, and is not read."""
MASK_FOLDERS = ("masks", "mask")
MASK_ENDINGS = (".mask", "_mask", "-mask")
MAX_NAME_BYTES = 239
"""Bytes; file systems take 255, and what is kept of a photograph has its name and a longer ending."""
CAPTURE_FILES = (".process", "process.json", "transforms.json")
"""A folder with one of these is a capture: its pictures are copies."""
MAX_MASK_CHROMA, EXTREME_MARGIN, MIN_EXTREME_SHARE = 2, 16, 0.9
"""A mask has no colours, and nearly all of it is nearly black or nearly white (of 255)."""
REDUCED_COPY_RATIO = 1.05
"""From this ratio of pixels on, one version of a photograph is a reduced copy of the other."""
SAME_MOMENT_S = 2.0
"""Versions of a photograph were taken at the same time, within what tools round to."""

NoteCallback = Callable[[str, str], None]
"""Called with what the user should know, and what to do about it."""


@dataclass
class Listing:
    """What lies below a folder."""

    pictures: list[Path] = field(default_factory=list)
    """Photographs, as far as names tell."""
    unread: Counter[str] = field(default_factory=Counter)
    """How many pictures of which ending are of a kind that is not read."""
    captures: list[Path] = field(default_factory=list)
    """Folders of captures, which are passed over."""


def list_pictures(folder: Path, leave_out: Iterable[Path]) -> Listing:
    """List what lies in a folder and those below it; hidden files, masks and captures do not count.

    Args:
        leave_out: folders that are passed over without a word.
    """
    found, excluded = Listing(), {Path(path).resolve() for path in leave_out}
    for top, folders, files in os.walk(folder):
        here = Path(top)
        below = sorted(here / name for name in folders if not name.startswith((".", "@")))
        below = [path for path in below if path.name.lower() not in MASK_FOLDERS and path.resolve() not in excluded]
        captures = [path for path in below if any((path / name).exists() for name in CAPTURE_FILES)]
        found.captures += captures
        folders[:] = [path.name for path in below if path not in captures]
        for path in (here / name for name in files if not name.startswith((".", "@"))):
            suffix = path.suffix.lower()
            if not path.is_file() or path.stem.lower().endswith(MASK_ENDINGS):
                continue
            if suffix in PICTURE_SUFFIXES | RAW_SUFFIXES:
                found.pictures.append(path)
            elif suffix in OTHER_SUFFIXES:
                found.unread[suffix] += 1
    return found


def check_names(paths: Iterable[Path], folder: Path) -> None:
    """Refuse a name that is too long to be kept in a capture.

    Raises:
        MacroSplatError: it is, of a file or of a folder.
    """
    for path in paths:
        long = next((p for p in path.relative_to(folder).parts if len(os.fsencode(p)) > MAX_NAME_BYTES), None)
        if long is not None:
            raise MacroSplatError(
                f"{folder}: the name {brief(long)} has {len(os.fsencode(long))} bytes, and what belongs to a "
                f"photograph is kept under a longer one; rename it to {MAX_NAME_BYTES} or fewer"
            )


def report_skipped(found: Listing, folder: Path, note: NoteCallback) -> None:
    """Report what was passed over that the user may have wanted."""
    if found.captures:
        names = [brief(path.relative_to(folder).as_posix()) for path in found.captures]
        note(
            f"{len(names)} earlier capture(s) below the photographs are left out: {first_few(names)}.",
            "Name the folder itself to process its pictures again.",
        )
    if found.unread:
        note(f"Not read: {count_by_suffix(found.unread)}.", "Export them as JPEG, PNG or TIFF if they are wanted.")


def count_by_suffix(unread: Counter[str]) -> str:
    """Return how many files there are of which kind, as text."""
    return ", ".join(f"{count} {suffix}" for suffix, count in unread.most_common())


def versions(paths: Sequence[Path]) -> list[list[Path]]:
    """Group the pictures by photograph: files of one folder whose names differ in their ending, or have one more, as
    `a.jpg`, `a.tif` and `a.tif.png`. A raw file beside a developed picture comes last, and others in no order."""
    existing = {(path.parent, path.name) for path in paths}
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in sorted(paths):
        stem = path.stem
        while (path.parent, stem) in existing:  # a.tif.png belongs to a.tif
            stem = Path(stem).stem
        groups.setdefault((path.parent, stem), []).append(path)
    return [sorted(group, key=is_raw) for group in groups.values()]


def preference(path: Path, pixels: int, most: int) -> tuple[bool, int]:
    """Return a key that sorts the versions of a photograph, the best first: not reduced, in a format without loss."""
    order = (".tif", ".tiff", ".png", ".webp", ".jpg", ".jpeg")
    return pixels * REDUCED_COPY_RATIO < most, order.index(path.suffix.lower())


def looks_like_mask(path: Path) -> bool:
    """Return whether a picture beside its photograph is a mask: black and white, or transparent in part."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            plain = image.convert("RGBA") if image.mode in ("1", "P") else image  # these cannot be reduced
            small = plain.reduce(max(1, max(image.size) // 2048))
            if "A" in small.getbands() and small.getchannel("A").getextrema()[0] == 0:
                return True
            values = np.asarray(small.convert("RGB")).astype(np.int16)
    except Exception:  # whoever reads it next tells what is wrong with it
        return False
    if np.ptp(values, axis=2).max(initial=0) > MAX_MASK_CHROMA:
        return False
    return bool(((values < EXTREME_MARGIN) | (values > 255 - EXTREME_MARGIN)).mean() >= MIN_EXTREME_SHARE)
