"""An attempt as a worker makes it, without Ray: its lock, its supervisor, its complaint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from macro_splat.campaign.attempt import Outcome, run_attempt
from macro_splat.campaign.specimen import Specimen
from macro_splat.utils.locks import Held, hold_file
from tests.campaign.fake_command import alive
from tests.campaign.fake_stages import FakeStage, count, journal, make_specimens, parent, wait_until

pytestmark = pytest.mark.slow

ONE_ATTEMPT = """
import sys
from pathlib import Path
from macro_splat.campaign.attempt import run_attempt
from macro_splat.campaign.specimen import Specimen
from tests.campaign.fake_stages import FakeStage
source, folder, seconds = sys.argv[1:]
print(run_attempt(FakeStage("train", float(seconds)), Specimen("beetle", Path(source), Path(folder)), 1, 2.0))
"""


def beetle(tmp_path: Path, fault: str = "") -> Specimen:
    source = make_specimens(tmp_path / "in", {"beetle": fault}) / "beetle"
    return Specimen("beetle", source, tmp_path / "out" / "beetle")


def attempt(specimen: Specimen, number: int = 1, seconds: float = 0.1) -> Outcome:
    return run_attempt(FakeStage("train", seconds), specimen, number, grace_s=2.0)


def worker(specimen: Specimen, seconds: float) -> subprocess.Popen[str]:
    """A process that makes an attempt, as Ray's workers do."""
    words = [sys.executable, "-c", ONE_ATTEMPT, str(specimen.source), str(specimen.folder), str(seconds)]
    return subprocess.Popen(words, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)


def command_pid(specimen: Specimen) -> int:
    wait_until(lambda: journal(specimen.folder))
    return int(journal(specimen.folder)[0][2])


def test_runs_once(tmp_path: Path) -> None:
    specimen = beetle(tmp_path)
    first, second = attempt(specimen), attempt(specimen, 2)
    assert (first.done, first.ran) == (True, True)
    assert (second.done, second.ran) == (True, False)
    assert first.seconds >= 0.1
    assert count(specimen.folder, "begun", "train") == 1
    assert specimen.attempts("train") == 1


@pytest.mark.parametrize(
    ("fault", "reason", "retry"),
    [
        ("error", "error: photo.jpg: is <b>broken</b>; copy it again", False),
        ("crash", "exit code 3: RuntimeError: out of luck", True),
    ],
)
def test_complaint(tmp_path: Path, fault: str, reason: str, retry: bool) -> None:
    outcome = attempt(beetle(tmp_path, fault))
    assert (outcome.done, outcome.reason, outcome.retry) == (False, reason, retry)


def test_command_that_is_missing(tmp_path: Path) -> None:
    class Missing(FakeStage):
        def command(self, specimen: Specimen) -> list[str]:
            return ["/nowhere/macro-splat", "export"]

    outcome = run_attempt(Missing("train"), beetle(tmp_path), 1, 1.0)
    assert not outcome.done
    assert outcome.reason.startswith("error: /nowhere/macro-splat: No such file")


def test_well_ended_without_result_is_a_failure(tmp_path: Path) -> None:
    class Idle(FakeStage):
        def command(self, specimen: Specimen) -> list[str]:
            return ["/bin/echo", "nothing to do"]

    outcome = run_attempt(Idle("train"), beetle(tmp_path), 1, 1.0)
    assert not outcome.done
    assert outcome.reason == "ended without its result: nothing to do"


def test_children_left_behind_are_killed(tmp_path: Path) -> None:
    specimen = beetle(tmp_path, "left behind")
    assert attempt(specimen).done
    (child,) = [int(words[1]) for words in journal(specimen.folder) if words[0] == "child"]
    wait_until(lambda: not alive(child), 10)


def test_command_dies_with_its_worker_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed as by the kernel for want of memory: nothing of the worker's own code runs any more."""
    specimen = beetle(tmp_path)
    process = worker(specimen, seconds=30)
    pid = command_pid(specimen)
    wait_until(lambda: (specimen.folder / "train.step").exists())
    process.kill()
    process.communicate()
    outcome = attempt(specimen, 2)
    assert outcome.done
    assert not alive(pid)
    begun = [int(words[3]) for words in journal(specimen.folder) if words[0] == "begun"]
    assert begun[0] == 0 < begun[1]
    assert ["overlap"] not in journal(specimen.folder)


def test_interrupt_reaches_the_command_despite_blocked_signals(tmp_path: Path) -> None:
    specimen = beetle(tmp_path)
    blocked = {signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        process = worker(specimen, seconds=30)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    command_pid(specimen)
    wait_until(lambda: (specimen.folder / "train.step").exists())
    process.kill()
    process.communicate()
    with hold_file(specimen.lock, wait_s=10):
        assert "KeyboardInterrupt" in specimen.log("train", 1).read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its parent")
def test_command_dies_with_its_supervisor(tmp_path: Path) -> None:
    specimen = beetle(tmp_path)
    process = worker(specimen, seconds=30)
    pid = command_pid(specimen)
    os.kill(parent(pid), signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert "done=False, reason='killed by SIGKILL" in output
    wait_until(lambda: not alive(pid), 10)


def test_waits_for_another_attempt_and_finds_its_result(tmp_path: Path) -> None:
    specimen = beetle(tmp_path)
    outcomes: list[Outcome] = []
    other = threading.Thread(target=lambda: outcomes.append(attempt(specimen, 1, seconds=1.0)))
    other.start()
    wait_until(lambda: journal(specimen.folder))
    outcome = attempt(specimen, 2, seconds=1.0)
    other.join()
    assert [outcome.ran for outcome in (*outcomes, outcome)] == [True, False]
    assert outcome.done
    assert count(specimen.folder, "begun", "train") == 1


def test_lock_is_kept_by_who_inherits_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold_file(path) as lock:
        child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    with pytest.raises(Held), hold_file(path):
        pass
    child.communicate(b"\n")
    with hold_file(path):
        pass
