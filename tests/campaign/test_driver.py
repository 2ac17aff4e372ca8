"""The driver's books when the disk refuses, with a Ray that does everything at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from macro_splat.campaign.attempt import Outcome
from macro_splat.campaign.driver import Campaign, CampaignProgress, Flight
from macro_splat.campaign.specimen import Specimen, find_specimens
from macro_splat.campaign.state import State
from tests.campaign.fake_stages import FakeStage, make_specimens


@dataclass
class Ray:
    """As much of it as the driver asks for."""

    meanwhile: Callable[[], None] = lambda: None
    """Called while the driver waits."""
    outcomes: list[Outcome] = field(default_factory=list)
    """A reference is the index."""
    exceptions: None = None

    def remote(self, function: Any) -> Task:
        return Task(self.outcomes)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 2.0}}]

    def wait(self, refs: list[int], **_: Any) -> tuple[list[int], list[int]]:
        self.meanwhile()
        return refs, []

    def get(self, ref: int) -> Outcome:
        return self.outcomes[ref]

    def shutdown(self) -> None:
        pass


@dataclass
class Task:
    """Leaves log and result of a stage."""

    outcomes: list[Outcome]

    def options(self, **_: Any) -> Task:
        return self

    def remote(self, stage: FakeStage, specimen: Specimen, number: int, grace_s: float) -> int:
        specimen.folder.mkdir(parents=True, exist_ok=True)
        specimen.log(stage.name, number).touch()
        (specimen.folder / f"{stage.name}.result").touch()
        self.outcomes.append(Outcome(True, seconds=1.0))
        return len(self.outcomes) - 1


class Silent:
    """A view."""

    def event(self, flight: Flight, outcome: Outcome, again: bool) -> None:
        pass

    def show(self, progress: CampaignProgress, *, last: bool = False) -> None:
        pass


@dataclass(frozen=True)
class Refused(FakeStage):
    """Nobody may look for its result where a file says so."""

    def finished(self, specimen: Specimen) -> bool:
        if (specimen.folder / "refused").exists():
            refuse(specimen.folder / "refused")
        return super().finished(specimen)


def refuse(path: Path) -> None:
    raise PermissionError(13, "Permission denied", str(path))  # a chmod would not stop root


def refused(tmp_path: Path) -> None:
    (tmp_path / "out/b").mkdir(parents=True, exist_ok=True)
    (tmp_path / "out/b/refused").touch()


def campaign(tmp_path: Path, *stages: FakeStage, ray: Any = None) -> Campaign:
    specimens = find_specimens(make_specimens(tmp_path / "in", dict.fromkeys("abc", "")), tmp_path / "out")
    return Campaign(ray or Ray(), specimens, stages, Silent(), retries=1, grace_s=0.1)


@pytest.mark.parametrize("place", ["first result", "second result", "logs", "state", "folder"])
def test_what_the_disk_refuses_one_specimen_stops_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    stages = [FakeStage("train"), FakeStage("export")]
    if "result" in place:
        refused(tmp_path)
        stages[place == "second result"] = Refused(stages[place == "second result"].name)
    elif place == "logs":
        count = Specimen.attempts
        monkeypatch.setattr(Specimen, "attempts", lambda s, name: refuse(s.folder) if s.name == "b" else count(s, name))
    elif place == "state":
        (tmp_path / "out/b/state.json/x").mkdir(parents=True)
    else:
        write = State.write
        monkeypatch.setattr(State, "write", lambda s: refuse(s.specimen.folder) if s.specimen.name == "b" else write(s))
    driver = campaign(tmp_path, *stages)
    driver.run()
    a, b, c = driver.states
    assert (a.status, b.status, c.status) == ("done", "failed", "done")
    assert b.reason.startswith(str(b.specimen.folder))
    assert b.reason.endswith("Is a directory" if place == "state" else "Permission denied")
    assert (State.read(a.specimen), State.read(c.specimen)) == (a, c)


def test_a_full_disk_is_reported_as_the_new_reason(tmp_path: Path) -> None:
    refused(tmp_path)
    driver = campaign(tmp_path, Refused("train"))
    driver.states[1].status, driver.states[1].reason = "failed", "train: something else, long ago"
    driver.run()
    assert driver.states[1].reason == f"{tmp_path / 'out/b/refused'}: Permission denied"


def test_an_interrupted_campaign_keeps_the_books_of_the_others(tmp_path: Path) -> None:
    """One's result cannot be looked for, and a folder lies where its lock is to be."""

    def interrupt() -> None:
        refused(tmp_path)
        (tmp_path / "out/b/.lock").mkdir()
        raise KeyboardInterrupt

    driver = campaign(tmp_path, Refused("train"), ray=Ray(interrupt))
    with pytest.raises(KeyboardInterrupt):
        driver.run()
    assert [state.status for state in driver.states] == ["waiting", "failed", "waiting"]
    for name in "ac":
        (attempt,) = State.read(Specimen(name, tmp_path / "in" / name, tmp_path / "out" / name)).attempts
        assert attempt.outcome == "done"
