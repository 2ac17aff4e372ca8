"""Locks of the kernel's on files and folders, which end with the last process that holds them, however that ends.

Nothing lies around afterwards. Windows and some network drives have no such locks: there nothing is ever locked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from macro_splat.errors import MacroSplatError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

AVAILABLE = fcntl is not None
_POLL_S = 0.2
_folders: dict[Path, int] = {}
"""Descriptors of the folders that this process holds."""


class Held(Exception):
    """Somebody else holds the lock."""


def acquire(descriptor: int, wait_s: float = 0.0) -> bool:
    """Lock an open file or folder until its descriptor is closed, here and wherever it was inherited.

    Returns:
        False where there are no locks.

    Raises:
        Held: by another process, after so many seconds still.
    """
    end = time.monotonic() + wait_s
    while fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                raise Held from None
            time.sleep(_POLL_S)
        except OSError:
            return False
    return False


@contextmanager
def hold_file(path: Path, wait_s: float = 0.0) -> Iterator[int]:
    """Hold a file, made if missing, and give its descriptor: a process that inherits it holds the lock as well.

    Raises:
        Held: by another process, after so many seconds still.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            acquire(descriptor, wait_s)
        except Held:
            raise Held(str(path)) from None
        yield descriptor
    finally:
        os.close(descriptor)


def lock_folder(folder: Path) -> None:
    """Hold an existing folder until the process ends: two trainings that write into one would spoil each other.

    A folder that this process holds already stays held.

    Raises:
        MacroSplatError: another process holds it.
    """
    folder = folder.resolve()
    if not AVAILABLE or folder in _folders:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        acquire(descriptor)
    except Held:
        os.close(descriptor)
        raise MacroSplatError(
            f"{folder}: another training is writing into this folder; wait for its end, or give another --timestamp"
        ) from None
    _folders[folder] = descriptor
