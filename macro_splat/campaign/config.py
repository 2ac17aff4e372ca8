"""The options of `macro-splat campaign`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from macro_splat.errors import MacroSplatError


@dataclass(frozen=True)
class CampaignConfig:
    """Which specimens are worked on, with what, and with which options."""

    specimens: Positional[Path]
    """folder that holds a folder for each specimen: photographs, or a capture with its transforms.json."""
    out: Positional[Path]
    """folder for the results, made if missing: a folder for each specimen, index.html and campaign.csv."""
    iterations: int = 0
    """of each training; 0: chosen from the capture and the machine."""
    address: str | None = None
    """of a Ray cluster, as HOST:PORT or auto; by default Ray is started on this machine."""
    cpus: float | None = None
    """that a stage of a specimen may use; 4, or what the best machine has, if not given."""
    gpus: float | None = None
    """that a training, export or report may use, as 1 or 0.5; 1 where there are any, if not given."""
    retries: int = 2
    """of each stage that fails; where only you can help, as with a broken photograph, there is none."""
    process_options: str = ""
    """more options for `macro-splat process`, as "--rig /data/rig.yaml --masks make"."""
    train_options: str = ""
    """more options for `ns-train macro-splat`, as "--steps-per-save 2000"."""
    grace: float = 20.0
    """seconds that an interrupted command has to end by itself."""

    def check(self) -> None:
        """Refuse impossible values.

        Raises:
            MacroSplatError: the first one.
        """
        for option, value in (("--iterations", self.iterations), ("--retries", self.retries)):
            if value < 0:
                raise MacroSplatError(f"{option} {value}: must not be negative")
        self.options_of("process")
        self.options_of("train")

    def options_of(self, command: str) -> list[str]:
        """Return the options to pass on to a command, "process" or "train", as a shell would split them.

        Raises:
            MacroSplatError: a quotation mark is open.
        """
        text = self.process_options if command == "process" else self.train_options
        try:
            return shlex.split(text)
        except ValueError as error:
            raise MacroSplatError(f"--{command}-options {text!r}: {error}; quote them as for a shell") from error
