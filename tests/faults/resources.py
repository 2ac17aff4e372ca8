"""Disks, limits and clocks as they are on a bad day."""

from __future__ import annotations

import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Disk:
    """A folder on which little can be written."""

    folder: Path
    limit_file: int | None
    """Where no disk could be made for the test: the largest file in bytes, as a limit of the process."""

    def limit(self) -> None:
        """To be called in the process that writes, before it does."""
        if self.limit_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit_file, resource.RLIM_INFINITY))

    @contextmanager
    def limited(self) -> Iterator[None]:
        """The same for this process, while the block runs."""
        if self.limit_file is None:
            yield
            return
        before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
        self.limit()
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Disk]:
    """A disk of that size, mounted at a new folder; where mounting is not allowed, a limit on the size of files."""
    folder.mkdir()
    if not _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)):
        yield Disk(folder, kilobytes * 1024 // 4)
        return
    try:
        yield Disk(folder, None)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def read_only_folder(folder: Path) -> Iterator[Path | None]:
    """A folder on which nobody may write, not even root; None where mounting is not allowed."""
    folder.mkdir()
    if not _mount("-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)):
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def limit_memory(gigabytes: float) -> Callable[[], None]:
    """To be called in a process: it gets no more address space than that."""
    size = int(gigabytes * (1 << 30))
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _mount(*words: str) -> bool:
    try:
        return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
