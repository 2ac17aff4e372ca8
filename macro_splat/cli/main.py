"""Entry point of the command `macro-splat`."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from inspect import getdoc
from typing import Annotated, Any, Union, get_type_hints

import tyro
from tyro.conf import subcommand

from macro_splat.cli.benchmark import benchmark
from macro_splat.cli.campaign import campaign
from macro_splat.cli.deblur import deblur
from macro_splat.cli.demo import demo
from macro_splat.cli.doctor import doctor
from macro_splat.cli.export import export
from macro_splat.cli.process import process
from macro_splat.cli.render import render
from macro_splat.cli.report import report
from macro_splat.compat import field_docstrings, one_line_errors

COMMANDS: list[Callable[..., int]] = [process, demo, render, report, deblur, export, benchmark, campaign, doctor]
"""Each is a function of its config, a dataclass with an option in each field, or of nothing."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the subcommand that the arguments name, by default those of the process, and return its exit code."""
    by_config = {get_type_hints(command).get("config", command): command for command in COMMANDS}
    parsers = [
        Annotated[Any, subcommand(command.__name__, description=getdoc(command), constructor=config)]
        for config, command in by_config.items()
    ]
    any_of_them: Any = Union[tuple(parsers)]  # noqa: UP007
    description = "Blurry macro photographs in, sharp 3D Gaussian splats out."
    config = tyro.cli(any_of_them, prog="macro-splat", description=description, args=arguments)
    # A command without options has run already, as what constructs its config.
    return by_config[type(config)](config) if type(config) in by_config else config


def main() -> None:
    """Run the subcommand that the arguments name; exit with what it returns, 1 after an error."""
    # See compat/idle_threads.py; here torch is not loaded yet, and programs started from here inherit it.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    one_line_errors.install()
    field_docstrings.install()
    try:
        try:
            code = run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever reads our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again as it ends
        code = 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 1
    sys.exit(code)
