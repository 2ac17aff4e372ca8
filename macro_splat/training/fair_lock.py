"""The lock between the training and the viewer."""

from __future__ import annotations

import threading
from types import TracebackType


class FairLock:
    """A lock that whoever lets go of it cannot take again before one who waits has had it.

    `threading.Lock` gives no such turns: a training that takes it anew for every step leaves a viewer waiting for
    seconds. Here one waits for the lock holding the gate, and the others for the gate.
    """

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._lock = threading.Lock()

    def acquire(self) -> bool:
        """Wait for the lock; always True."""
        with self._gate:
            return self._lock.acquire()

    def release(self) -> None:
        """Let go of it."""
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
