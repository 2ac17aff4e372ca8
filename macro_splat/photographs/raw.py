"""Raw files of cameras, opened by rawpy (LibRaw)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from macro_splat.errors import MacroSplatError
from macro_splat.utils.messages import reason

# fmt: off
RAW_SUFFIXES = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff",
    ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef",
    ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
})
# fmt: on
"""Endings, in lower case, of the files that go to rawpy and not to Pillow."""


def is_raw(path: Path) -> bool:
    """Return whether the file's name is that of a raw file."""
    return path.suffix.lower() in RAW_SUFFIXES


def open_raw(path: Path) -> Any:
    """Return the opened `rawpy.RawPy`, a context manager.

    Raises:
        MacroSplatError: rawpy is not installed, or the file is broken or of a camera that LibRaw does not know.
    """
    try:
        import rawpy
    except ImportError as error:
        raise MacroSplatError(
            f"{path} is a raw file, and rawpy, which reads them, is not installed; run `pip install rawpy` or export "
            "JPEG or TIFF files"
        ) from error
    try:
        return rawpy.imread(str(path))
    except (rawpy.LibRawError, OSError) as error:
        raise MacroSplatError(
            f"{path} is no raw file that LibRaw {'.'.join(map(str, rawpy.libraw_version))} can read ({reason(error)}); "
            "copy it again, update rawpy, or export it as TIFF"
        ) from error
