"""Every focus stack as one picture, and which of its photographs is the sharpest where, small enough for one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from macro_splat.report.page import embedded_jpeg, embedded_png
from macro_splat.report.thumbnails import broken_file

BUDGET_BYTES = 1_000_000
"""Of all previews as they stand in the page; stacks beyond it have none."""
EDGE_PX = 320
"""Longest edge."""
QUALITY = 75
COLOURS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
"""[256, 3] sRGB, from the first photograph of a stack to its last."""
GRADIENT = ", ".join("rgb({} {} {})".format(*colour) for colour in COLOURS[::51])
"""The same as CSS writes it."""


@dataclass(frozen=True)
class StackPreview:
    """A focus stack as one picture, as data URIs."""

    identity: str
    width: int
    height: int
    picture: str
    chosen: str
    """Which photograph is the sharpest where, in `COLOURS`."""


def stack_previews(folder: Path, stacks: Sequence[Mapping[str, Any]]) -> dict[str, StackPreview]:
    """Return previews by the stack's id, for as many stacks as the budget allows and have been fused.

    Args:
        folder: holds `previews/ID.jpg` and `previews/ID.png`, both optional.
        stacks: of process.json.

    Raises:
        MacroSplatError: a file there is broken.
    """
    previews: dict[str, StackPreview] = {}
    spent = 0
    for stack in stacks:
        identity, count = str(stack["id"]), len(stack["photographs"])
        paths = folder / "previews" / f"{identity}.jpg", folder / "previews" / f"{identity}.png"
        if count < 2 or not all(path.is_file() for path in paths):
            continue
        picture, chosen = (_load(path) for path in paths)
        preview = _embed(picture.convert("RGB"), chosen.convert("L"), identity, count)
        spent += len(preview.picture) + len(preview.chosen)
        if spent > BUDGET_BYTES:
            break
        previews[identity] = preview
    return previews


def _load(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError) as error:  # Pillow's complaints
        raise broken_file(path, error) from error


def _embed(picture: Image.Image, chosen: Image.Image, identity: str, count: int) -> StackPreview:
    picture.thumbnail((EDGE_PX, EDGE_PX), Image.Resampling.BOX)
    places = np.asarray(chosen.resize(picture.size, Image.Resampling.NEAREST)).astype(int)
    steps = np.clip(places * 255 // max(count - 1, 1), 0, 255)
    colours = Image.fromarray(np.ascontiguousarray(COLOURS[steps])).quantize(min(count, 256))
    return StackPreview(identity, *picture.size, embedded_jpeg(picture, QUALITY), embedded_png(colours))
