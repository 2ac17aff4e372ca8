"""Code that nerfstudio's viewer must not interrupt."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SETTING = threading.Lock()
"""Python refuses to set the trace function of one thread while another thread sets its own."""


@contextmanager
def untraced() -> Iterator[None]:
    """Run the block without this thread's trace function, if it has one, which is set again afterwards.

    The viewer gives up a render whose camera has moved by a trace function that raises at any line of Python. An import
    or a compiler interrupted like that stays half done, and no later render in the process succeeds.
    """
    trace = sys.gettrace()
    if trace is None:
        yield
        return
    with _SETTING:
        sys.settrace(None)
    try:
        yield
    finally:
        with _SETTING:
            sys.settrace(trace)


__all__ = ["untraced"]
