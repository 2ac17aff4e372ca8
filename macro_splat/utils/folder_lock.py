"""Two trainings that write into one folder would spoil each other: the first one locks it until its process ends.

The lock is the kernel's, on the folder itself: nothing lies around afterwards, and it ends with the process, however
that ends.
"""

from __future__ import annotations

import os
from pathlib import Path

from macro_splat.errors import MacroSplatError

try:
    import fcntl
except ImportError:  # Windows has no flock: there two trainings in one folder are the user's business
    fcntl = None  # type: ignore[assignment]

_held: dict[Path, int] = {}
"""Descriptors of the folders that this process holds."""


def lock_folder(folder: Path) -> None:
    """Hold an existing folder until the process ends; a folder that this process holds already stays held.

    File systems without locks (some network drives) are left unlocked.

    Raises:
        MacroSplatError: another process holds it.
    """
    folder = folder.resolve()
    if fcntl is None or folder in _held:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise MacroSplatError(
            f"{folder}: another training is writing into this folder; wait for its end, or give another --timestamp"
        ) from None
    except OSError:
        os.close(descriptor)
        return
    _held[folder] = descriptor
