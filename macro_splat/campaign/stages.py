"""What is done for a specimen, one stage after the other: commands that leave a whole result or none."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from macro_splat.campaign.specimen import TRANSFORMS, Specimen

FIGURES, PAGE, THUMBNAIL = "figures.json", "report.html", "thumbnail.jpg"
"""What the last stage leaves in a specimen's folder; the figures come last."""
MAX_NUMBER = 1e15
"""In the files of a campaign; what is not less, or no number at all, would break sums and tables."""


class Stage(Protocol):
    """One stage, the same for all specimens. It travels to the workers, so it must be picklable."""

    @property
    def name(self) -> str:
        """Names its logs, too."""
        ...

    @property
    def cpus(self) -> float:
        """That a command may use."""
        ...

    @property
    def gpus(self) -> float:
        """That a command may use; a fraction shares one."""
        ...

    def finished(self, specimen: Specimen) -> bool:
        """Its whole result is there, or the specimen needs none. Called on every machine: looks at the disk only."""
        ...

    def command(self, specimen: Specimen) -> list[str]:
        """Program and arguments; on the machine where it will run, while nobody else works on the specimen."""
        ...


@dataclass(frozen=True)
class Process:
    """Photographs to capture; a capture needs none."""

    cpus: float
    options: tuple[str, ...] = ()
    """For `macro-splat process`."""
    gpus: float = 0.0
    name: str = "process"

    def finished(self, specimen: Specimen) -> bool:
        # The report is written after everything that a training reads.
        return specimen.is_capture or all((specimen.capture / name).is_file() for name in (TRANSFORMS, PAGE))

    def command(self, specimen: Specimen) -> list[str]:
        threads = str(max(1, int(self.cpus)))
        words = ["process", str(specimen.source), str(specimen.capture), "--threads", threads]
        return [_program("macro-splat"), *words, *self.options]


@dataclass(frozen=True)
class Train:
    """Capture to run, from the last checkpoint on if there is one."""

    cpus: float
    gpus: float
    iterations: int = 0
    """0: chosen from the capture and the machine."""
    options: tuple[str, ...] = ()
    """For `ns-train macro-splat`."""
    name: str = "train"

    def finished(self, specimen: Specimen) -> bool:
        # The record is written right after the last checkpoint; a kill in between leaves a finished run without it,
        # which cannot be trained on.
        return (specimen.run / "training.json").is_file() or 0 < self._iterations(specimen) <= _steps(specimen)

    def command(self, specimen: Specimen) -> list[str]:
        experiment, _, timestamp = specimen.run.parts[-3:]
        words = [_program("ns-train"), "macro-splat", "--data", str(specimen.capture)]
        words += ["--output-dir", str(specimen.folder), "--experiment-name", experiment, "--timestamp", timestamp]
        words += ["--vis", "tensorboard", "--report", "False"]  # the page is the last stage's
        if self.iterations > 0:
            words += ["--max-num-iterations", str(self.iterations)]
        if _steps(specimen) > 0:
            words += ["--load-dir", str(_checkpoints(specimen))]
        return [*words, *self.options]

    def _iterations(self, specimen: Specimen) -> int:
        """How many it is to be trained, 0 = unknown: what the training chose for itself stands in its log."""
        if self.iterations > 0:
            return self.iterations
        for number in range(specimen.attempts(self.name), 0, -1):
            log = specimen.log(self.name, number)
            found = re.search(rb"Training for (\d+) iterations", log.read_bytes()) if log.is_file() else None
            if found is not None:
                return int(found[1])
        return 0


@dataclass(frozen=True)
class Export:
    """Run to splats, points and mesh."""

    cpus: float
    gpus: float
    name: str = "export"

    def finished(self, specimen: Specimen) -> bool:
        return (specimen.splats / "export.json").is_file()

    def command(self, specimen: Specimen) -> list[str]:
        return [_program("macro-splat"), "export", str(specimen.run), str(specimen.splats), "--overwrite"]


@dataclass(frozen=True)
class Report:
    """Run to page, figures and thumbnail."""

    cpus: float
    gpus: float
    name: str = "report"

    def finished(self, specimen: Specimen) -> bool:
        return (specimen.folder / FIGURES).is_file()

    def command(self, specimen: Specimen) -> list[str]:
        return [sys.executable, "-m", "macro_splat.campaign.results", str(specimen.run), str(specimen.folder)]


def stages_of(
    cpus: float,
    gpus: float,
    iterations: int = 0,
    process_options: Sequence[str] = (),
    train_options: Sequence[str] = (),
) -> list[Stage]:
    """All four, in order."""
    return [
        Process(cpus, tuple(process_options)),
        Train(cpus, gpus, iterations, tuple(train_options)),
        Export(cpus, gpus),
        Report(cpus, gpus),
    ]


def read_figures(specimen: Specimen) -> dict[str, float]:
    """Return what the last stage measured: nothing where it has not, and only finite numbers."""
    try:
        figures = json.loads((specimen.folder / FIGURES).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(figures, dict):
        return {}
    return {name: n for name, n in figures.items() if isinstance(n, int | float) and abs(n) < MAX_NUMBER}


def _program(name: str) -> str:
    """Return a command of this machine's environment."""
    return str(Path(sys.executable).with_name(name))


def _checkpoints(specimen: Specimen) -> Path:
    return specimen.run / "nerfstudio_models"


def _steps(specimen: Specimen) -> int:
    """How many steps the newest checkpoint has behind it, 0 = there is none."""
    names = (path.stem.removeprefix("step-") for path in _checkpoints(specimen).glob("step-*.ckpt"))
    return max((int(name) + 1 for name in names if name.isdecimal()), default=0)
