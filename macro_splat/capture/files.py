"""The files of a capture: photographs and masks, depth maps, sparse points."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from macro_splat.capture.format import Frame, Intrinsics, SparsePoints
from macro_splat.capture.ply import read_vertices
from macro_splat.errors import MacroSplatError
from macro_splat.utils.messages import reason
from macro_splat.utils.npy import load_npy
from macro_splat.utils.pictures import broken_picture

HUGE = 1e12
"""In scene units: what lies beyond is a mistake, and its square is near infinity in float32."""
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def check_photographs(frames: Iterable[Frame]) -> None:
    """Open every photograph, sharp photograph and mask, and compare its size with the intrinsics.

    Raises:
        MacroSplatError: the first picture, in the frames' order, that is broken, truncated, or of another size.
    """
    jobs = [
        (kind, path, frame.intrinsics)
        for frame in frames
        for kind, path in (("photograph", frame.image), ("sharp photograph", frame.sharp), ("mask", frame.mask))
        if path is not None
    ]
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as executor:
        for _ in executor.map(lambda job: _check_picture(*job), jobs):
            pass


def _check_picture(kind: str, path: Path, intrinsics: Intrinsics) -> None:
    width, height, mode = _probe(path)
    if (width, height) != (intrinsics.width, intrinsics.height):
        raise MacroSplatError(
            f"{path}: the {kind} is {width}x{height} but its intrinsics say {intrinsics.width}x{intrinsics.height}; "
            "resize it or correct `w`, `h`, `fl_x`, `fl_y`, `cx` and `cy`"
        )
    if kind != "mask" and mode in DEEP_MODES:
        raise MacroSplatError(f"{path}: the {kind} has pixels of type {mode}; save it with 8 bits per channel")


def _probe(path: Path) -> tuple[int, int, str]:
    """Width, height and mode, after making sure that the pixels are all there.

    A PNG's checksums are verified and a JPEG is decoded at an eighth of its size: both read the whole file at a
    fraction of the cost of decoding it.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            mode = image.mode
            if image.format == "PNG":
                image.verify()
            else:
                image.draft(None, (width // 8, height // 8))
                image.load()
    except Exception as error:  # decoders raise many kinds of errors, and all of them mean that the file is broken
        raise broken_picture(path, error) from error
    return width, height, mode


def check_depth(path: Path, intrinsics: Intrinsics) -> None:
    """Compare the header of a depth map with the intrinsics.

    Raises:
        MacroSplatError: it is no .npy file of floats of the photograph's size.
    """
    depth = load_depth(path, mmap=True)
    if depth.shape != (intrinsics.height, intrinsics.width):
        raise MacroSplatError(
            f"{path}: the depth map's shape is {depth.shape} but the photograph is "
            f"{intrinsics.height} rows of {intrinsics.width} pixels; make it anew or remove `depth_file_path`"
        )


def load_depth(path: Path, mmap: bool = False) -> np.ndarray:
    """Return a depth map [H, W], z along the optical axis in scene units, 0 where there is nothing."""
    try:
        # Mapped even to be read as a whole: that fails before anything is allocated where the file is too short.
        depth = load_npy(path, "r")
        if not isinstance(depth, np.ndarray) or depth.dtype.kind != "f":
            raise ValueError("not an array of floats")
    except (OSError, ValueError, EOFError) as error:
        raise MacroSplatError(
            f"{path} is no depth map ({reason(error)}); it must be a float32 .npy file: make it anew or remove its key"
        ) from error
    return depth if mmap else np.array(depth)


def read_points(path: Path) -> SparsePoints | None:
    """Read the coloured points of a PLY file; None if it holds none.

    Points that are not finite, or farther away than any scene is wide, are dropped.

    Raises:
        MacroSplatError: the file is broken, or its points have no positions or no colours.
    """
    try:
        vertices = read_vertices(path)
    except (OSError, ValueError) as error:
        raise MacroSplatError(
            f"{path} is no readable PLY point cloud ({reason(error)}); export it again or remove `ply_file_path`"
        ) from error
    lacking = [name for name in _COLUMNS if name not in (vertices.dtype.names or ())]
    if lacking:
        what = "colours" if lacking[0] in _COLUMNS[3:] else "positions"
        raise MacroSplatError(
            f"{path}: its points have no {what} ({', '.join(lacking)} missing); export it with them, or remove "
            "`ply_file_path` to start from random points"
        )
    with np.errstate(invalid="ignore"):  # some kinds of NaN
        xyz, rgb = (np.stack([vertices[name] for name in names], axis=1).astype(np.float64) for names in _XYZ_RGB)
    if vertices.dtype["red"].kind == "f":  # some tools write 0..1
        rgb *= 255
    finite = (np.abs(xyz) < HUGE).all(axis=1) & np.isfinite(rgb).all(axis=1)
    if not finite.any():
        return None
    return SparsePoints(xyz[finite], np.clip(np.round(rgb[finite]), 0, 255).astype(np.uint8))


_XYZ_RGB = ("x", "y", "z"), ("red", "green", "blue")
_COLUMNS = (*_XYZ_RGB[0], *_XYZ_RGB[1])
