"""The sections of a rig.yaml: values are looked up, and refused with file, key, value and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml

from macro_splat.errors import MacroSplatError
from macro_splat.utils.fields import Fields, as_floats
from macro_splat.utils.messages import brief
from macro_splat.utils.safe_yaml import PlainLoader


class UniqueKeyLoader(PlainLoader):
    """YAML's own rule, which PyYAML does not keep: no mapping has a key twice. It would take the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"{brief(key.value)} is there twice; keep one"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class Section(Fields):
    """One mapping of the file, none of whose keys is unknown."""

    largest = 1e9
    takes_text = True

    def __init__(self, path: Path, name: str, value: Any, keys: Iterable[str]) -> None:
        self.path, self.name = path, name
        if not isinstance(value, dict):
            where = f"{path}: `{name}`" if name else f"{path}"
            raise MacroSplatError(f"{where} holds {brief(value)}; it must be a mapping of {', '.join(keys)}")
        super().__init__(str(path), value, f"{name}." if name else "")
        for key in value:
            if key not in keys:
                raise MacroSplatError(
                    f"{path}: {self.key(brief(key).strip(chr(39)))} is unknown{suggestion(str(key)[:80], list(keys))}; "
                    f"there are {', '.join(keys)}"
                )

    def at_most_one(self, *keys: str) -> None:
        """Refuse keys that exclude each other.

        Raises:
            MacroSplatError: two of them are there.
        """
        given = [key for key in keys if key in self.values]
        if len(given) > 1:
            raise self.error(given[0], f"and {self.key(given[1])} exclude each other; remove one of them")

    def section(self, key: str, keys: Iterable[str]) -> Section | None:
        """Return the mapping under a key, or None where it is missing."""
        return Section(self.path, self.prefix + key, self.values[key], keys) if key in self.values else None

    def numbers(self, key: str, count: int | None = None) -> tuple[float, ...] | None:
        """Return a list of finite numbers, or None where it is missing."""
        if key not in self.values:
            return None
        numbers = as_floats(self.values[key], (count,), self.takes_text)
        if numbers is None or not len(numbers) or not (np.abs(numbers) <= self.largest).all():
            raise self.invalid(key, "a list of numbers" if count is None else f"a list of {count} numbers")
        return tuple(numbers.tolist())

    def vector(self, key: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return three finite numbers."""
        numbers = self.numbers(key, 3)
        return default if numbers is None else cast(tuple[float, float, float], numbers)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.invalid(key, "true or false")
        return value


def suggestion(word: str, words: list[str]) -> str:
    """Return " (did you mean …?)", or nothing where no word is near."""
    near = difflib.get_close_matches(word, words, 1, 0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
