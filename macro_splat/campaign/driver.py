"""Who is next: the driver hands out attempts to Ray, keeps the books and tries again."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from macro_splat.campaign import ray_cluster
from macro_splat.campaign.attempt import Outcome, run_attempt
from macro_splat.campaign.specimen import Specimen
from macro_splat.campaign.stages import Stage
from macro_splat.campaign.state import Attempt, State, next_stage
from macro_splat.errors import MacroSplatError
from macro_splat.utils.locks import Held, hold_file
from macro_splat.utils.messages import reason

POLL_S = 1.0
CAPACITY_EVERY_S = 10.0


@dataclass
class Flight:
    """An attempt that was handed to Ray."""

    state: State
    stage: Stage
    number: int
    """Of the log."""
    tries: int
    """At this stage since the campaign was started, this one included."""
    submitted: float
    """By the monotonic clock, as `begun`."""
    begun: float | None = None
    """None: it waits for its resources."""


@dataclass(frozen=True)
class CampaignProgress:
    """How far the campaign is."""

    states: Sequence[State]
    flights: Sequence[Flight]

    def count(self, status: str) -> int:
        return sum(state.status == status for state in self.states)


class CampaignDisplay(Protocol):
    """What shows the campaign to the user."""

    def event(self, flight: Flight, outcome: Outcome, again: bool) -> None:
        """Report that an attempt ended, and whether it is made again."""
        ...

    def show(self, progress: CampaignProgress, *, last: bool = False) -> None:
        """Show how far all is: every second, and once at the end."""
        ...


class Campaign:
    """All specimens of a folder; none ever stops the others."""

    def __init__(
        self,
        ray: Any,
        specimens: Sequence[Specimen],
        stages: Sequence[Stage],
        display: CampaignDisplay,
        retries: int,
        grace_s: float,
    ):
        """
        Args:
            ray: the module, connected.
            retries: of a stage, after the first attempt.
            grace_s: what a command has to end by itself when it is interrupted.
        """
        self._ray, self._stages, self._display = ray, stages, display
        self._retries, self._grace_s = retries, grace_s
        self._attempt = ray.remote(run_attempt)
        self.states = [State.read(specimen) for specimen in specimens]
        self._flights: dict[Any, Flight] = {}
        self._width, self._width_known = 0, float("-inf")

    def run(self) -> None:
        """Do what is missing. Afterwards every state is done or failed, and written where it can be.

        Raises:
            KeyboardInterrupt: by Ctrl-C; the attempts under way were interrupted and have ended.
            MacroSplatError: Ray has died.
        """
        waiting = deque(self._missing())
        try:
            while waiting or self._flights:
                while waiting and len(self._flights) < self._allowed():
                    state, stage = waiting.popleft()
                    self._submit(state, stage, tries=1)
                for ref in self._ended():
                    self._land(ref)
                self._notice_begun()
                self._display.show(CampaignProgress(self.states, list(self._flights.values())))
        except BaseException:
            self._call_off()
            raise
        finally:
            self._display.show(CampaignProgress(self.states, []), last=True)

    def _missing(self) -> list[tuple[State, Stage]]:
        missing = []
        for state in self.states:
            before, state.status, state.reason = state.status, "waiting", ""
            with _failing_alone(state):
                stage = next_stage(state.specimen, self._stages)
                if stage is not None:
                    missing.append((state, stage))
                else:
                    state.status = "done"
                    if before != "done":  # a driver died before it wrote so
                        state.write()
        return missing

    def _allowed(self) -> int:
        if time.monotonic() - self._width_known > CAPACITY_EVERY_S:
            self._width = ray_cluster.width(ray_cluster.nodes(self._ray), self._stages)
            self._width_known = time.monotonic()
        return self._width

    def _submit(self, state: State, stage: Stage, tries: int) -> None:
        with _failing_alone(state):
            number = state.specimen.attempts(stage.name) + 1
        if state.status == "failed":
            return
        name = f"{stage.name} {state.specimen.name}"
        # Ray itself retries nothing: every attempt is counted here.
        task = self._attempt.options(num_cpus=stage.cpus, num_gpus=stage.gpus, max_retries=0, name=name)
        ref = task.remote(stage, state.specimen, number, self._grace_s)
        self._flights[ref] = Flight(state, stage, number, tries, time.monotonic())

    def _ended(self) -> list[Any]:
        refs = list(self._flights)
        ready, _ = self._ray.wait(refs, num_returns=1, timeout=POLL_S, fetch_local=False)
        if ready:
            ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=False)
        return ready

    def _notice_begun(self) -> None:
        for flight in self._flights.values():
            if flight.begun is None and os.path.exists(flight.state.specimen.log(flight.stage.name, flight.number)):
                flight.begun = time.monotonic()

    def _land(self, ref: Any) -> None:
        flight = self._flights.pop(ref)
        outcome, kind = self._outcome(ref, flight)
        state, stage = flight.state, flight.stage
        again = not outcome.done and outcome.retry and flight.tries <= self._retries
        if outcome.ran:
            state.attempts.append(_recorded(flight, outcome, kind))
        self._display.event(flight, outcome, again)
        following = None
        if not again and not outcome.done:
            state.status, state.reason = "failed", f"{stage.name}: {outcome.reason}"
        with _failing_alone(state):
            if again:
                following = stage
            elif outcome.done:
                following = next_stage(state.specimen, self._stages)
                state.status = "done" if following is None else "waiting"
            state.write()
        if following is not None and state.status == "waiting":
            self._submit(state, following, flight.tries + 1 if again else 1)

    def _outcome(self, ref: Any, flight: Flight) -> tuple[Outcome, Any]:
        errors = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(ref)
            return outcome, "done" if outcome.done else "failed"
        except errors.RayTaskError as error:  # an exception of ours: a disk is full, a folder cannot be written
            return self._lost(flight, reason(error.cause)), "failed"
        except errors.RayError as error:  # the worker or its machine has died, or was killed for its memory
            if not ray_cluster.is_alive_here(self._ray):
                raise MacroSplatError("Ray has died on this machine; run the same command again to go on") from error
            return self._lost(flight, f"the worker died ({type(error).__name__})"), "lost"

    @staticmethod
    def _lost(flight: Flight, why: str) -> Outcome:
        begun = time.monotonic() if flight.begun is None else flight.begun
        seconds = time.monotonic() - begun
        return Outcome(False, why, True, time.time() - seconds, seconds)

    def _call_off(self) -> None:
        """Interrupt what is under way and wait for its end; what has ended well meanwhile is kept.

        Workers end with their driver's connection, commands with their worker. Calling tasks off one by one would do,
        too, but for a race: one that ends at that moment takes the driver with it (Ray 2.48: "Tried to complete task
        that was not pending").
        """
        self._ray.shutdown()
        end = time.monotonic() + self._grace_s + 10
        for flight in self._flights.values():
            lock = flight.state.specimen.lock  # which a command holds
            if os.path.exists(lock):
                with suppress(Held, OSError), hold_file(lock, wait_s=max(end - time.monotonic(), 0.0)):
                    pass
        self._notice_begun()
        for flight in self._flights.values():
            if flight.begun is not None:
                outcome, kind = self._lost(flight, "interrupted"), "stopped"
                with _failing_alone(flight.state):
                    if flight.stage.finished(flight.state.specimen):
                        outcome, kind = replace(outcome, done=True, reason=""), "done"
                    flight.state.attempts.append(_recorded(flight, outcome, kind))
                    flight.state.write()
        self._flights.clear()


@contextmanager
def _failing_alone(state: State) -> Iterator[None]:
    """Let a specimen whose places cannot be read or written fail; the others go on."""
    try:
        yield
    except OSError as error:
        if state.status != "failed":  # else the first reason is the better one
            where = error.filename or state.specimen.folder
            state.status, state.reason = "failed", f"{where}: {error.strerror or error}"


def _recorded(flight: Flight, outcome: Outcome, kind: Any) -> Attempt:
    seconds = round(outcome.seconds, 3)
    return Attempt(flight.stage.name, flight.number, kind, outcome.begun, seconds, outcome.node, outcome.reason)
