"""Tests that are not slow start no process, and who asks for a slow fixture is slow. Names of tests stay short."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.tiers import SLOW_FIXTURES, pytest_collection_modifyitems

LONGEST_NAME = 60


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run([sys.executable, "-c", ""], check=False),
        lambda: os.system("true"),
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
        lambda: multiprocessing.get_context("spawn").Process(target=print).start(),
        lambda: multiprocessing.get_context("fork").Process(target=print).start(),
    ],
    ids=["subprocess", "shell", "posix_spawn", "multiprocessing spawn", "multiprocessing fork"],
)
def test_a_test_that_is_not_slow_fails_if_it_starts_a_process(start: Callable[[], object]) -> None:
    with pytest.raises(pytest.fail.Exception, match="mark it with @pytest"):
        start()


@pytest.mark.slow
def test_a_slow_test_may_start_a_process() -> None:
    assert subprocess.run([sys.executable, "-c", ""], check=False).returncode == 0


@pytest.mark.parametrize("fixture", sorted(SLOW_FIXTURES))
def test_who_asks_for_a_slow_fixture_is_slow(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, fixture: str
) -> None:
    monkeypatch.setattr(request.node, "fixturenames", [fixture])
    assert request.node.get_closest_marker("slow") is None
    pytest_collection_modifyitems([request.node])
    assert request.node.get_closest_marker("slow") is not None


def test_names_of_tests_are_short(request: pytest.FixtureRequest) -> None:
    names = {item.function.__name__ for item in request.session.items if isinstance(item, pytest.Function)}
    assert [name for name in sorted(names) if len(name) > LONGEST_NAME] == []
