"""Every focus stack as one picture, and which of its photographs is the sharpest where, small enough for one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from macro_splat.errors import MacroSplatError
from macro_splat.report.page import embedded_jpeg, embedded_png

BUDGET_BYTES = 1_000_000
"""Of all previews as they stand in the page; stacks beyond it have none."""
EDGE = 320
"""Longest edge in pixels."""
QUALITY = 75
COLOURS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
"""[256, 3] sRGB, from the first photograph of a stack to its last."""


def stack_previews(folder: Path, stacks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """HTML by the stack's id: two figures, for as many stacks as the budget allows and have been fused.

    Args:
        folder: holds `previews/ID.jpg` and `previews/ID.png`, both optional.
        stacks: of process.json.

    Raises:
        MacroSplatError: a file there is broken.
    """
    figures: dict[str, str] = {}
    spent = 0
    for stack in stacks:
        identity, count = str(stack["id"]), len(stack["photographs"])
        paths = folder / "previews" / f"{identity}.jpg", folder / "previews" / f"{identity}.png"
        if count < 2 or not all(path.is_file() for path in paths):
            continue
        picture, chosen = (_load(path) for path in paths)
        html = _figures(picture.convert("RGB"), chosen.convert("L"), identity, count)
        spent += len(html)
        if spent > BUDGET_BYTES:
            break
        figures[identity] = html
    return figures


def _load(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError) as error:  # Pillow's complaints
        reason = " ".join(str(error).split())[:120]
        raise MacroSplatError(f"{path} is broken ({reason}); delete it and process the photographs again") from error


def _figures(picture: Image.Image, chosen: Image.Image, identity: str, count: int) -> str:
    picture.thumbnail((EDGE, EDGE), Image.Resampling.BOX)
    places = np.asarray(chosen.resize(picture.size, Image.Resampling.NEAREST)).astype(int)
    steps = np.clip(places * 255 // max(count - 1, 1), 0, 255)
    colours = Image.fromarray(np.ascontiguousarray(COLOURS[steps])).quantize(min(count, 256))
    size = f'width="{picture.width}" height="{picture.height}"'
    bar = ", ".join("rgb({} {} {})".format(*COLOURS[k]) for k in range(0, 256, 51))
    name = escape(identity)
    return (
        f'<div class="fused"><figure><img {size} alt="{name}, all in focus" src="{embedded_jpeg(picture, QUALITY)}">'
        "<figcaption>the stack in one: a preview, training takes every photograph</figcaption></figure>"
        f'<figure><img {size} alt="{name}, sharpest photograph" src="{embedded_png(colours)}">'
        f'<figcaption>sharpest in the first <i style="background: linear-gradient(90deg, {bar})"></i> last photograph'
        "</figcaption></figure></div>"
    )
