"""Targets of known size, and how the command line names them. OpenCV is not needed here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from macro_splat.errors import MacroSplatError

FORMS = (
    "charuco:COLUMNSxROWS:SQUARE_MM:MARKER_MM",
    "grid:COLUMNSxROWS:MARKER_MM:GAP_MM",
    "loose:MARKER_MM",
    "pair:FIRST-SECOND:DISTANCE_MM",
)
"""Each may be followed by `:DICTIONARY`, 4X4_50 if it is not."""


@dataclass(frozen=True)
class CharucoBoard:
    """A chessboard with coded markers in its white squares."""

    columns: int
    rows: int
    """Squares."""
    square_mm: float
    marker_mm: float
    """Edge of the coded markers."""
    dictionary: str = "4X4_50"


@dataclass(frozen=True)
class MarkerGrid:
    """Coded markers in rows, numbered from 0."""

    columns: int
    rows: int
    marker_mm: float
    gap_mm: float
    """Between neighbouring markers."""
    dictionary: str = "4X4_50"


@dataclass(frozen=True)
class LooseMarkers:
    """Coded markers anywhere, all of one size."""

    marker_mm: float
    """Edge of the black square."""
    dictionary: str = "4X4_50"


@dataclass(frozen=True)
class MarkerPair:
    """Two coded markers whose distance is known: a scale bar."""

    first: int
    second: int
    """Their numbers."""
    distance_mm: float
    """From centre to centre."""
    dictionary: str = "4X4_50"


Target = CharucoBoard | MarkerGrid | LooseMarkers | MarkerPair
Mark = tuple[int, int]
"""Identity of a point of a target: the rigid body it belongs to, and its number on that."""


def parse_target(text: str) -> Target:
    """Return the target that a word such as `charuco:7x5:10:7.5` or `pair:0-1:50:5X5_100` names.

    Raises:
        MacroSplatError: it is none of `FORMS`.
    """
    kind, *fields = text.split(":")
    count = {"charuco": 3, "grid": 3, "loose": 1, "pair": 2}.get(kind)
    if count is None or not count <= len(fields) <= count + 1:
        raise _error(text)
    dictionary = fields[count].upper().removeprefix("DICT_") if len(fields) > count else "4X4_50"
    if not re.fullmatch(r"[A-Z0-9_]+", dictionary):
        raise _error(text)
    try:
        if kind == "loose":
            return LooseMarkers(float(fields[0]), dictionary)
        first, second = _two_numbers(fields[0], "-" if kind == "pair" else "x")
        if kind == "pair":
            return MarkerPair(first, second, float(fields[1]), dictionary)
        make: Callable[..., Target] = CharucoBoard if kind == "charuco" else MarkerGrid
        return make(first, second, float(fields[1]), float(fields[2]), dictionary)
    except ValueError as error:
        raise _error(text) from error


def _two_numbers(text: str, between: str) -> Sequence[int]:
    first, second = text.lower().split(between)
    return int(first), int(second)


def _error(text: str) -> MacroSplatError:
    return MacroSplatError(f"--markers {text!r}: unknown; give one of {', '.join(FORMS)}, then :DICTIONARY if need be")
