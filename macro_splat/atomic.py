"""Files that are whole or not there: written under a temporary name, synced, renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_write(path: Path, mode: str = "wb", *, temporary_folder: Path | None = None) -> Iterator[IO]:
    """Open a file that replaces ``path`` when the block ends well, and leaves it untouched when it does not.

    Args:
        path: the file to write; its folder must exist.
        mode: "wb" or "w" (UTF-8).
        temporary_folder: where the unfinished file lies (same file system); next to ``path`` if absent.

    Raises:
        OSError: the disk is full, the folder cannot be written; ``path`` is as it was before.
    """
    folder = temporary_folder or path.parent
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".unfinished", dir=folder)
    try:
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
