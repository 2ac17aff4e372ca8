"""Code that nerfstudio's viewer must not interrupt."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def untraced() -> Iterator[None]:
    """Run the block without this thread's trace function, which is set again afterwards.

    The viewer gives up a render whose camera has moved by a trace function that raises at any line of Python. An import
    or a compiler interrupted like that stays half done, and no later render in the process succeeds.
    """
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)


__all__ = ["untraced"]
