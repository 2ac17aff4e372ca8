"""Work on many photographs at once, within a memory budget."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from macro_splat.photographs.load import Photograph
from macro_splat.utils.progress import ProgressCallback

MEMORY_BUDGET = 1 << 30
"""Bytes that photographs which are worked on at the same time may take together."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def threads_for(photographs: Iterable[Photograph], bytes_per_pixel: int, wanted: int | None = None) -> int:
    """How many photographs may be worked on at a time, at least one.

    Args:
        bytes_per_pixel: that the work needs at its peak.
        wanted: at most so many; the number of processors if absent.
    """
    largest = max((photograph.width * photograph.height for photograph in photographs), default=1)
    most = wanted or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else wanted or os.cpu_count() or 1
    return max(1, min(most, MEMORY_BUDGET // (largest * bytes_per_pixel)))


def for_each(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    *,
    threads: int,
    what: str,
    progress: ProgressCallback,
) -> list[Result]:
    """The results of `work` for all items, in their order.

    When one fails, or at Ctrl-C, those that have begun are waited for, the others are not begun, and the error is
    raised.
    """
    progress(what, 0, len(items))
    executor = ThreadPoolExecutor(threads)
    try:
        futures = [executor.submit(work, item) for item in items]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()
            progress(what, done, len(items))
        return [future.result() for future in futures]
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
