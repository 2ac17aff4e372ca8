"""The border between the two tiers of tests: conftest.py takes its hooks from here.

`make test` runs all tests. `make test-fast` leaves out those marked `slow`: trainings, processes, browsers, Ray, and
whatever takes more than about a second. A test that asks for a browser or for the shared training is marked here. A
test that is not slow fails as soon as it starts a process, be it in a fixture.
"""

from __future__ import annotations

import multiprocessing.process
import sys
from collections.abc import Iterator
from typing import Any

import pytest

SLOW_FIXTURES = {"browser", "trained_run", "cluster"}
"""Who asks for one of them, directly or through another fixture, is slow."""
SLOW_MARKERS = ("browser", "gpu")
STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"}
"""Audit events of Python that announce another process."""

_guarded: list[str] = []
"""The test that runs now, unless it is slow: one at most."""
_start = multiprocessing.process.BaseProcess.start


@pytest.hookimpl(tryfirst=True)  # before pytest takes out what `-m` does not want
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow who asks for a slow fixture or has a marker that implies it."""
    for item in items:
        fixtures = SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if fixtures or any(item.get_closest_marker(name) for name in SLOW_MARKERS):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watch a test that is not slow, from its fixtures' set-up to their end."""
    if item.get_closest_marker("slow") is None:
        _guarded.append(item.nodeid)
    try:
        return (yield)
    finally:
        _guarded.clear()


def _refuse_processes(event: str, arguments: tuple[Any, ...]) -> None:
    """Fail the test by an exception that no `except Exception` holds up."""
    if event in STARTS and _guarded:
        pytest.fail(f"{_guarded[0]} starts a process ({event} {arguments[:1]}): mark it with @pytest.mark.slow")


def _refuse_or_start(process: multiprocessing.process.BaseProcess) -> None:
    """Stand in for `Process.start`: some of the ways to start one raise no audit event."""
    _refuse_processes("os.fork", (process.name,))
    _start(process)


sys.addaudithook(_refuse_processes)
multiprocessing.process.BaseProcess.start = _refuse_or_start  # type: ignore[method-assign]
