"""Idle threads of torch take no processor time."""

import os
import subprocess
import sys

import pytest

from macro_splat.compat import idle_threads

pytestmark = pytest.mark.slow

PROCESSORS = idle_threads._available_processors()

PROGRAM = """
import sys, time, threading, torch
from macro_splat.compat.idle_threads import stop_spinning
torch.set_num_threads({threads})
if {mended}:
    stop_spinning(); stop_spinning()
x = torch.zeros(1 << 16)
x.sin_()
start = time.process_time()
for _ in range(100):
    x.sin_()
    time.sleep(0.005)
print(time.process_time() - start, threading.active_count())
"""


def run(*, mended: bool, threads: int = PROCESSORS, **environment: str) -> tuple[float, int]:
    """Seconds of processor time of a program that is nearly always idle, and its number of Python threads."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(mended=mended, threads=threads)],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, count = done.stdout.split()
    return float(seconds), int(count)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch does not run on GNU OpenMP")
@pytest.mark.skipif(PROCESSORS < 2, reason="one processor: torch has no second thread that could spin")
def test_idle_threads_do_not_spin() -> None:
    plain, mended = run(mended=False)[0], run(mended=True)[0]
    assert mended < plain / 2, f"{plain:.3f} s without the mend, {mended:.3f} s with it"


def test_it_starts_one_thread() -> None:
    assert run(mended=True, threads=max(PROCESSORS, 2))[1] == 2


def test_many_processors_need_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr("torch.get_num_threads", lambda: 4)
    monkeypatch.setattr(idle_threads, "_available_processors", lambda: 64)
    monkeypatch.setattr("threading.Thread.start", started.append)
    idle_threads.stop_spinning.__wrapped__()
    assert started == []


@pytest.mark.parametrize("variable", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_the_users_policy_is_left_alone(variable: str) -> None:
    assert run(mended=True, **{variable: "ACTIVE" if variable == "OMP_WAIT_POLICY" else "100"})[1] == 1


def test_a_single_thread_needs_nothing() -> None:
    assert run(mended=True, threads=1)[1] == 1
