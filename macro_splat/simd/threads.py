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
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from .compilation import device
from .lanes import fetch_add

_wanted: int | None = None
_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_pool_lock = threading.Lock()


def set_num_threads(n: int | None) -> None:
    """Set how many threads kernels use, ≥ 1; None goes back to the rule of `get_num_threads`."""
    global _wanted
    if n is not None and n < 1:
        raise ValueError(f"number of threads must be at least 1, not {n}")
    _wanted = n


def get_num_threads() -> int:
    """How many threads kernels use: what was set, else the environment's NUMBA_NUM_THREADS, else torch's number."""
    if _wanted is not None:
        return _wanted
    given = os.environ.get("NUMBA_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else torch.get_num_threads()


@device
def take(queue):  # type: ignore[no-untyped-def]
    """Inside a kernel: take the next work item, or -1 when none is left."""
    item = fetch_add(queue, 0, 1)
    return item if item < queue[1] else -1


def run(kernel: Callable, n_items: int, *args: Any) -> None:
    """Call `kernel(queue, *args)` on as many threads as are wanted and useful, and wait for all of them.

    The kernel takes its items, 0 ≤ item < n_items, by `take(queue)` until that gives -1.
    """
    if n_items <= 0:
        return
    queue = np.array([0, n_items], dtype=np.int64)
    helpers: list[Future] = []
    n_helpers = min(get_num_threads(), n_items) - 1
    if n_helpers > 0:
        pool = _pool_of(n_helpers)
        helpers = [pool.submit(kernel, queue, *args) for _ in range(n_helpers)]
    try:
        kernel(queue, *args)
    finally:
        # The queue is empty now: a helper that has not begun (the pool is busy for another thread) is not needed.
        started = [helper for helper in helpers if not helper.cancel()]
        for helper in started:
            helper.result()


def _pool_of(size: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    with _pool_lock:
        if _pool is None or _pool_size < size:
            # A smaller pool is left to finish what it holds; its threads end when nothing refers to it.
            _pool, _pool_size = ThreadPoolExecutor(size, thread_name_prefix="macro-splat-kernel"), size
        return _pool


def _forget_pool() -> None:
    global _pool, _pool_size, _pool_lock
    _pool, _pool_size, _pool_lock = None, 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)  # threads do not survive a fork
