"""A table in the terminal that follows the campaign; plain lines where there is no terminal."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from macro_splat.campaign.attempt import Outcome
from macro_splat.campaign.driver import CampaignProgress, Flight

RESERVED_LINES = 8
"""Of the terminal, for headings and what is around the table."""


def duration(seconds: float) -> str:
    """As 1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def attempt_message(flight: Flight, outcome: Outcome, again: bool) -> str:
    """One line about an attempt that has ended."""
    head = f"{flight.state.specimen.name}: {flight.stage.name}"
    if outcome.done:
        return f"{head} done in {duration(outcome.seconds)}" if outcome.ran else f"{head} was done already"
    return f"{head} failed at attempt {flight.tries}, {'tried again' if again else 'given up'}: {outcome.reason}"


def summary(progress: CampaignProgress, seconds: float) -> str:
    """How far all is, and how much longer it takes if it goes on like this."""
    done, failed, total = progress.count("done"), progress.count("failed"), len(progress.states)
    running = sum(flight.begun is not None for flight in progress.flights)
    parts = [f"{done} of {total} done"]
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join([*parts, f"{running} running", duration(seconds)])


class PlainLines:
    """A line for every attempt that ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()

    def event(self, flight: Flight, outcome: Outcome, again: bool) -> None:
        self._console.print(Text(attempt_message(flight, outcome, again)), soft_wrap=True)

    def show(self, progress: CampaignProgress, *, last: bool = False) -> None:
        if last:
            self._console.print(Text(summary(progress, time.monotonic() - self._start)), soft_wrap=True)


class LiveTable:
    """Every specimen that is under way; above it, what failed. To be entered as a context."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def event(self, flight: Flight, outcome: Outcome, again: bool) -> None:
        if not outcome.done:
            self._console.print(Text(attempt_message(flight, outcome, again)))

    def show(self, progress: CampaignProgress, *, last: bool = False) -> None:
        self._live.update(self._table(progress), refresh=True)

    def _table(self, progress: CampaignProgress) -> Table:
        table = Table(title=summary(progress, time.monotonic() - self._start), title_justify="left", title_style="bold")
        for heading in ("specimen", "stage", "attempt", "time"):
            table.add_column(heading, justify="left" if heading in ("specimen", "stage") else "right")
        flights = sorted(progress.flights, key=lambda flight: (flight.begun is None, flight.submitted))
        room = max(1, self._console.height - RESERVED_LINES)
        for flight in flights[:room]:
            time_ = "waits" if flight.begun is None else duration(time.monotonic() - flight.begun)
            table.add_row(Text(flight.state.specimen.name), flight.stage.name, str(flight.tries), time_)
        if len(flights) > room:
            table.caption = f"and {len(flights) - room} more"
        return table
