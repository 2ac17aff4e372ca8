"""All directions around the object as a map, azimuth × elevation: where cameras stood, and where none did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.coverage import Gap

CELL_DEGREES = 5
SHADES = ((15.0, "#b7dcb4", "within 15° of a photograph"), (30.0, "#e2f1df", "within 30°"))
"""Cells whose nearest camera is within so many degrees, and their colour; farther ones are left blank."""
SCALE = 1.75
"""Units of the drawing per degree."""
LEFT, TOP = 44, 8
"""Margins in units of the drawing."""
GAP_COLOUR = "#c62828"
GAP_BAR_HEIGHT = 4


class Rectangle(NamedTuple):
    """An area of the map, in units of the drawing."""

    x: float
    y: float
    width: float
    height: float
    colour: str


class Tick(NamedTuple):
    """A line across the map with its label."""

    place: float
    """In units of the drawing."""
    degrees: int


class Dot(NamedTuple):
    """A pose."""

    x: float
    y: float
    colour: str
    label: str
    """Shown where the pointer rests."""


@dataclass(frozen=True, eq=False)
class CoverageMap:
    """What `coverage_map.html` draws, in units of the drawing."""

    frame: Rectangle
    cells: list[Rectangle]
    azimuths: list[Tick]
    elevations: list[Tick]
    gaps: list[Rectangle]
    dots: list[Dot]
    legend: list[tuple[str, str]]
    """Colours of the cells and what they mean."""


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
    frame = Rectangle(LEFT, TOP, 360 * SCALE, (90 - lowest) * SCALE, "#fff")
    return CoverageMap(
        frame=frame,
        cells=list(_shaded_cells(directions, lowest)),
        azimuths=[Tick(_x(azimuth), azimuth) for azimuth in range(-180, 181, 45)],
        elevations=[Tick(_y(elevation), elevation) for elevation in range(lowest, 91, 30)],
        gaps=[bar for gap in gaps for bar in _gap_bars(gap, frame)],
        dots=[
            Dot(round(_x(azimuth), 1), round(_y(elevation), 1), colour, f"{label}: {azimuth:.0f}°, {elevation:.0f}°")
            for (azimuth, elevation), label, colour in zip(directions, labels, colours, strict=True)
        ],
        legend=[(colour, text) for _, colour, text in SHADES] + [(frame.colour, "farther: guessed there")],
    )


def _x(azimuth: float) -> float:
    return LEFT + (azimuth + 180) * SCALE


def _y(elevation: float) -> float:
    return TOP + (90 - elevation) * SCALE


def _shaded_cells(directions: NDArray[np.float64], lowest: int) -> Iterator[Rectangle]:
    """Yield cells in their shade, those of one row and shade that touch as one rectangle."""
    cameras = _unit_vectors(directions)
    azimuths = np.arange(-180, 180, CELL_DEGREES)
    for elevation in range(lowest, 90, CELL_DEGREES):
        centres = np.stack([azimuths, np.full(azimuths.shape, elevation)], axis=1) + CELL_DEGREES / 2
        nearest = np.degrees(np.arccos(np.clip(_unit_vectors(centres) @ cameras.T, -1, 1).max(axis=1)))
        shade = np.searchsorted([limit for limit, *_ in SHADES], nearest)
        starts = np.flatnonzero(np.diff(shade, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(shade)], strict=True):
            if shade[start] < len(SHADES):
                place = _x(azimuths[start]), _y(elevation + CELL_DEGREES)
                size = (end - start) * CELL_DEGREES * SCALE, CELL_DEGREES * SCALE
                yield Rectangle(*place, *size, SHADES[shade[start]][1])


def _unit_vectors(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    azimuth, elevation = np.radians(directions).T
    return np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], 1)


def _gap_bars(gap: Gap, frame: Rectangle) -> list[Rectangle]:
    """Return bars along both edges of the map, in two pieces where the gap runs over ±180°."""
    end = gap.start + gap.width
    pieces = [(gap.start, min(end, 180.0))] + ([(-180.0, end - 360)] if end > 180 else [])
    return [
        Rectangle(round(_x(a), 1), edge, round((b - a) * SCALE, 1), GAP_BAR_HEIGHT, GAP_COLOUR)
        for a, b in pieces
        for edge in (frame.y, frame.y + frame.height - GAP_BAR_HEIGHT)
    ]
