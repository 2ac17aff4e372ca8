"""Entry point of the command `macro-splat`."""

import os
import sys

from tyro.extras import SubcommandApp

from macro_splat.cli.doctor import doctor
from macro_splat.compat import one_line_errors

app = SubcommandApp()
app.command(doctor)


def main() -> None:
    """Run the subcommand that the arguments name; exit with what it returns, 1 after an error."""
    # A thread of torch that has nothing to do would else spin for a while, on a processor that our kernels need.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    one_line_errors.install()
    sys.exit(app.cli(prog="macro-splat", description="Blurry macro photographs in, sharp 3D Gaussian splats out."))
