"""`macro-splat report`: one page about a training."""

from __future__ import annotations

from macro_splat.report.config import ReportConfig


def report(config: ReportConfig) -> int:
    """Write a page about a training: pictures to wipe between, figures, lenses, curves, sizes, the exact command.

    It is one file that needs nothing but itself. Each training writes it at its end, too.
    """
    from macro_splat.cli.stage_bars import StageBars
    from macro_splat.report.training_report import write_training_report
    from macro_splat.runs.load import load_run

    page = config.page()  # before the long way to a loaded run
    trained = load_run(config.run, data=config.data)
    with StageBars() as bars:
        write_training_report(trained, page, bars.update)
    print(page)
    return 0
