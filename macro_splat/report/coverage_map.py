"""All directions around the object as a map, azimuth × elevation: where cameras stood, and where none did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.coverage import Gap

STEP = 5
"""Degrees of a cell."""
SHADES = ((15.0, "#b7dcb4", "within 15° of a photograph"), (30.0, "#e2f1df", "within 30°"))
"""Cells whose nearest camera is within so many degrees, and their colour; farther ones are left blank."""
SCALE = 1.75
"""Units of the drawing per degree."""
LEFT, TOP, BOTTOM = 44, 8, 34
FAINT, ALARM = "#d5d5d5", "#c62828"
_Axis = Callable[[float], float]
"""From degrees to units of the drawing."""


def coverage_map(
    seen: NDArray[np.float64],
    labels: Sequence[str],
    shares: Sequence[float],
    paint: Callable[[float], str],
    gaps: Sequence[Gap],
) -> str:
    """The map as SVG, a dot per pose.

    Args:
        seen: [V, 2] degrees, azimuth and elevation of each pose.
        labels: of the poses; shown where the pointer rests.
        shares: place of each pose on the scale of colours, 0..1. paint: the scale, as CSS writes colours.
        gaps: azimuths to be marked as not photographed.
    """
    lowest = -90 if seen[:, 1].min() < 0 else 0
    width, height = 360 * SCALE, (90 - lowest) * SCALE

    def x(azimuth: float) -> float:
        return LEFT + (azimuth + 180) * SCALE

    def y(elevation: float) -> float:
        return TOP + (90 - elevation) * SCALE

    parts = [f'<rect x="{LEFT}" y="{TOP}" width="{width:g}" height="{height:g}" fill="#fff" stroke="{FAINT}"/>']
    parts += _shaded_cells(seen, lowest, x, y)
    for azimuth in range(-180, 181, 45):
        parts.append(_line(x(azimuth), TOP, x(azimuth), TOP + height))
        parts.append(f'<text x="{x(azimuth):g}" y="{TOP + height + 14:g}" text-anchor="middle">{azimuth}°</text>')
    for elevation in range(lowest, 91, 30):
        parts.append(_line(LEFT, y(elevation), LEFT + width, y(elevation)))
        parts.append(f'<text x="{LEFT - 6}" y="{y(elevation) + 4:g}" text-anchor="end">{elevation}°</text>')
    parts += [part for gap in gaps for part in _mark(gap, x, TOP, height)]
    for (azimuth, elevation), label, share in zip(seen, labels, shares, strict=True):
        parts.append(
            f'<circle cx="{x(azimuth):.1f}" cy="{y(elevation):.1f}" r="4.5" fill="{paint(share)}" stroke="#fff" '
            f'stroke-width="1.5"><title>{escape(label)}: {azimuth:.0f}°, {elevation:.0f}°</title></circle>'
        )
    parts.append(
        f'<text x="{LEFT + width / 2:g}" y="{TOP + height + 30:g}" text-anchor="middle">azimuth: around the object, '
        "from above counterclockwise</text>"
    )
    return (
        f'<svg class="map" viewBox="0 0 {LEFT + width + 20:g} {TOP + height + BOTTOM:g}" role="img" '
        f'aria-label="Directions from which the object was photographed">{"".join(parts)}</svg>'
    )


def legend(gaps: Sequence[Gap]) -> str:
    """What the colours of the map mean, as HTML."""
    swatches = [(colour, text) for _, colour, text in SHADES] + [("#fff", "farther: guessed there")]
    entries = [f'<span><i style="background:{colour}"></i>{text}</span>' for colour, text in swatches]
    if gaps:
        entries.append(f'<span><i class="bar" style="background:{ALARM}"></i>no photograph on this side</span>')
    return f'<p class="legend">{"".join(entries)}<span>height of a dot: degrees above the object</span></p>'


def _shaded_cells(seen: NDArray[np.float64], lowest: int, x: _Axis, y: _Axis) -> list[str]:
    """Cells in their shade, those of one row and shade that touch as one rectangle."""
    cameras = _unit(seen)
    azimuths = np.arange(-180, 180, STEP)
    parts = []
    for elevation in range(lowest, 90, STEP):
        middle = np.stack([azimuths + STEP / 2, np.full(azimuths.shape, elevation + STEP / 2)], axis=1)
        nearest = np.degrees(np.arccos(np.clip(_unit(middle) @ cameras.T, -1, 1).max(axis=1)))
        shade = np.searchsorted([limit for limit, *_ in SHADES], nearest)
        starts = np.flatnonzero(np.diff(shade, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(shade)], strict=True):
            if shade[start] < len(SHADES):
                parts.append(
                    f'<rect x="{x(azimuths[start]):g}" y="{y(elevation + STEP):g}" '
                    f'width="{(end - start) * STEP * SCALE:g}" height="{STEP * SCALE:g}" '
                    f'fill="{SHADES[shade[start]][1]}"/>'
                )
    return parts


def _unit(azimuth_elevation: NDArray[np.float64]) -> NDArray[np.float64]:
    azimuth, elevation = np.radians(azimuth_elevation).T
    return np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], 1)


def _mark(gap: Gap, x: _Axis, top: float, height: float) -> list[str]:
    """A gap as bars along both edges of the map, in two pieces where it runs over ±180°."""
    end = gap.start + gap.width
    pieces = [(gap.start, min(end, 180.0))] + ([(-180.0, end - 360)] if end > 180 else [])
    return [
        f'<rect x="{x(a):.1f}" y="{edge:g}" width="{(b - a) * SCALE:.1f}" height="4" fill="{ALARM}"/>'
        for a, b in pieces
        for edge in (top, top + height - 4)
    ]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{FAINT}" stroke-width=".7"/>'
