"""Stages whose commands take a moment and tell what they do, and what can be read of it afterwards."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from macro_splat.campaign.specimen import Specimen
from tests.campaign import fake_command

FAKE = Path(fake_command.__file__)


@dataclass(frozen=True)
class FakeStage:
    """Runs `fake_command.py`."""

    name: str
    seconds: float = 0.2
    cpus: float = 1.0
    gpus: float = 0.0

    def finished(self, specimen: Specimen) -> bool:
        return (specimen.folder / f"{self.name}.result").is_file()

    def command(self, specimen: Specimen) -> list[str]:
        words = [self.name, str(self.seconds), str(specimen.source), str(specimen.folder)]
        return [sys.executable, "-I", "-S", str(FAKE), *words]


def make_specimens(folder: Path, faults: dict[str, str]) -> Path:
    """A folder for each name, with its fault ("" = none)."""
    for name, fault in faults.items():
        (folder / name).mkdir(parents=True)
        if fault:
            (folder / name / "fault").write_text(fault)
    return folder


def journal(folder: Path) -> list[list[str]]:
    """The words of each line that the commands have written into a specimen's folder."""
    path = folder / "journal"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def count(folder: Path, what: str, stage: str) -> int:
    """How often a stage begun or finished."""
    return sum(words[:2] == [what, stage] for words in journal(folder))


def parent(pid: int) -> int:
    """Of a process; the files are Linux's."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def wait_until(
    true: Callable[[], object], process: subprocess.Popen[str] | None = None, seconds: float = 240.0
) -> None:
    """
    Args:
        process: that makes it true, if it is one.

    Raises:
        AssertionError: it did not become true, or the process ended before; with what it printed.
    """
    end = time.monotonic() + seconds
    while not true():
        if process is not None and process.poll() is not None and not true():
            raise AssertionError(f"ended with {process.returncode}: {process.communicate()[0]}")
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
