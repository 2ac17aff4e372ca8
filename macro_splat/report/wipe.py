"""Pictures of the same view laid over each other, with a line to wipe from one to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from macro_splat.report.page import embedded_jpeg

BUDGET_BYTES = 3_600_000
"""Of all pictures as they stand in the page: beside plotly (5 MB) the page stays below 10 MB."""
EDGES_PX = (1280, 960, 720, 512, 384, 256, 160)
"""Longest edge: the largest that keeps within the budget is taken."""
QUALITY = 88
THUMBNAIL_EDGE_PX = 96
THUMBNAIL_QUALITY = 75


@dataclass(frozen=True, eq=False)
class Wipe:
    """The pictures of one view."""

    name: str
    note: str
    """What is to be said of it."""
    score: str
    """How the note goes on, in bold."""
    layers: Mapping[str, Image.Image]
    """By what they are, all of one size."""


@dataclass(frozen=True)
class EmbeddedWipe:
    """The same as `wipes.html` shows it."""

    name: str
    note: str
    score: str
    width: int
    height: int
    """Pixels of the pictures before they were reduced."""
    thumbnail: str
    """Data URI."""
    layers: Mapping[str, str]
    """Data URIs by what they are."""


def embed_wipes(wipes: Sequence[Wipe]) -> list[EmbeddedWipe]:
    """Return the views with their pictures as large as the budget allows."""
    layers: list[dict[str, str]] = []
    for edge in EDGES_PX:
        layers = [
            {name: embedded_jpeg(_reduced(picture, edge), QUALITY) for name, picture in wipe.layers.items()}
            for wipe in wipes
        ]
        if sum(len(picture) for pictures in layers for picture in pictures.values()) <= BUDGET_BYTES:
            break
    return [_embedded(wipe, pictures) for wipe, pictures in zip(wipes, layers, strict=True)]


def _embedded(wipe: Wipe, layers: Mapping[str, str]) -> EmbeddedWipe:
    first = next(iter(wipe.layers.values()))
    thumbnail = embedded_jpeg(_reduced(first, THUMBNAIL_EDGE_PX), THUMBNAIL_QUALITY, subsampling=2)
    return EmbeddedWipe(wipe.name, wipe.note, wipe.score, *first.size, thumbnail, layers)


def _reduced(picture: Image.Image, edge: int) -> Image.Image:
    reduced = picture.copy()
    reduced.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    return reduced
