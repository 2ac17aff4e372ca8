"""How the photographs were taken: one line for what all have in common, a table for what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

LONG_TABLE_ROWS = 12
"""Rows from which on the table is folded away."""


class ExifTag(NamedTuple):
    """One tag as photographers write it."""

    key: str
    heading: str
    show: Callable[[Any], str]


def _exposure(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 0.4 else f"1/{round(1 / seconds)} s"


TAGS = (
    ExifTag("camera", "camera", str),
    ExifTag("lens", "lens", str),
    ExifTag("focal_length_mm", "focal length", "{:.4g} mm".format),
    ExifTag("f_number", "f-number", "f/{:.3g}".format),
    ExifTag("focus_distance_mm", "focus distance", "{:.4g} mm".format),
    ExifTag("magnification", "magnification", "{:.3g} ×".format),
    ExifTag("working_f_number", "working f-number", "f/{:.3g}".format),
    ExifTag("exposure_s", "exposure", _exposure),
    ExifTag("iso", "ISO", "{:g}".format),
    ExifTag("sensor_width_mm", "sensor width", "{:.4g} mm".format),
    ExifTag("pixel_pitch_mm", "pixel pitch", lambda value: f"{value * 1000:.3g} µm"),
    ExifTag("orientation", "orientation", str),
    ExifTag("taken", "taken", lambda value: str(value).replace("T", " ")),
)


@dataclass(frozen=True)
class ExifTable:
    """The tags of all photographs, sorted by how much they differ."""

    common: list[tuple[str, str]]
    """Headings and values that hold for all; an orientation that needs no mention is left out."""
    absent: list[str]
    """Headings of tags that no photograph has."""
    headings: list[str]
    """Of the tags that differ."""
    rows: list[tuple[str, list[str]]]
    """Names of photographs, and their values of the tags that differ."""
    folded: bool
    """The table is long."""


def exif_table(photographs: Sequence[Mapping[str, Any]]) -> ExifTable:
    """Return the tags of photographs as process.json lists them; their `exif` may lack keys."""
    values = {tag: [photograph["exif"].get(tag.key) for photograph in photographs] for tag in TAGS}
    absent = [tag for tag in TAGS if all(value is None for value in values[tag])]
    common = [tag for tag in TAGS if tag not in absent and len(set(values[tag])) == 1]
    differing = [tag for tag in TAGS if tag not in absent and tag not in common]
    return ExifTable(
        common=[(t.heading, t.show(values[t][0])) for t in common if (t.key, values[t][0]) != ("orientation", 1)],
        absent=[tag.heading for tag in absent],
        headings=[tag.heading for tag in differing],
        rows=[
            (photograph["name"], ["–" if values[tag][i] is None else tag.show(values[tag][i]) for tag in differing])
            for i, photograph in enumerate(photographs)
        ],
        folded=len(photographs) >= LONG_TABLE_ROWS,
    )
