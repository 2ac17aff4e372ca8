"""Kernels on several threads, by Python's own threads.

Numba's parallel layers were set aside: `workqueue` aborts when two Python threads call it at once (a viewer renders
while training runs), `omp` needs a system library and does not survive a fork, `tbb` is a package of its own. A kernel
here is a serial function that releases the interpreter lock and takes its work items one by one from a shared queue
until none is left. So any number of Python threads may run kernels at the same time and no lock is held.

Results must not depend on who takes which item: every item writes to its own place.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import Tensor

from macro_splat.simd.compilation import device
from macro_splat.simd.lanes import fetch_add
from macro_splat.utils.untraced import untraced

_EMPTY = np.empty(0, np.float32)
_wanted: int | None = None
_waiting: SimpleQueue = SimpleQueue()  # what helpers are to do
_n_helpers = 0
_helpers_lock = threading.Lock()


def set_num_threads(n: int | None) -> None:
    """Set how many threads kernels use, ≥ 1; None goes back to the rule of `get_num_threads`."""
    global _wanted
    if n is not None and n < 1:
        raise ValueError(f"number of threads must be at least 1, not {n}")
    _wanted = n


def get_num_threads() -> int:
    """Return how many threads kernels use: as set, else the environment's NUMBA_NUM_THREADS, else torch's number."""
    if _wanted is not None:
        return _wanted
    given = os.environ.get("NUMBA_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else torch.get_num_threads()


@device
def take(queue):  # type: ignore[no-untyped-def]
    """Inside a kernel: take the next work item, or -1 when none is left."""
    item = fetch_add(queue, 0, 1)
    return item if item < queue[1] else -1


@device
def items(queue):  # type: ignore[no-untyped-def]
    """Inside a kernel: iterate over work items until none is left."""
    item = take(queue)
    while item >= 0:
        yield item
        item = take(queue)


def flat(tensor: Tensor | None) -> np.ndarray:
    """Return the numbers of a tensor as one row, as kernels take them; empty for None.

    It shares the memory of a contiguous tensor, which a kernel may fill.
    """
    return _EMPTY if tensor is None else tensor.detach().contiguous().view(-1).numpy()


def run(kernel: Callable, n_items: int, *args: Any) -> None:
    """Call `kernel(queue, *args)` on as many threads as are wanted and useful, and wait for all of them.

    The kernel gets its items, 0 ≤ item < n_items, from `items(queue)`.
    """
    if n_items <= 0:
        return
    with untraced():  # a first call compiles, or loads what is compiled
        _run(kernel, n_items, args)


def _run(kernel: Callable, n_items: int, args: tuple) -> None:
    queue = np.array([0, n_items], dtype=np.int64)
    shares = [_Share(kernel, queue, args) for _ in range(min(get_num_threads(), n_items) - 1)]
    if shares:
        _add_helpers(len(shares))
        for share in shares:
            _waiting.put(share)
    try:
        kernel(queue, *args)
    finally:
        for share in shares:
            share.finish()


class _Share:
    """A helper's part in one call of a kernel."""

    def __init__(self, kernel: Callable, queue: np.ndarray, args: tuple) -> None:
        self.kernel, self.queue, self.args = kernel, queue, args
        self.error: BaseException | None = None
        self.begun, self.done = threading.Lock(), threading.Lock()
        self.done.acquire()

    def work(self) -> None:
        """Do the work, by the helper, unless nobody waits for it any more."""
        if not self.begun.acquire(blocking=False):
            return
        try:
            self.kernel(self.queue, *self.args)
        except BaseException as error:
            self.error = error
        finally:
            self.done.release()

    def finish(self) -> None:
        """Wait for the helper, by the caller when the queue is empty; a helper that has not begun need not."""
        if self.begun.acquire(blocking=False):
            return
        self.done.acquire()
        if self.error is not None:
            raise self.error


def _add_helpers(wanted: int) -> None:
    global _n_helpers
    if _n_helpers < wanted:
        with _helpers_lock:
            while _n_helpers < wanted:
                _n_helpers += 1
                name = f"macro-splat-kernel-{_n_helpers}"
                threading.Thread(target=_help, args=(_waiting,), name=name, daemon=True).start()


def _help(waiting: SimpleQueue) -> None:
    while True:
        waiting.get().work()


def _forget_helpers() -> None:
    global _waiting, _n_helpers, _helpers_lock
    _waiting, _n_helpers, _helpers_lock = SimpleQueue(), 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)  # threads do not survive a fork
