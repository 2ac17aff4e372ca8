"""Targets as they are named on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from macro_splat.errors import MacroSplatError
from macro_splat.process.scale.markers import CharucoBoard, LooseMarkers, MarkerGrid, MarkerPair, Target

FORMS = (
    "charuco:COLUMNSxROWS:SQUARE_MM:MARKER_MM",
    "grid:COLUMNSxROWS:MARKER_MM:GAP_MM",
    "loose:MARKER_MM",
    "pair:FIRST-SECOND:DISTANCE_MM",
)
"""Each may be followed by `:DICTIONARY`, 4X4_50 if it is not."""


def parse_target(text: str) -> Target:
    """The target that a word such as `charuco:7x5:10:7.5` or `pair:0-1:50:5X5_100` names.

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
