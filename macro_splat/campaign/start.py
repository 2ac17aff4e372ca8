"""What `macro-splat campaign` does: lock the folder, start Ray, run, and keep the overview up to date."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from macro_splat.campaign.attempt import Outcome
from macro_splat.campaign.config import CampaignConfig
from macro_splat.campaign.driver import Campaign, CampaignDisplay, CampaignProgress, Flight
from macro_splat.campaign.page import write_overview
from macro_splat.campaign.ray_cluster import chosen_resources, connected
from macro_splat.campaign.specimen import INDEX, LOCK, OPTIONS, Specimen, find_specimens
from macro_splat.campaign.stages import Stage, stages_of
from macro_splat.campaign.table import LiveTable, PlainLines
from macro_splat.errors import MacroSplatError
from macro_splat.utils.atomic import atomic_write
from macro_splat.utils.locks import Held, hold_file

OVERVIEW_EVERY_S = 15.0
OVERVIEW_SHARE = 0.01
"""Of the driver's time at most."""


def start(config: CampaignConfig, stages: Sequence[Stage] | None = None) -> int:
    """Run a campaign to its end.

    Args:
        stages: instead of the four that the config describes; they bring resources of their own.

    Returns:
        0; 1 where a specimen failed; 130 after Ctrl-C.

    Raises:
        MacroSplatError: the folders are not as they must be, another campaign works there, it was begun with other
            options, or Ray does not start.
    """
    config.check()
    out = config.out
    specimens = find_specimens(config.specimens, out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with hold_file(out / LOCK), connected(config.address) as ray, _terminated_like_interrupted():
            if stages is None:
                _keep_options(out / OPTIONS, config)
                cpus, gpus = chosen_resources(ray, config.cpus, config.gpus)
                options = config.options_of("process"), config.options_of("train")
                stages = stages_of(cpus, gpus, config.iterations, *options)
            return _run(ray, specimens, stages, config)
    except Held:
        raise MacroSplatError(f"{out}: another campaign works there; wait for its end, or give another OUT") from None


def _run(ray: Any, specimens: Sequence[Specimen], stages: Sequence[Stage], config: CampaignConfig) -> int:
    console = Console()
    with LiveTable(console) if console.is_terminal else nullcontext(PlainLines(console)) as display:
        overview = _Overview(display, config.out, stages)
        campaign = Campaign(ray, specimens, stages, overview, config.retries, config.grace)
        try:
            campaign.run()
        except KeyboardInterrupt:
            print("interrupted: run the same command again to go on", file=sys.stderr)
            return 130
    failed = [state for state in campaign.states if state.status == "failed"]
    for state in failed:
        print(f"failed: {state.specimen.name}: {state.reason}")
    print(config.out / INDEX)
    return 1 if failed else 0


class _Overview:
    """A display that shows what another does, and writes page and table."""

    def __init__(self, display: CampaignDisplay, out: Path, stages: Sequence[Stage]) -> None:
        self._display, self._out, self._stages = display, out, stages
        self._next = 0.0
        self._warned = False

    def event(self, flight: Flight, outcome: Outcome, again: bool) -> None:
        self._display.event(flight, outcome, again)

    def show(self, progress: CampaignProgress, *, last: bool = False) -> None:
        self._display.show(progress, last=last)
        begun = time.monotonic()
        if last or begun > self._next:
            try:
                write_overview(self._out, progress.states, self._stages)
            except OSError as error:  # the specimens have places of their own, and the page can be made again
                if not self._warned:
                    print(f"{self._out}: page and table could not be written: {error.strerror}", file=sys.stderr)
                self._warned = True
            seconds = time.monotonic() - begun
            self._next = begun + max(OVERVIEW_EVERY_S, seconds / OVERVIEW_SHARE)


def _keep_options(path: Path, config: CampaignConfig) -> None:
    """Refuse options other than those it was begun with: they decide the results, which must be comparable."""
    given = {name: getattr(config, name) for name in ("iterations", "process_options", "train_options")}
    try:
        begun = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        with atomic_write(path, "w") as file:
            json.dump(given, file, indent=1)
        return
    except (ValueError, RecursionError):
        begun = None
    if begun != given:
        known = begun if isinstance(begun, dict) else {}
        name = next((name for name in given if known.get(name) != given[name]), "iterations")
        raise MacroSplatError(
            f"{path.parent} was begun with other options (--{name.replace('_', '-')} {known.get(name)!r}, now "
            f"{given[name]!r}); give the same, or another OUT"
        )


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends a campaign as Ctrl-C does."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
