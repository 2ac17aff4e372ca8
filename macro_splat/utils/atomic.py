"""Files and folders that are whole or not there: written under a temporary name, synced, renamed.

What a killed process leaves under a temporary name is removed by the next one that writes into the same folder. Which
names have an owner that still lives is told by a lock of the kernel's on each, which ends with its process; where there
are no such locks (Windows, some network drives) leftovers stay until they are deleted by hand.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from macro_splat.utils import locks

_SUFFIX = ".unfinished"
_TEMPORARY = re.compile(r"\..*\.[a-z0-9_]{8}\.unfinished")
_cleaned: set[str] = set()
"""Folders in which this process has looked for leftovers."""


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
    _clean_once(folder)
    descriptor, name = _new_file(path.name, folder)
    owned = os.dup(descriptor) if locks.AVAILABLE else None  # keeps the lock when the file is closed
    try:
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
        _sync_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        if owned is not None:
            os.close(owned)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Give a new folder beside ``path`` to work in, which vanishes at the end.

    Raises:
        OSError: it cannot be made.
    """
    _clean_once(path.parent)
    while True:
        name = tempfile.mkdtemp(prefix=_prefix(path.name), suffix=_SUFFIX, dir=path.parent)
        descriptor = os.open(name, os.O_RDONLY) if locks.AVAILABLE else None
        if descriptor is None or _own(descriptor, name):
            break
        os.close(descriptor)
    try:
        yield Path(name)
    finally:
        shutil.rmtree(name, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def atomic_folder(path: Path, record: str | None = None, *, replace: bool = False) -> Iterator[Path]:
    """Give a folder to fill, whose content appears as ``path`` when the block ends well, and vanishes if it does not.

    Where ``path`` exists already, it makes way for the new folder (`replace`), or the new files take their places in it
    one after the other, and what else is there stays.

    Args:
        path: the folder.
        record: name of the file that tells what the others are. The old one goes first and the new one comes last: as
            long as it is there, it speaks of the files beside it.

    Raises:
        OSError: the disk is full, the folder cannot be made.
    """
    with temporary_folder(path) as temporary:
        folder = temporary / "new"
        folder.mkdir()
        yield folder
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        for file in files:
            sync(file)
        if replace and path.exists():
            _exchange(folder, path, temporary / "old")
            return
        if not path.exists():
            os.replace(folder, path)
            _sync_folder(path.parent)
            return
        if record is not None:
            (path / record).unlink(missing_ok=True)
            _sync_folder(path)
        for file in sorted(files, key=lambda file: file == folder / record if record is not None else False):
            target = path / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
            _sync_folder(target.parent)


def _exchange(folder: Path, path: Path, old: Path) -> None:
    """Rename a folder to ``path``; what stands there goes to ``old``, and comes back if that fails."""
    try:
        os.replace(path, old)
        os.replace(folder, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise
    _sync_folder(path.parent)


def sync(path: Path) -> None:
    """See a file that others wrote safe on the disk, before it is given its final name."""
    _sync(path, os.O_RDWR)


def _sync_folder(folder: Path) -> None:
    """See the names in a folder safe on the disk, where the system can."""
    if os.name == "posix":
        with suppress(OSError):  # some network drives cannot
            _sync(folder, os.O_RDONLY)


def _sync(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove from a folder what killed processes left unfinished there; what cannot be removed stays."""
    if not locks.AVAILABLE or not folder.is_dir():
        return
    for path in folder.iterdir():
        if not _TEMPORARY.fullmatch(path.name):
            continue
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:  # gone meanwhile, or not ours
            continue
        # What its owner holds stays; and if the folder cannot be written, that is no business of ours.
        with suppress(OSError, locks.Held):
            if locks.acquire(descriptor):
                _remove(path)
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _clean_once(folder: Path) -> None:
    """Once for a process is enough: its own files do not stay behind."""
    name = os.path.abspath(folder)
    if name not in _cleaned:
        _cleaned.add(name)
        remove_leftovers(folder)


def _prefix(name: str) -> str:
    """Of a temporary name; a name may be as long as file systems allow, and leave no room for more."""
    return f".{name[:40]}."


def _new_file(name: str, folder: Path) -> tuple[int, str]:
    while True:
        descriptor, path = tempfile.mkstemp(prefix=_prefix(name), suffix=_SUFFIX, dir=folder)
        if _own(descriptor, path):
            return descriptor, path
        os.close(descriptor)


def _own(descriptor: int, name: str) -> bool:
    """Mark a new temporary file or folder as ours; False if somebody removed it in the moment before."""
    # Whoever takes it for a leftover holds it for a moment. Without locks nobody removes anything either.
    return not locks.acquire(descriptor, wait_s=math.inf) or os.path.exists(name)


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
