"""The last stage's program: `python -m macro_splat.campaign.results RUN FOLDER` writes page, thumbnail and figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from macro_splat.campaign.stages import FIGURES, PAGE, THUMBNAIL
from macro_splat.report.measured_views import SHARP, MeasuredView, mean_figures, measure_views
from macro_splat.report.training_report import write_training_report
from macro_splat.runs.load import load_run
from macro_splat.utils.atomic import atomic_write

THUMBNAIL_EDGE = 256


def write_results(run_folder: Path, folder: Path) -> None:
    """Write what a campaign shows of a run: page, thumbnail and figures.

    Raises:
        MacroSplatError: there is no whole run, or a photograph is broken.
        OSError: the folder cannot be written.
    """
    run = load_run(run_folder)
    write_training_report(run, folder / PAGE)
    views = measure_views(run, lambda what, done, total: None)
    _write_thumbnail(views, folder / THUMBNAIL)
    figures = {
        "photographs": len(run.names),
        "gaussians": int(run.model.num_points),
        "steps": run.step + 1,
        **{name: round(value, 4) for name, value in mean_figures(views).items()},
    }
    with atomic_write(folder / FIGURES, "w") as file:
        json.dump(figures, file, indent=1)


def _write_thumbnail(views: Sequence[MeasuredView], path: Path) -> None:
    """Write the sharp render of the first view that has pictures."""
    pictures: list[Any] = [view.pictures[SHARP] for view in views if SHARP in view.pictures]
    if not pictures:
        return
    image = Image.fromarray(pictures[0])
    image.thumbnail((THUMBNAIL_EDGE, THUMBNAIL_EDGE), Image.Resampling.BOX)
    with atomic_write(path) as file:
        image.save(file, "jpeg", quality=80)


def main() -> None:
    """Of the program."""
    from macro_splat.compat import one_line_errors

    one_line_errors.install()
    write_results(Path(sys.argv[1]), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
