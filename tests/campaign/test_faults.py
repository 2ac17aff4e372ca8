"""On a real cluster things die: every specimen ends done or reported, none twice, none lost."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from macro_splat.campaign.config import CampaignConfig
from macro_splat.campaign.specimen import find_specimens
from macro_splat.campaign.start import start
from macro_splat.campaign.state import State
from tests.campaign.conftest import add_node
from tests.campaign.drive import STAGES
from tests.campaign.fake_command import alive
from tests.campaign.fake_stages import FakeStage, count, journal, make_specimens, parent, wait_until

ROOT = Path(__file__).parents[2]


def campaign(cluster: Any, specimens: Path, out: Path, seconds: float = 0.2, retries: int = 2) -> int:
    stages = [FakeStage(name, seconds) for name in STAGES]
    return start(CampaignConfig(specimens, out, address=cluster.address, retries=retries, grace=5.0), stages)


def states(specimens: Path, out: Path) -> dict[str, State]:
    return {specimen.name: State.read(specimen) for specimen in find_specimens(specimens, out)}


def check_all_done_once(specimens: Path, out: Path) -> None:
    for name, state in states(specimens, out).items():
        assert (state.status, state.reason) == ("done", ""), name
        assert ["overlap"] not in journal(out / name), name
        for stage in STAGES:
            assert count(out / name, "finished", stage) == 1, name
            assert [a.outcome for a in state.attempts if a.stage == stage].count("done") <= 1, name


def running(out: Path) -> list[int]:
    """Process ids of the commands that live."""
    begun = [words for path in out.glob("*/journal") for words in journal(path.parent) if words[0] == "begun"]
    return [pid for pid in (int(words[2]) for words in begun) if alive(pid)]


def driver(cluster: Any, specimens: Path, out: Path, seconds: float) -> subprocess.Popen[str]:
    """The same as `campaign`, as a process."""
    cluster.wait_for_nodes(timeout=120)  # else it could attach to the one that a test before has killed
    words = [sys.executable, "-m", "tests.campaign.drive", cluster.address, str(specimens), str(out), str(seconds)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def meanwhile(action: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def test_failures_stop_nobody_and_are_told(cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = {"good": "", "mistake": "error", "unlucky": "crash once", "hopeless": "crash"}
    specimens, out = make_specimens(tmp_path / "in", faults), tmp_path / "out"
    assert campaign(cluster, specimens, out, retries=1) == 1
    assert "mistake: train: error: photo.jpg: is <b>broken</b>; copy it again" in capsys.readouterr().out

    ended = states(specimens, out)
    assert {name: state.status for name, state in ended.items()} == {
        "good": "done",
        "hopeless": "failed",
        "mistake": "failed",
        "unlucky": "done",
    }
    tries = {name: [attempt.outcome for attempt in state.attempts] for name, state in ended.items()}
    assert tries == {
        "good": ["done", "done"],
        "hopeless": ["failed", "failed"],
        "mistake": ["failed"],
        "unlucky": ["failed", "done", "done"],
    }
    assert ended["hopeless"].reason == "train: exit code 3: RuntimeError: out of luck"
    rows = list(csv.DictReader((out / "campaign.csv").open(encoding="utf-8")))
    assert [(row["specimen"], row["status"]) for row in rows] == [(name, ended[name].status) for name in sorted(faults)]
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "is &lt;b&gt;broken&lt;/b&gt;" in page
    assert "<b>broken" not in page

    # The user mends one; what is done is not done again.
    (specimens / "mistake" / "fault").unlink()
    assert campaign(cluster, specimens, out, retries=0) == 1
    assert {name: state.status for name, state in states(specimens, out).items()}["mistake"] == "done"
    assert count(out / "good", "begun", "train") == count(out / "unlucky", "finished", "train") == 1
    assert count(out / "hopeless", "begun", "train") == 3


def test_places_that_cannot_be_written_stop_nobody(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file lies where a specimen's folder is to be, and a folder where the table is to be."""
    specimens, out = make_specimens(tmp_path / "in", dict.fromkeys("abc", "")), tmp_path / "out"
    out.mkdir()
    (out / "b").write_text("a note")
    (out / "campaign.csv").mkdir()
    assert campaign(cluster, specimens, out, retries=1) == 1
    said = capsys.readouterr()
    assert f"failed: b: {out / 'b'}: File exists" in said.out
    assert said.err.count("page and table could not be written") == 1
    assert {name: state.status for name, state in states(specimens, out).items() if name != "b"} == dict.fromkeys(
        "ac", "done"
    )
    assert (out / "b").read_text() == "a note"


