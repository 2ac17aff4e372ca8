"""Masks read from the disk, and the error about a picture that cannot be decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macro_splat.errors import MacroSplatError
from macro_splat.utils.messages import reason


def broken_picture(path: Path, error: Exception) -> MacroSplatError:
    """Return the error about a picture that cannot be decoded."""
    if isinstance(error, Image.DecompressionBombError):
        return MacroSplatError(f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; reduce it")
    return MacroSplatError(f"{path} is broken or truncated ({reason(error)}); copy or export it again")


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask [H, W] scaled to a width and height; False = ignore.

    Transparency says nothing about what to ignore; dark red is not 0.

    Raises:
        MacroSplatError: the file is broken.
    """
    try:
        with Image.open(path) as picture:
            keep = np.asarray(np.array(picture.convert("RGB")).any(axis=2))
    except Exception as error:  # decoders raise many kinds of errors, and all of them mean that the file is broken
        raise broken_picture(path, error) from error
    if keep.shape[::-1] == size:
        return keep
    return np.array(Image.fromarray(keep).resize(size, Image.Resampling.NEAREST))
