"""`macro-splat report`: one page about a training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from macro_splat.errors import MacroSplatError


def report(
    run: Annotated[Path, tyro.conf.Positional],
    output: Path | None = None,
    data: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Write a page about a training: pictures to wipe between, figures, lenses, curves, sizes, the exact command.

    It is one file that needs nothing but itself. Each training writes it at its end, too.

    Args:
        run: folder of a training, with its config.yml, or one above.
        output: FILE.html; by default report.html in the run's folder.
        data: folder of the capture, if it was moved since the training.
        overwrite: replace the page that is there.
    """
    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.report.training_report import FILE_NAME, write_training_report
    from macro_splat.runs.load import find_run, load_run

    page = find_run(run).parent / FILE_NAME if output is None else output
    if page.is_dir():
        raise MacroSplatError(f"{page}: is a folder; give --output FILE.html")
    if page.exists() and not overwrite:
        raise MacroSplatError(f"{page}: exists already; give another --output, or --overwrite")
    if not page.parent.is_dir():
        raise MacroSplatError(f"{page.parent}: no such folder; make it, or give another --output")
    trained = load_run(run, data=data)
    with StageBars() as bars:
        write_training_report(trained, page, bars.update)
    print(page)
    return 0
