"""Turns between a thread that takes the lock again at once and others that wait for it."""

from __future__ import annotations

import threading
import time

from macro_splat.training.fair_lock import FairLock


def test_who_lets_go_waits_for_who_waits() -> None:
    lock, order, stop = FairLock(), [], threading.Event()

    def greedy() -> None:
        while not stop.is_set():
            with lock:
                order.append("step")
                time.sleep(0.005)

    def viewer() -> None:
        for _ in range(20):
            with lock:
                order.append("picture")
        stop.set()

    threads = [threading.Thread(target=target) for target in (greedy, viewer)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert order.count("picture") == 20
    first = order.index("picture")
    # At most the step that runs and the one that was already in the gate lie between two pictures.
    assert order[first:].count("step") <= 2 * 20


def test_one_at_a_time() -> None:
    lock, inside, most = FairLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with lock:
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (most, inside) == (1, 0)
