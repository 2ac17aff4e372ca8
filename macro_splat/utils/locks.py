"""Locks of the kernel's, which end with the last process that holds them, however that ends."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock: there two drivers in one folder are the user's business
    fcntl = None  # type: ignore[assignment]

_POLL_S = 0.2


class Held(Exception):
    """Somebody else holds the lock."""


@contextmanager
def hold(path: Path, wait_s: float = 0.0) -> Iterator[int]:
    """Hold a file, made if missing, and give its descriptor: a process that inherits it holds the lock as well.

    File systems without locks (some network drives) are left unlocked.

    Raises:
        Held: by another process, after so many seconds still.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _acquire(descriptor, path, time.monotonic() + wait_s)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, end: float) -> None:
    while fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise Held(str(path)) from None
            time.sleep(_POLL_S)
        except OSError:
            return
