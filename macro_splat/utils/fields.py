"""Values of a file's mappings: looked up by key, and refused with file, key, value and remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macro_splat.errors import MacroSplatError
from macro_splat.utils.messages import brief


class Fields:
    """One mapping of a file. A key whose value is null is missing.

    Every method that returns a value raises a MacroSplatError where the value is of another kind.
    """

    smallest, largest = 1e-12, 1e12
    """Positive numbers below, and numbers beyond, are mistakes, and would be 0 or infinite in float32."""
    takes_text = False
    """Whether a number may be written as text: YAML takes 1e-3 for text, people do not."""

    def __init__(self, where: str, values: Mapping[str, Any], prefix: str = "") -> None:
        """
        Args:
            where: file, and place in it, for messages.
            prefix: stands before each key in messages.
        """
        self.where, self.prefix = where, prefix
        self.values = {key: value for key, value in values.items() if value is not None}

    def key(self, key: str) -> str:
        """Return a key as messages name it."""
        return f"`{self.prefix}{key}`"

    def error(self, key: str, complaint: str) -> MacroSplatError:
        """Return an error that names file and key."""
        return MacroSplatError(f"{self.where}: {self.key(key)} {complaint}")

    def invalid(self, key: str, requirement: str) -> MacroSplatError:
        """Return an error that names file, key and value."""
        value = brief(self.values[key]) if key in self.values else "missing"
        return self.error(key, f"is {value}; it must be {requirement}")

    def optional(self, key: str, *, positive: bool = False) -> float | None:
        """Return a finite number, or None where it is missing."""
        if key not in self.values:
            return None
        number = as_float(self.values[key], self.takes_text)
        if number is None or not abs(number) <= self.largest or (positive and number < self.smallest):
            raise self.invalid(key, "a positive number" if positive else "a finite number")
        return number

    def number(self, key: str, default: float) -> float:
        """Return a finite number."""
        number = self.optional(key)
        return default if number is None else number

    def whole(self, key: str, unit: str = "") -> int | None:
        """Return a positive whole number, or None where it is missing."""
        number = self.optional(key, positive=True)
        if number is not None and number != int(number):
            raise self.invalid(key, f"a whole number{unit}")
        return None if number is None else int(number)

    def choice(self, key: str, choices: tuple[str, ...]) -> str | None:
        """Return one of the given words, or None where it is missing."""
        value = self.values.get(key)
        if value is None or (isinstance(value, str) and value in choices):
            return value
        several = f"one of {', '.join(choices)}, or left out"
        raise self.invalid(key, several if len(choices) > 2 else " or ".join(choices))


def as_float(value: Any, takes_text: bool = False) -> float | None:
    """Return a number as a float (infinite where it is too large for one); None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str) if takes_text else (int, float)):
        return None
    try:
        return float(value)
    except ValueError:
        return None
    except OverflowError:
        return math.inf


def as_floats(value: Any, shape: tuple[int | None, ...], takes_text: bool = False) -> NDArray[np.float64] | None:
    """Return nested lists of numbers as an array of the given shape (None: any length); None for anything else."""
    if not shape:
        return None if (number := as_float(value, takes_text)) is None else np.array(number)
    if not isinstance(value, list) or shape[0] not in (None, len(value)):
        return None
    rows = [as_floats(row, shape[1:], takes_text) for row in value]
    return None if any(row is None for row in rows) else np.array(rows, dtype=np.float64)
