"""What the stages of a run share: a folder and a cache for what reruns need, threads within a memory budget."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from macro_splat.photographs.load import Photograph
from macro_splat.process.stacks.grouping import Stack
from macro_splat.utils.atomic import atomic_write
from macro_splat.utils.progress import ProgressCallback, no_progress

MEMORY_BUDGET = 1 << 30
"""Bytes that photographs which are worked on at the same time may take together."""

Item = TypeVar("Item", Photograph, Stack)
Result = TypeVar("Result")


class StageCache:
    """Small JSON values in a folder, each kept with a key of everything that it was made from.

    A value that cannot be read counts as missing: it is made again.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def get(self, stage: str, name: str, key: str) -> Any | None:
        """Return the value that `put` kept under the same stage, name and key, or None."""
        try:
            entry = json.loads(self._path(stage, name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return entry.get("value") if isinstance(entry, dict) and entry.get("key") == key else None

    def put(self, stage: str, name: str, key: str, value: Any) -> None:
        """Keep a value; what stood under this stage and name before is replaced."""
        path = self._path(stage, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "w") as file:
            json.dump({"key": key, "value": value}, file)

    def _path(self, stage: str, name: str) -> Path:
        return self._folder / stage / f"{name}.json"


@dataclass(frozen=True)
class Workspace:
    """Where and how the stages of one run work."""

    folder: Path
    """For what reruns and the report need."""
    threads: int | None = None
    """At most; None: all processors."""
    progress: ProgressCallback = no_progress
    """Called from the thread that calls a stage."""

    @property
    def cache(self) -> StageCache:
        """Results of finished work."""
        return StageCache(self.folder / "cache")

    def cached(
        self, stage: str, name: str, key: str, make: Callable[[], Any], intact: Callable[[Any], bool] = lambda _: True
    ) -> Any:
        """Return what `make` returned when it was called for this key, and call it where that is not known.

        Args:
            make: returns a value of JSON's types, not None.
            intact: whether the files that belong to a known value are still there; else it is made again.
        """
        value = self.cache.get(stage, name, key)
        if value is None or not intact(value):
            value = make()
            self.cache.put(stage, name, key, value)
        return value

    def for_each(
        self, items: Sequence[Item], work: Callable[[Item], Result], *, what: str, bytes_per_pixel: int
    ) -> list[Result]:
        """Return the results of `work` for all items, in their order, worked out side by side.

        When one fails, or at Ctrl-C, those that have begun are waited for, the others are not begun, and the error is
        raised.

        Args:
            what: name of the work for `progress`.
            bytes_per_pixel: that the work needs at its peak; the largest photograph decides how many fit into memory.
        """
        self.progress(what, 0, len(items))
        executor = ThreadPoolExecutor(self._threads_for(items, bytes_per_pixel))
        try:
            futures = [executor.submit(work, item) for item in items]
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                self.progress(what, done, len(items))
            return [future.result() for future in futures]
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    def _threads_for(self, items: Sequence[Photograph] | Sequence[Stack], bytes_per_pixel: int) -> int:
        photographs = [p for item in items for p in (item.photographs if isinstance(item, Stack) else (item,))]
        largest = max((photograph.width * photograph.height for photograph in photographs), default=1)
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(self.threads or processors, MEMORY_BUDGET // (largest * bytes_per_pixel)))


def key_of(*parts: Any) -> str:
    """Return a short name for a combination of values of JSON's types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def fingerprint(photograph: Photograph) -> list[Any]:
    """Return what tells a photograph from another one and from an older version of itself, without reading it."""
    return [photograph.name, *file_fingerprint(photograph.path)]


def file_fingerprint(path: Path) -> list[int]:
    """Return size and time of change of a file."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
