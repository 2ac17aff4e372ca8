"""Blocks that a trace function, nerfstudio's way to give up a render, must not interrupt."""

from __future__ import annotations

import sys
import threading
from typing import NoReturn

import pytest

from macro_splat.untraced import untraced


def test_the_trace_function_is_off_inside_and_back_afterwards() -> None:
    def trace(*_: object) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with untraced():
            inside = sys.gettrace()
        after = sys.gettrace()
        with pytest.raises(ValueError, match="x"), untraced():
            raise ValueError("x")
        after_error = sys.gettrace()
    finally:
        sys.settrace(before)
    assert (inside, after, after_error) == (None, trace, trace)


def test_a_thread_without_one_sets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python raises an error where two threads set theirs at once: a training would end by a viewer's render."""

    def refuse(_: object) -> NoReturn:
        raise RuntimeError("Cannot install a trace function while another trace function is being installed")

    monkeypatch.setattr(sys, "settrace", refuse)
    failures = []

    def train() -> None:
        try:
            with untraced():
                pass
        except RuntimeError as failure:
            failures.append(failure)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert not failures
