"""Entry point of the command `macro-splat`."""

import os
import signal
import sys

from tyro.extras import SubcommandApp

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

app = SubcommandApp()
for command in (process, demo, render, report, deblur, export, benchmark, campaign, doctor):
    app.command(command)


def main() -> None:
    """Run the subcommand that the arguments name; exit with what it returns, 1 after an error."""
    # See compat/idle_threads.py; here torch is not loaded yet, and programs started from here inherit it.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    one_line_errors.install()
    field_docstrings.install()
    try:
        try:
            code = app.cli(prog="macro-splat", description="Blurry macro photographs in, sharp 3D Gaussian splats out.")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever reads our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again as it ends
        code = 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 1
    sys.exit(code)
