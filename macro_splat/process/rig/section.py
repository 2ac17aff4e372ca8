"""The mappings of a rig.yaml: values are looked up, and complained about with file, key and value."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import yaml

from macro_splat.errors import MacroSplatError
from macro_splat.utils.messages import brief
from macro_splat.utils.safe_yaml import PlainLoader

HUGE = 1e9


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


class Section:
    """One mapping of the file: looks values up and complains with file, key and value. null = not there."""

    def __init__(self, path: Path, name: str, value: Any, keys: Iterable[str]):
        self.path, self.name = path, name
        if not isinstance(value, dict):
            where = f"{path}: `{name}`" if name else f"{path}"
            raise MacroSplatError(f"{where} holds {brief(value)}; it must be a mapping of {', '.join(keys)}")
        for key in value:
            if key not in keys:
                raise MacroSplatError(
                    f"{path}: {self.key(brief(key).strip(chr(39)))} is unknown{suggestion(str(key)[:80], list(keys))}; "
                    f"there are {', '.join(keys)}"
                )
        self.value = {key: item for key, item in value.items() if item is not None}

    def key(self, key: str) -> str:
        return f"`{self.name}.{key}`" if self.name else f"`{key}`"

    def error(self, key: str, complaint: str) -> MacroSplatError:
        return MacroSplatError(f"{self.path}: {self.key(key)} {complaint}")

    def bad(self, key: str, must: str) -> MacroSplatError:
        return self.error(key, f"is {brief(self.value[key])}; it must be {must}")

    def at_most_one(self, *keys: str) -> None:
        given = [key for key in keys if key in self.value]
        if len(given) > 1:
            raise self.error(given[0], f"and {self.key(given[1])} exclude each other; remove one of them")

    def section(self, key: str, keys: Iterable[str]) -> Section | None:
        if key not in self.value:
            return None
        return Section(self.path, f"{self.name}.{key}" if self.name else key, self.value[key], keys)

    def optional(self, key: str, *, positive: bool = False) -> float | None:
        if key not in self.value:
            return None
        number = as_number(self.value[key])
        if number is None or (positive and number <= 0):
            raise self.bad(key, "a positive number" if positive else "a number")
        return number

    def number(self, key: str, default: float) -> float:
        number = self.optional(key)
        return default if number is None else number

    def numbers(self, key: str, count: int | None = None) -> tuple[float, ...] | None:
        if key not in self.value:
            return None
        items = self.value[key]
        numbers = [as_number(item) for item in items] if isinstance(items, list) else []
        if not numbers or None in numbers or count not in (None, len(numbers)):
            raise self.bad(key, f"a list of {count or ''} numbers".replace("  ", " "))
        return tuple(cast(list[float], numbers))

    def vector(self, key: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
        numbers = self.numbers(key, 3)
        return default if numbers is None else cast(tuple[float, float, float], numbers)

    def whole(self, key: str) -> int | None:
        number = self.optional(key, positive=True)
        if number is not None and number != int(number):
            raise self.bad(key, "a whole number")
        return None if number is None else int(number)

    def choice(self, key: str, choices: tuple[str, ...]) -> str | None:
        if key not in self.value:
            return None
        if self.value[key] not in choices:
            raise self.bad(key, " or ".join(choices))
        return self.value[key]

    def flag(self, key: str, default: bool) -> bool:
        value = self.value.get(key, default)
        if not isinstance(value, bool):
            raise self.bad(key, "true or false")
        return value


def suggestion(word: str, words: list[str]) -> str:
    """ " (did you mean …?)", or nothing where no word is near."""
    near = difflib.get_close_matches(word, words, 1, 0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def as_number(value: Any) -> float | None:
    """A finite number; YAML takes 1e-3 for text, people do not."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= HUGE else None
