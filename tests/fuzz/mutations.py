"""Mutations of valid files: values, types and keys of documents, and bytes. Chance comes from the given `Random`."""

from __future__ import annotations

import copy
import json
import re
import struct
from random import Random
from typing import Any

NUMBERS = [0, -1, 1, 2, 255, 65_535, 2**31, 2**32 - 1, 2**63, 10**12, 10**400, 0.5, -0.0, 5e-324, 1e-30, 1e30, 1e300]
NUMBERS += [float("nan"), float("inf"), float("-inf")]
TEXTS = ["", ".", "..", "../x", "/etc/passwd", "images/000.png", "a" * 300, "\0", "\n", "\x1b[2J", "\ud800", "<script>"]
TEXTS += ["mm", "ring", "ccw", "1e-3", "nan", "none", "(?P<angle>x)", "\u202e", "ß" * 20]
EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1]


def mutate_document(document: Any, random: Random, keys: list[str]) -> Any:
    """A copy of a value of JSON's types with one to three changes; `keys` are names that the parser knows."""
    holder = [copy.deepcopy(document)]
    for _ in range(random.randint(1, 3)):
        _mutate_at(*_pick(holder, random), random, keys)
    return holder[0]


def _pick(holder: list, random: Random) -> tuple[Any, Any]:
    """A container and the key or index of something in it, at any depth."""
    container: Any = holder
    key: Any = 0
    while True:
        inner = container[key]
        if not isinstance(inner, list | dict) or not inner or random.random() < 0.2:
            return container, key
        container = inner
        key = random.choice(list(inner)) if isinstance(inner, dict) else random.randrange(len(inner))


def _mutate_at(container: Any, key: Any, random: Random, keys: list[str]) -> None:
    action = random.randrange(8)
    value = container[key]
    if action == 0 and len(container) > 1:
        del container[key]
    elif action == 1 and isinstance(container, dict):
        container[random.choice([*keys, *TEXTS])] = container.pop(key)
    elif action == 2 and isinstance(container, list):
        container.insert(key, copy.deepcopy(value))
    elif action == 3:
        container[key] = [copy.deepcopy(value)] * random.choice([0, 1, 2, 50])
    elif action == 4:
        container[key] = {random.choice([*keys, *TEXTS]): value}
    elif action == 5 and isinstance(value, dict):
        value[random.choice(keys)] = _anything(random)
    elif action == 6 and isinstance(value, int | float):
        container[key] = value * random.choice([-1, 0, 1e-12, 1e-3, 1e3, 1e12])
    else:
        container[key] = _anything(random)


def _anything(random: Random) -> Any:
    kind = random.randrange(8)
    if kind < 3:
        return random.choice(NUMBERS)
    if kind < 5:
        return random.choice(TEXTS)
    return random.choice([None, True, False, [], {}, [[]], [1, 2, 3], {"x": 1}, _nested(random.choice([5, 100, 2000]))])


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def mutate_json(data: bytes, random: Random, keys: list[str]) -> bytes:
    """A mutated JSON document (which is YAML too); what is no document any more is mutated as bytes."""
    if random.random() < 0.15:
        return mutate_bytes(data, random)
    try:
        return json.dumps(mutate_document(json.loads(data), random, keys)).encode()
    except (ValueError, OverflowError, RecursionError):
        return mutate_bytes(data, random)


def mutate_bytes(data: bytes, random: Random, tokens: tuple[bytes, ...] = ()) -> bytes:
    """The data with one to four changes: bits, extreme numbers, pieces removed, doubled or put in, and an early end."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        _mutate_bytes_once(changed, random, tokens)
    return bytes(changed)


def _mutate_bytes_once(data: bytearray, random: Random, tokens: tuple[bytes, ...]) -> None:
    place = random.randrange(len(data) + 1)
    action = random.randrange(8)
    if action == 0 and place < len(data):
        data[place] ^= 1 << random.randrange(8)
    elif action == 1 and place < len(data):
        data[place] = random.choice([0, 1, 10, 32, 48, 127, 128, 255])
    elif action == 2:
        number = struct.pack(random.choice("<>") + "Q", random.choice(EXTREMES))
        size = random.choice([1, 2, 4, 8])
        piece = number[:size] if random.random() < 0.5 else number[-size:]
        data[place : place + size] = piece
    elif action == 3:
        del data[place : place + random.choice([1, 2, 8, 100])]
    elif action == 4:
        piece = bytes(data[place : place + random.choice([1, 4, 16, 200])])
        data[place:place] = piece * random.choice([1, 2, 20])
    elif action == 5 and random.random() < 0.3:
        del data[place:]
    elif action == 6 and tokens:
        data[place:place] = random.choice(tokens)
    else:
        numbers = list(re.finditer(rb"\d+", bytes(data[:4000])))
        if numbers:
            found = random.choice(numbers)
            data[found.start() : found.end()] = str(random.choice(NUMBERS[:11])).encode()