def test_worker_killed(cluster: Any, tmp_path: Path) -> None:
    specimens, out = make_specimens(tmp_path / "in", dict.fromkeys("abc", "")), tmp_path / "out"

    def kill() -> None:
        wait_until(lambda: (out / "a" / "train.step").exists())
        worker = parent(parent(int(journal(out / "a")[0][2])))
        os.kill(worker, signal.SIGKILL)

    killer = meanwhile(kill)
    assert campaign(cluster, specimens, out, seconds=2.0) == 0
    killer.join()
    check_all_done_once(specimens, out)
    assert [attempt.outcome for attempt in states(specimens, out)["a"].attempts] == ["lost", "done", "done"]
    begun = [int(words[3]) for words in journal(out / "a") if words[:2] == ["begun", "train"]]
    assert begun[0] == 0 < begun[1]  # it went on where it was


def test_node_killed(cluster: Any, tmp_path: Path) -> None:
    specimens, out = make_specimens(tmp_path / "in", dict.fromkeys("abcd", "")), tmp_path / "out"
    holds = [specimens / name / "hold" for name in "abcd"]
    for path in holds:
        path.touch()
    process = driver(cluster, specimens, out, seconds=0.5)
    wait_until(lambda: running(out), process)  # the driver is connected to the only machine that there is, and fills it
    victim = add_node(cluster)
    raylet = victim.all_processes["raylet"][0].process.pid

    def there() -> list[int]:
        return [pid for pid in running(out) if parent(parent(parent(pid))) == raylet]

    wait_until(there, process)
    doomed = there()
    # All at once, as a machine dies: a worker that outlives its raylet kills its command, and may yet report that.
    for pid in [*{parent(parent(pid)) for pid in doomed}, raylet]:
        os.kill(pid, signal.SIGKILL)
    cluster.remove_node(victim, allow_graceful=False)
    wait_until(lambda: not any(alive(pid) for pid in doomed), process)  # else they could still end well
    for path in holds:
        path.unlink()
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    check_all_done_once(specimens, out)
    assert any(attempt.outcome == "lost" for state in states(specimens, out).values() for attempt in state.attempts)


def test_driver_killed_interrupted_and_started_again(cluster: Any, tmp_path: Path) -> None:
    specimens, out = make_specimens(tmp_path / "in", dict.fromkeys("abcdefgh", "")), tmp_path / "out"

    first = driver(cluster, specimens, out, seconds=1.5)
    wait_until(lambda: any(count(out / name, "finished", "train") for name in "abcdefgh"), first)
    rival = driver(cluster, specimens, out, seconds=1.5)
    output, _ = rival.communicate(timeout=600)
    assert rival.returncode == 1
    assert "another campaign works there" in output
    first.kill()
    first.communicate()

    second = driver(cluster, specimens, out, seconds=1.5)
    wait_until(lambda: sum(len(list(out.glob(f"*/{name}.result"))) for name in STAGES) > 6, second)
    second.send_signal(signal.SIGINT)
    output, _ = second.communicate(timeout=600)
    assert second.returncode == 130, output
    assert "run the same command again" in output
    assert not running(out)

    third = driver(cluster, specimens, out, seconds=1.5)
    output, _ = third.communicate(timeout=600)
    assert third.returncode == 0, output
    check_all_done_once(specimens, out)
