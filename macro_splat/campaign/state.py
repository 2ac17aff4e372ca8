"""What happened to a specimen: `state.json` in its folder. What is done is told by the results themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from macro_splat.campaign.specimen import Specimen
from macro_splat.campaign.stages import MAX_NUMBER, Stage
from macro_splat.utils.atomic import atomic_write

FILE_NAME = "state.json"
Status = Literal["waiting", "done", "failed"]


@dataclass(frozen=True)
class Attempt:
    """At a stage; its log is `STAGE-NUMBER.log`."""

    stage: str
    number: int
    outcome: Literal["done", "failed", "lost", "stopped"]
    """lost = the worker or its machine died; stopped = the campaign was interrupted."""
    begun: float
    """Seconds since 1970."""
    seconds: float
    node: str = ""
    reason: str = ""
    """Why it is not done."""


@dataclass
class State:
    """Of one specimen."""

    specimen: Specimen
    status: Status = "waiting"
    reason: str = ""
    """Why it failed: stage and complaint."""
    attempts: list[Attempt] = field(default_factory=list)
    """Of all the campaign's runs, in order."""

    @classmethod
    def read(cls, specimen: Specimen) -> State:
        """As it was written, or a new one: a file that is not there or broken costs its history only."""
        try:
            content: Any = json.loads((specimen.folder / FILE_NAME).read_text(encoding="utf-8"))
            attempts = [_attempt(entry) for entry in content["attempts"]]
            status, reason = content["status"], content["reason"]
            if status not in get_args(Status) or not isinstance(reason, str):
                raise ValueError(status)
            return cls(specimen, status, reason, attempts)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return cls(specimen)

    def write(self) -> None:
        """Write `state.json`.

        Raises:
            OSError: it cannot be written; the old one stays.
        """
        self.specimen.folder.mkdir(parents=True, exist_ok=True)
        content = {
            "specimen": self.specimen.name,
            "source": str(self.specimen.source),
            "status": self.status,
            "reason": self.reason,
            "attempts": [asdict(attempt) for attempt in self.attempts],
        }
        with atomic_write(self.specimen.folder / FILE_NAME, "w") as file:
            json.dump(content, file, indent=1)

    def seconds(self, stage: str) -> float:
        """Spent at a stage by all attempts."""
        return sum(attempt.seconds for attempt in self.attempts if attempt.stage == stage)


def _attempt(entry: Any) -> Attempt:
    """From JSON.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    values = {item.name: entry[item.name] for item in fields(Attempt)}
    for name, value in values.items():
        kinds: Any = {"number": int, "begun": (int, float), "seconds": (int, float)}.get(name, str)
        if not isinstance(value, kinds) or not (isinstance(value, str) or abs(value) < MAX_NUMBER):
            raise TypeError(name)
    return Attempt(**values)


def next_stage(specimen: Specimen, stages: Sequence[Stage]) -> Stage | None:
    """Return the first stage whose result is missing; None where nothing is."""
    return next((stage for stage in stages if not stage.finished(specimen)), None)
