"""Code that nerfstudio's viewer must not interrupt."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


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
    _set_trace(None)
    try:
        yield
    finally:
        _set_trace(trace)  # which may raise from here on


def _set_trace(trace: Callable[..., Any] | None) -> None:
    """Set this thread's trace function, even while another thread sets its own, when Python refuses it.

    By no lock: the line at which a `with` ends is traced before the lock is given back, and the trace function that
    raises there would leave it taken for good.
    """
    while True:
        try:
            sys.settrace(trace)
        except RuntimeError:
            continue
        return
