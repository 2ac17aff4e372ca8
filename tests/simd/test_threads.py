"""Work is done once and completely, by any number of threads, for any number of callers."""

import os
import threading

import numpy as np
import pytest
import torch

from macro_splat.simd import get_num_threads, kernel, run, set_num_threads, take
from macro_splat.simd.lanes import fetch_add, peek


@pytest.fixture(autouse=True)
def _own_number_of_threads(monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    yield
    set_num_threads(None)


@kernel
def _visit(queue, work, visits):
    while True:
        item = take(queue)
        if item < 0:
            break
        x = 0.5
        for _ in range(peek(work, 0)):
            x = 3.7 * x * (1.0 - x)
        fetch_add(visits, item, 1 if x < 2.0 else 0)


def visit(n: int, work: int = 200) -> np.ndarray:
    visits = np.zeros(max(n, 1), np.int64)
    run(_visit, n, np.array([work]), visits)
    return visits[:n]


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("n", [0, 1, 2, 5, 1000])
def test_each_item_is_taken_once(threads, n):
    set_num_threads(threads)
    assert (visit(n) == 1).all()


def test_many_python_threads_may_run_kernels_at_once():
    set_num_threads(3)
    wrong: list[int] = []

    def call() -> None:
        for n in range(1, 60):
            if not (visit(n) == 1).all():
                wrong.append(n)

    callers = [threading.Thread(target=call) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert not any(caller.is_alive() for caller in callers)
    assert not wrong


def test_helpers_really_share_the_work():
    set_num_threads(2)
    names: set[str] = set()

    def note(queue, started):
        names.add(threading.current_thread().name)
        started.wait()  # until the other one has come too
        queue[0] = queue[1]

    run(note, 2, threading.Barrier(2, timeout=30))
    assert len(names) == 2


def test_an_error_of_a_helper_reaches_the_caller():
    set_num_threads(2)
    caller = threading.get_ident()

    def fail_in_helper(queue, failed):
        if threading.get_ident() == caller:
            assert failed.wait(30)
        else:
            failed.set()
            raise ValueError("from the helper")

    with pytest.raises(ValueError, match="from the helper"):
        run(fail_in_helper, 2, threading.Event())
    assert (visit(10) == 1).all()  # and the helper lives on


def test_threads_follow_the_setting_then_environment_then_torch(monkeypatch):
    assert get_num_threads() == torch.get_num_threads()
    monkeypatch.setenv("NUMBA_NUM_THREADS", "5")
    assert get_num_threads() == 5
    monkeypatch.setenv("NUMBA_NUM_THREADS", "many")
    assert get_num_threads() == torch.get_num_threads()
    set_num_threads(3)
    assert get_num_threads() == 3
    set_num_threads(None)
    assert get_num_threads() == torch.get_num_threads()
    with pytest.raises(ValueError, match="at least 1, not 0"):
        set_num_threads(0)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_kernels_run_on_threads_after_a_fork():
    set_num_threads(2)
    assert (visit(50) == 1).all()
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if (visit(50, work=200_000) == 1).all() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
