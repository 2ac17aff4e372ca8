"""A progress bar for every stage that says how far it is."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class StageBars:
    """Bars that appear as stages begin; without a terminal nothing is drawn."""

    def __init__(self) -> None:
        columns = TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._progress = Progress(*columns)
        self._progress.disable = not self._progress.console.is_terminal
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> StageBars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, what: str, done: int, total: int) -> None:
        """Show how much of a stage is done; a stage of nothing shows none."""
        if what not in self._bars and total > 0:
            self._bars[what] = self._progress.add_task(what.capitalize(), total=total)
        if what in self._bars:
            self._progress.update(self._bars[what], completed=done, total=total)
