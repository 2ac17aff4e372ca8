"""All directions around the object as a map, azimuth × elevation: where cameras stood, and where none did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.coverage import Gap

CELL_DEGREES = 5
SHADES = ((15.0, "#b7dcb4", "within 15° of a photograph"), (30.0, "#e2f1df", "within 30°"))
"""Cells whose nearest camera is within so many degrees, and their colour; farther ones are left blank."""


class Cells(NamedTuple):
    """Cells of one row and shade that touch; degrees."""

    azimuth: int
    """Of their left edge."""
    elevation: int
    """Of their upper edge."""
    width: int
    colour: str


class Dot(NamedTuple):
    """A pose; degrees."""

    azimuth: float
    elevation: float
    colour: str
    label: str


class CoverageMap(NamedTuple):
    """What `coverage_map.html` draws."""

    lowest: int
    """Elevation of the lower edge in degrees."""
    cells: list[Cells]
    dots: list[Dot]
    gaps: list[tuple[float, float]]
    """Starts and widths in degrees of azimuths that were not photographed; none runs over ±180°."""
    shades: tuple[tuple[float, str, str], ...] = SHADES
    cell_height: int = CELL_DEGREES


def coverage_map(
    directions: NDArray[np.float64], labels: Sequence[str], colours: Sequence[str], gaps: Sequence[Gap]
) -> CoverageMap:
    """Return the map with a dot per pose.

    Args:
        directions: [V, 2] degrees, azimuth and elevation of each pose.
        labels: of the poses.
        colours: of their dots, as CSS writes them.
        gaps: azimuths to be marked as not photographed.
    """
    lowest = -90 if directions[:, 1].min() < 0 else 0
    dots = [Dot(*place, *look) for place, *look in zip(directions.tolist(), colours, labels, strict=True)]
    pieces = [piece for gap in gaps for piece in _within_map(gap)]
    return CoverageMap(lowest, list(_shaded_cells(directions, lowest)), dots, pieces)


def _shaded_cells(directions: NDArray[np.float64], lowest: int) -> Iterator[Cells]:
    cameras = _unit_vectors(directions)
    azimuths = np.arange(-180, 180, CELL_DEGREES)
    for elevation in range(lowest, 90, CELL_DEGREES):
        centres = np.stack([azimuths, np.full(azimuths.shape, elevation)], axis=1) + CELL_DEGREES / 2
        nearest = np.degrees(np.arccos(np.clip(_unit_vectors(centres) @ cameras.T, -1, 1).max(axis=1)))
        shade = np.searchsorted([limit for limit, *_ in SHADES], nearest)
        starts = np.flatnonzero(np.diff(shade, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(shade)], strict=True):
            if shade[start] < len(SHADES):
                width = int(end - start) * CELL_DEGREES
                yield Cells(int(azimuths[start]), elevation + CELL_DEGREES, width, SHADES[shade[start]][1])


def _unit_vectors(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    azimuth, elevation = np.radians(directions).T
    return np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], 1)


def _within_map(gap: Gap) -> list[tuple[float, float]]:
    """Return start and width of a gap, in two pieces where it runs over ±180°."""
    beyond = gap.start + gap.width - 180
    return [(gap.start, gap.width)] if beyond <= 0 else [(gap.start, gap.width - beyond), (-180.0, beyond)]
