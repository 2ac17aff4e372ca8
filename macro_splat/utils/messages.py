"""Values and errors in messages: on one short line of printable characters, whatever they are."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any

MAX_LENGTH = 80

# `repr` itself would take a document's aliases apart: a few lines of YAML can stand for 10^9 values.
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxdict, _REPR.maxlist, _REPR.maxtuple, _REPR.maxset = 4, 6, 6, 6, 6
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 2 * MAX_LENGTH


def brief(value: Any) -> str:
    """Return a value as Python writes it, on one line of at most `MAX_LENGTH` printable characters."""
    return shorten(printable(_REPR.repr(value)))


def printable(text: object) -> str:
    """Return the text without control characters and the like, which are written as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def shorten(text: str, length: int = MAX_LENGTH) -> str:
    """Return the text, cut to a length."""
    return text if len(text) <= length else text[: length - 3] + "..."


def first_few(items: Iterable[object], count: int = 3) -> str:
    """Return the first `count` items, and how many more there are."""
    texts = [str(item) for item in items]
    return ", ".join(texts[:count]) + (f" and {len(texts) - count} more" if len(texts) > count else "")


def reason(error: BaseException, length: int = 120) -> str:
    """Return the message of an error on one line."""
    return shorten(printable(" ".join(str(error).split())), length) or type(error).__name__
