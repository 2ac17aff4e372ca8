"""Files as cameras and their programs write them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

EXIF_DIRECTORY = 0x8769


def exif_block(main: dict[int, Any] | None = None, tags: dict[int, Any] | None = None) -> Image.Exif:
    """EXIF with these tags in its main and in its EXIF directory."""
    exif = Image.Exif()
    exif.update(main or {})
    exif.get_ifd(EXIF_DIRECTORY).update(tags or {})
    return exif


def canon_note(exif: Image.Exif, lower_cm: int, upper_cm: int) -> bytes:
    """The block of `exif` with Canon's notes in it: a directory with a ShotInfo record of 34 numbers of 16 bits."""
    record = [0] * 34
    record[19], record[20] = upper_cm, lower_cm
    size = 2 + 12 + 4 + 68
    exif.get_ifd(EXIF_DIRECTORY)[0x927C] = b"\xaa" * size
    block = exif.tobytes()
    start = block.index(b"\xaa" * size)
    order = ">" if block[6:8] == b"MM" else "<"
    note = struct.pack(f"{order}HHHIII34H", 1, 0x0004, 3, 34, start - 6 + 18, 0, *record)
    return block[:start] + note + block[start + size :]


def write_dng(path: Path, mosaic: NDArray[np.uint16], orientation: int = 1) -> None:
    """A minimal DNG: RGGB mosaic [H, W], 12 bits, colour matrix of sRGB primaries, no white balance."""
    xyz_to_camera = np.linalg.inv([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    matrix = [part for value in xyz_to_camera.ravel() for part in (round(float(value) * 10000), 10000)]
    tags = [
        (271, "s", 0, "Maker", True),
        (272, "s", 0, "Maker M1", True),
        (274, "H", 1, orientation, True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, b"\x00\x01\x01\x02", True),
        (50706, "B", 4, b"\x01\x04\x00\x00", True),
        (50708, "s", 0, "Maker M1", True),
        (50714, "H", 1, 0, True),
        (50717, "H", 1, 4095, True),
        (50721, "2i", 9, matrix, True),
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),
        (50778, "H", 1, 21, True),
    ]
    tifffile.imwrite(path, mosaic, photometric="cfa", extratags=tags, metadata=None, software=None)
