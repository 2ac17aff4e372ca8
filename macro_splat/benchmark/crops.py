"""Small cut-outs that show the difference: where the photograph is blurred and the truth, or a render, has detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from macro_splat.benchmark.run import PICTURES
from macro_splat.benchmark.suite import Row

Picture = NDArray[np.uint8]
EDGE_SHARE = 0.32
"""Edge of a cut-out, as a share of the picture's height."""
MIN_EDGE_PX = 24
SHEET_TILE_PX, SHEET_MARGIN_PX, SHEET_CAPTION_PX = 260, 6, 22
"""Of a sheet: edge of a cut-out, space between two, height of the captions."""
MAX_STRIPS = {"train": 3, "test": 2}
"""Of training views, whose photographs are blurred, and of held-out views."""


@dataclass(frozen=True)
class Tile:
    """One cut-out of a strip."""

    caption: str
    pixels: Picture | None
    """[h, w, 3]; None: there is no such picture of this view."""


@dataclass(frozen=True)
class Strip:
    """The same cut-out of one view as every mode shows it."""

    view: str
    held_out: bool
    tiles: tuple[Tile, ...]


def strips_by_capture(rows: Sequence[Row]) -> dict[tuple[str, str], list[Strip]]:
    """Return strips by the names of capture and variant, where there are any."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.entry.capture, row.entry.variant.name), []).append(row)
    strips = {name: make_strips(group) for name, group in groups.items()}
    return {name: made for name, made in strips.items() if made}


def make_strips(rows: Sequence[Row]) -> list[Strip]:
    """Return strips of the views with the most to gain: photograph | every mode | truth.

    Args:
        rows: of one capture and one variant, with their results. Modes of the same view show the same pixels.
    """
    done = [row for row in rows if row.result is not None and row.folder is not None]
    # The photographs of a mode that trains on others are not the capture's.
    plain = [row for row in done if not row.entry.mode.uses_sharp and row.entry.mode.prepare is None]
    if not plain:
        return []
    views = sorted(path.name[: -len(".render.png")] for path in _folder(plain[0]).glob("*.render.png"))
    scored = [(_strip(view, done, plain), view) for view in views]
    chosen: list[Strip] = []
    for split, count in MAX_STRIPS.items():
        own = [scored_strip for scored_strip, view in scored if view.startswith(f"{split}-")]
        chosen += [strip for _, strip in sorted(own, key=lambda each: -each[0])[:count]]
    return chosen


def make_sheet(strips: Sequence[Strip]) -> Image.Image:
    """Return strips below each other as one picture, with captions above: for documents that cannot show the page."""
    columns = [tile.caption for tile in strips[0].tiles]
    pitch = SHEET_TILE_PX + SHEET_MARGIN_PX
    size = (len(columns) * pitch - SHEET_MARGIN_PX, len(strips) * pitch - SHEET_MARGIN_PX + SHEET_CAPTION_PX)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, caption in enumerate(columns):
        while draw.textlength(caption, font) > SHEET_TILE_PX:
            caption = caption[:-2] + "…"
        draw.text((column * pitch + 2, 2), caption, "black", font)
        for row, strip in enumerate(strips):
            pixels = strip.tiles[column].pixels
            if pixels is not None:
                tile = Image.fromarray(pixels).resize((SHEET_TILE_PX, SHEET_TILE_PX), Image.Resampling.BICUBIC)
                sheet.paste(tile, (column * pitch, SHEET_CAPTION_PX + row * pitch))
    return sheet


def _strip(view: str, rows: Sequence[Row], plain: Sequence[Row]) -> tuple[float, Strip]:
    """Return the strip, and the detail per pixel that its cut-out has to show."""
    photograph, truth, mask = (
        _load(_folder(plain[0]) / f"{view}.{kind}.png") for kind in ("photograph", "truth", "mask")
    )
    assert photograph is not None
    renders = {row.entry.mode.title: _load(_folder(row) / f"{view}.render.png") for row in rows}
    is_blurred = truth is None or not np.array_equal(photograph, truth)
    others = [_detail(render) for render in renders.values() if render is not None]
    if truth is not None:
        gain = _detail(truth) - (_detail(photograph) if is_blurred else others[0])
    else:  # where some render has more detail than the photograph, within the neighbourhood: edges may lie a little off
        around = max(MIN_EDGE_PX // 2, round(EDGE_SHARE * photograph.shape[0] / 8))
        shown, known = (ndimage.uniform_filter(d, around) for d in (np.max(others, axis=0), _detail(photograph)))
        gain = np.maximum(shown - known, 0.0)
    if mask is not None:
        gain = np.where(mask.any(axis=-1), gain, 0.0)
    window = _best_window(gain)
    held_out = view.startswith("test-")
    tiles = [Tile("photograph", photograph[window] if is_blurred else None)]
    tiles += [Tile(title, None if render is None else render[window]) for title, render in renders.items()]
    if truth is not None:
        tiles.append(Tile("truth", truth[window]))
    return float(gain[window].mean()), Strip(view.partition("-")[2], held_out, tuple(tiles))


def _detail(picture: Picture) -> NDArray[np.float64]:
    """Return the gradient energy of every pixel [H, W]."""
    grey = picture.astype(np.float64).mean(axis=-1) / 255.0
    return ndimage.sobel(grey, axis=0) ** 2 + ndimage.sobel(grey, axis=1) ** 2


def _best_window(score: NDArray[np.float64]) -> tuple[slice, slice]:
    """Return the square with the largest sum of the score, inside the picture."""
    edge = min(*score.shape, max(MIN_EDGE_PX, round(EDGE_SHARE * score.shape[0])))
    sums = np.pad(score.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    totals = sums[edge:, edge:] - sums[:-edge, edge:] - sums[edge:, :-edge] + sums[:-edge, :-edge]
    top, left = np.unravel_index(int(totals.argmax()), totals.shape)
    return slice(int(top), int(top) + edge), slice(int(left), int(left) + edge)


def _folder(row: Row) -> Path:
    assert row.folder is not None
    return row.folder / PICTURES


def _load(path: Path) -> Picture | None:
    if not path.is_file():
        return None
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))
