"""Thumbnails with their maps of sharpness, small enough together for one page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macro_splat.errors import MacroSplatError
from macro_splat.report.page import embedded_jpeg, embedded_png
from macro_splat.utils.messages import reason

BUDGET_BYTES = 3_500_000
"""Of all thumbnails as they stand in the page: beside plotly (5 MB) the page stays below 10 MB."""
EDGES_PX = (256, 192, 128, 96, 64)
"""Longest edge: the largest that keeps within the budget is taken."""
MAP_REDUCTION = 3
"""Maps have so many times fewer pixels along an edge."""
QUALITY = 75
FULL_SCALE_QUANTILE = 0.995
"""Quantile of a group's sharpness that is shown in full colour."""
LEVELS = 16
PEAKING_COLOUR = (255, 40, 0)
"""sRGB of what is sharp: focus peaking's colour."""
MAX_ALPHA = 215
"""Of full colour."""


@dataclass(frozen=True)
class Thumbnail:
    """One photograph in small, as data URIs."""

    picture: str
    sharpness: str | None
    """Transparent where nothing is sharp; to be laid over the picture. None = no map."""
    width: int
    height: int


def embed_thumbnails(
    folder: Path, groups: Sequence[Sequence[str]], budget: int = BUDGET_BYTES
) -> dict[str, Thumbnail | None]:
    """Return thumbnails by photograph, as large as the budget allows; None where there is none.

    Should even the smallest not fit, only every second or third ... photograph has one.

    Args:
        folder: holds `thumbnails/NAME.jpg` and `sharpness/NAME.npy`, both optional.
        groups: names of photographs whose sharpness is shown on one scale.

    Raises:
        MacroSplatError: a file there is broken.
    """
    scales = {name: scale for group in groups for scale in [_full_scale(folder, group)] for name in group}
    embedded: dict[str, Thumbnail | None] = {}
    for edge in EDGES_PX:
        embedded, size = {}, 0
        for name, thumbnail in _embed(folder, scales, edge):
            embedded[name] = thumbnail
            size += _length(thumbnail)
            if size > budget and edge != EDGES_PX[-1]:
                break
        else:
            every = max(1, -(-size // budget))
            return {name: thumbnail if i % every == 0 else None for i, (name, thumbnail) in enumerate(embedded.items())}
    return embedded


def _embed(folder: Path, scales: Mapping[str, float], edge: int) -> Iterator[tuple[str, Thumbnail | None]]:
    for name, scale in scales.items():
        path = folder / "thumbnails" / f"{name}.jpg"
        if not path.is_file():
            yield name, None
            continue
        try:
            with Image.open(path) as image:
                picture = image.convert("RGB")
        except OSError as error:
            raise broken_file(path, error) from error
        picture.thumbnail((edge, edge), Image.Resampling.BOX)
        sharpness = _load_map(folder, name)
        yield (
            name,
            Thumbnail(
                picture=embedded_jpeg(picture, QUALITY, subsampling=2),
                sharpness=None if sharpness is None else embedded_png(peaking(sharpness, scale, edge // MAP_REDUCTION)),
                width=picture.width,
                height=picture.height,
            ),
        )


def peaking(sharpness: NDArray[np.float32], full: float, max_edge: int) -> Image.Image:
    """Return a map of sharpness [h, w] as a picture in one colour, the more opaque the sharper.

    Args:
        full: the sharpness that is shown in full colour.
        max_edge: of the picture in pixels.
    """
    sharpness = _reduced(sharpness, max_edge)
    share = np.clip(sharpness / full, 0, 1) if full > 0 else np.zeros_like(sharpness)
    shown = Image.fromarray(np.round(share * (LEVELS - 1)).astype(np.uint8))
    shown.putpalette(bytes(PEAKING_COLOUR) * LEVELS)
    shown.info["transparency"] = bytes(round(MAX_ALPHA * level / (LEVELS - 1)) for level in range(LEVELS))
    return shown


def _reduced(values: NDArray[np.float32], max_edge: int) -> NDArray[np.float32]:
    height, width = values.shape
    reduction = max_edge / max(height, width)
    if reduction >= 1:
        return values
    size = max(1, round(width * reduction)), max(1, round(height * reduction))
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BOX))


def _full_scale(folder: Path, group: Sequence[str]) -> float:
    """Return the sharpness that the sharpest of the group's photographs reaches in its sharpest places."""
    maps = (_load_map(folder, name) for name in group)
    return max((float(np.quantile(values, FULL_SCALE_QUANTILE)) for values in maps if values is not None), default=0.0)


def _load_map(folder: Path, name: str) -> NDArray[np.float32] | None:
    """Return the map as large as it is shown at most."""
    path = folder / "sharpness" / f"{name}.npy"
    if not path.is_file():
        return None
    try:
        sharpness = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise broken_file(path, error) from error
    if not isinstance(sharpness, np.ndarray) or sharpness.ndim != 2 or not np.isfinite(sharpness).all():
        raise broken_file(path, ValueError("no array [h, w] of numbers"))
    return _reduced(sharpness.astype(np.float32), EDGES_PX[0] // MAP_REDUCTION)


def _length(thumbnail: Thumbnail | None) -> int:
    return 0 if thumbnail is None else len(thumbnail.picture) + len(thumbnail.sharpness or "")


def broken_file(path: Path, error: Exception) -> MacroSplatError:
    """Return what to raise where a file that was made of the photographs cannot be read."""
    return MacroSplatError(f"{path} is broken ({reason(error)}); delete it and process the photographs again")
