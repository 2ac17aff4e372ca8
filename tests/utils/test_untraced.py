"""Blocks that a trace function, nerfstudio's way to give up a render, must not interrupt."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

import pytest

from macro_splat.utils.untraced import untraced


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


def test_python_s_refusal_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    settrace, refused = sys.settrace, []

    def refuse_once(trace: Any) -> None:
        if not refused:
            refused.append(trace)
            raise RuntimeError("Cannot install a trace function while another trace function is being installed")
        settrace(trace)

    before = sys.gettrace()
    settrace(lambda *_: None)
    monkeypatch.setattr(sys, "settrace", refuse_once)
    try:
        with untraced():
            inside = sys.gettrace()
    finally:
        settrace(before)
    assert refused == [None]
    assert inside is None


class Interruption(Exception):
    pass


def interrupted_at(event_number: int) -> bool:
    """Whether a block without trace was interrupted, at the given line before or after it; else there are not so many.

    As nerfstudio's viewer does it: at a line, wherever that is.
    """
    left = event_number

    def trace(_: FrameType, event: str, __: Any) -> Callable[..., Any]:
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                raise Interruption
        return trace

    def block() -> None:
        with untraced():
            pass

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        block()
    except Interruption:
        return True
    finally:
        sys.settrace(before)
    return False


def test_wherever_it_is_interrupted_the_next_block_runs() -> None:
    """A lock that an interruption leaves taken would stop every later render of every viewer."""
    number = 1
    while interrupted_at(number):
        next_one = threading.Thread(target=interrupted_at, args=(10**9,), daemon=True)
        next_one.start()
        next_one.join(timeout=10)
        assert not next_one.is_alive(), f"interrupted at line {number}"
        number += 1
    assert number > 10
