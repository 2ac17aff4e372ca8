"""What structure from motion takes from files and EXIF data: masks, focal lengths, and names for their content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.load import Photograph

FOCAL_RANGE = (0.2, 50.0)
"""Focal lengths that can be, by the longer edge: a macro lens at five times life size has 11."""


def load_mask(mask: Path, photograph: Photograph, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask at the size of the picture that features are searched in."""
    try:
        with Image.open(mask) as image:
            values = np.asarray(image.convert("L"))
    except (OSError, ValueError, SyntaxError) as error:
        raise MacroSplatError(f"{mask} is no readable mask ({error}); export it again or remove it") from error
    height, width = values.shape
    if abs(width * photograph.height - height * photograph.width) > 0.02 * height * photograph.width:
        raise MacroSplatError(
            f"{mask} of {photograph.name} is {width}x{height} but the "
            f"upright photograph is {photograph.width}x{photograph.height}; make it of the same shape"
        )
    resized = cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized > values.max(initial=0) / 2)


def focal_length_px(photograph: Photograph, width: int) -> float | None:
    """Return the focal length by EXIF in pixels of the picture reduced to this width; None: unknown or impossible."""
    exif = photograph.exif
    if not exif.focal_length_mm or not exif.pixel_pitch_mm:
        return None
    # Focused closer than infinity a lens stands 1 + m focal lengths from the sensor.
    focal_px = exif.focal_length_mm * (1 + (exif.magnification or 0.0)) / exif.pixel_pitch_mm
    low, high = (ratio * max(photograph.width, photograph.height) for ratio in FOCAL_RANGE)
    return focal_px * width / photograph.width if low < focal_px < high else None


def digest(*parts: Any) -> str:
    """Return a short name for a combination of values, files and arrays."""
    name = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            part = (str(part), part.stat().st_size, part.stat().st_mtime_ns) if part.exists() else str(part)
        elif isinstance(part, np.ndarray):
            part = (part.shape, hashlib.sha256(part.tobytes()).hexdigest())
        name.update(repr(part).encode() + b"\0")
    return name.hexdigest()[:20]
