"""The options of `macro-splat report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from macro_splat.errors import MacroSplatError


@dataclass(frozen=True)
class ReportConfig:
    """Whose page is written, and where."""

    run: Positional[Path]
    """folder of a training, with its config.yml, or one above."""
    output: Path | None = None
    """FILE.html; by default report.html in the run's folder."""
    data: Path | None = None
    """folder of the capture, if it was moved since the training."""
    overwrite: bool = False
    """replace the page that is there."""

    def page(self) -> Path:
        """Return the file to write.

        Raises:
            MacroSplatError: it cannot be written there, or is there already; there is no run.
        """
        from macro_splat.report.training_report import FILE_NAME
        from macro_splat.runs.load import find_run

        page = find_run(self.run).parent / FILE_NAME if self.output is None else self.output
        if page.is_dir():
            raise MacroSplatError(f"{page}: is a folder; give --output FILE.html")
        if page.exists() and not self.overwrite:
            raise MacroSplatError(f"{page}: exists already; give another --output, or --overwrite")
        if not page.parent.is_dir():
            raise MacroSplatError(f"{page.parent}: no such folder; make it, or give another --output")
        return page
