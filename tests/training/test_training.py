"""Whole trainings on a tiny capture, in this process and through `ns-train`: resuming, stopping, failing.

Eight views of 48×36 pixels and 300 Gaussians: a step takes milliseconds, and everything that a step does is in it.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from macro_splat.compat import checkpoints
from tests.captures import write_capture

pytestmark = pytest.mark.slow

COMMON = ("--pipeline.model.num-init-gaussians", "300", "--vis", "tensorboard", "--steps-per-save", "20")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(tmp_path_factory.mktemp("capture"), views=8)


def ns_train(folder: Path, capture: Path, *words: object, **kwargs) -> subprocess.CompletedProcess:
    """`ns-train macro-splat` in a process of its own; output as text."""
    return subprocess.run(
        command(folder, capture, *words),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        **kwargs,
    )


def command(folder: Path, capture: Path, *words: object) -> list[str]:
    program = Path(sys.executable).with_name("ns-train")
    line = [program, "macro-splat", "--data", capture, "--output-dir", folder, *COMMON, *words]
    return [str(word) for word in line]


def checkpoint(folder: Path) -> dict:
    """The newest checkpoint of the one run in the folder."""
    checkpoints.allow_numpy_scalars()
    path = max(folder.rglob("*.ckpt"))
    return torch.load(path, map_location="cpu", weights_only=True)


def models(folder: Path) -> Path:
    (path,) = folder.rglob("nerfstudio_models")
    return path


def assert_same(left: dict, right: dict) -> None:
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), f"{name} differs"


def test_resumed_training_ends_as_an_uninterrupted_one(capture: Path, tmp_path: Path) -> None:
    # Interrupted by the real signal in the middle, with densification (which starts at step 100) on both sides.
    words = ("--max-num-iterations", "400")
    straight = ns_train(tmp_path / "straight", capture, *words)
    assert straight.returncode == 0, straight.stdout[-2000:] + straight.stderr[-2000:]

    process = subprocess.Popen(
        command(tmp_path / "first", capture, *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(
        int(p.stem.split("-")[1]) >= 120 for p in (tmp_path / "first").rglob("step-*.ckpt")
    ):
        assert process.poll() is None, process.stdout.read()[-2000:] if process.stdout else ""
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output[-2000:]
    assert "To go on: the same command with --load-dir" in " ".join(output.split())
    stopped = checkpoint(tmp_path / "first")["step"]
    assert 120 <= stopped < 399

    resumed = ns_train(tmp_path / "second", capture, *words, "--load-dir", models(tmp_path / "first"))
    assert resumed.returncode == 0, resumed.stdout[-2000:] + resumed.stderr[-2000:]
    one, two = checkpoint(tmp_path / "straight"), checkpoint(tmp_path / "second")
    assert one["step"] == two["step"] == 399
    assert_same(one["pipeline"], two["pipeline"])


def test_a_finished_run_is_not_resumed_in_vain(capture: Path, tmp_path: Path) -> None:
    assert ns_train(tmp_path / "run", capture, "--max-num-iterations", "20").returncode == 0
    words = ("--max-num-iterations", "20", "--load-dir", models(tmp_path / "run"))
    again = ns_train(tmp_path / "again", capture, *words)
    assert again.returncode == 1
    assert "is at step 19 already; give a larger number" in " ".join(again.stderr.split())


@pytest.mark.parametrize("bad", ["missing", "empty", "no json"])
def test_bad_captures_get_one_line_and_leave_nothing(bad: str, tmp_path: Path) -> None:
    folder = tmp_path / "capture"
    if bad != "missing":
        folder.mkdir()
    if bad == "no json":
        (folder / "transforms.json").write_text("{")
    done = ns_train(tmp_path / "out", folder)
    assert done.returncode == 1
    assert str(folder) in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_two_trainings_in_one_folder_are_refused(capture: Path, tmp_path: Path) -> None:
    where = ("--experiment-name", "one", "--timestamp", "same")
    first = subprocess.Popen(
        # No checkpoint in between: one would stand in the last training's way.
        command(tmp_path, capture, *where, "--max-num-iterations", "5000", "--steps-per-save", "5000"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "one/macro-splat/same/config.yml").exists():
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        before = (tmp_path / "one/macro-splat/same/config.yml").read_bytes()
        second = ns_train(tmp_path, capture, *where, "--max-num-iterations", "7")
        assert second.returncode == 1
        assert "same: another training is writing into this folder" in " ".join(second.stderr.split())
        assert "Traceback" not in second.stderr
        assert (tmp_path / "one/macro-splat/same/config.yml").read_bytes() == before
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()
    # The lock of a killed process is gone with it.
    assert ns_train(tmp_path, capture, *where, "--max-num-iterations", "7").returncode == 0

    # And what is finished is not replaced.
    files = {path: path.read_bytes() for path in models(tmp_path).iterdir()}
    again = ns_train(tmp_path, capture, *where, "--max-num-iterations", "6")
    assert again.returncode == 1
    assert "same: a training is there already; go on with it (--load-dir" in again.stderr.splitlines()[-1]
    assert {path: path.read_bytes() for path in models(tmp_path).iterdir()} == files


def test_bad_load_dir(capture: Path, tmp_path: Path) -> None:
    done = ns_train(tmp_path / "out", capture, "--load-dir", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "nowhere: no such folder" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self/limits").exists(), reason="needs Linux's file limit")
def test_a_failed_checkpoint_keeps_the_last_good_one(capture: Path, tmp_path: Path) -> None:
    # A limit on the size of files stands for a full disk: writing fails half-way through the checkpoint.
    import resource

    first = ns_train(tmp_path / "run", capture, "--max-num-iterations", "40")
    assert first.returncode == 0
    kept = checkpoint(tmp_path / "run")["step"]
    size = min(path.stat().st_size for path in (tmp_path / "run").rglob("*.ckpt"))

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    words = ("--max-num-iterations", "80", "--timestamp", next((tmp_path / "run").rglob("config.yml")).parent.name)
    done = ns_train(tmp_path / "run", capture, *words, "--load-dir", models(tmp_path / "run"), preexec_fn=limit)
    assert done.returncode == 1, done.stdout[-2000:]
    text = " ".join((done.stdout + done.stderr).split())
    assert "could not be written" in text
    assert "training goes on" in text
    assert checkpoint(tmp_path / "run")["step"] == kept
    assert not list((tmp_path / "run").rglob("*.unfinished"))
