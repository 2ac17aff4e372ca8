"""How the photographs were taken: one line for what all have in common, a table for what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

LONG_TABLE = 12
"""Rows from which on the table is folded away."""


class Column(NamedTuple):
    """One tag."""

    key: str
    heading: str
    show: Callable[[Any], str]
    """Its value as photographers write it."""


def _exposure(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 0.4 else f"1/{round(1 / seconds)} s"


def _millimetres(value: float) -> str:
    return f"{value:.4g} mm"


COLUMNS = (
    Column("camera", "camera", str),
    Column("lens", "lens", str),
    Column("focal_length_mm", "focal length", _millimetres),
    Column("f_number", "f-number", lambda value: f"f/{value:.3g}"),
    Column("focus_distance_mm", "focus distance", _millimetres),
    Column("magnification", "magnification", lambda value: f"{value:.3g} ×"),
    Column("working_f_number", "working f-number", lambda value: f"f/{value:.3g}"),
    Column("exposure_s", "exposure", _exposure),
    Column("iso", "ISO", lambda value: f"{value:g}"),
    Column("sensor_width_mm", "sensor width", _millimetres),
    Column("pixel_pitch_mm", "pixel pitch", lambda value: f"{value * 1000:.3g} µm"),
    Column("orientation", "orientation", str),
    Column("taken", "taken", lambda value: str(value).replace("T", " ")),
)


def exif_section(photographs: Sequence[Mapping[str, Any]]) -> str:
    """HTML.

    Args:
        photographs: as process.json lists them; their `exif` may lack keys.
    """
    values = {column.key: [photograph["exif"].get(column.key) for photograph in photographs] for column in COLUMNS}
    common = [c for c in COLUMNS if values[c.key][0] is not None and len(set(values[c.key])) == 1]
    ordinary = [c for c in common if c.key == "orientation" and values[c.key][0] == 1]
    absent = [c for c in COLUMNS if all(value is None for value in values[c.key])]
    lines = []
    facts = " · ".join(f"{c.heading} <b>{_show(c, values[c.key][0])}</b>" for c in common if c not in ordinary)
    if facts:
        lines.append(f"<p>All photographs: {facts}.</p>")
    if absent:
        lines.append(f"<p>In no photograph: {', '.join(c.heading for c in absent)}.</p>")
    varying = [c for c in COLUMNS if c not in common and c not in absent]
    if varying:
        lines.append(_table(photographs, varying))
    return "\n".join(lines)


def _table(photographs: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> str:
    head = "".join(f'<th scope="col">{c.heading}</th>' for c in columns)
    rows = []
    for photograph in photographs:
        cells = "".join(f"<td>{_show(c, photograph['exif'].get(c.key))}</td>" for c in columns)
        rows.append(f'<tr><th scope="row">{escape(photograph["name"])}</th>{cells}</tr>')
    table = f'<div class="wide tall"><table><tr><th scope="col">photograph</th>{head}</tr>{"".join(rows)}</table></div>'
    if len(rows) < LONG_TABLE:
        return table
    return f"<details><summary>What differs, photograph by photograph ({len(rows)})</summary>{table}</details>"


def _show(column: Column, value: Any) -> str:
    return "–" if value is None else escape(column.show(value))
