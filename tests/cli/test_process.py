"""`macro-splat process`: what it prints, its exit codes, and Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macro_splat.capture import read_capture
from macro_splat.cli.process import _print_summary
from tests.captures import write_capture

pytestmark = pytest.mark.slow

PROGRAM = Path(sys.executable).with_name("macro-splat")


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "process", *map(str, arguments)],
        env=os.environ | {"COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return write_capture(tmp_path / "card", views=8, test_views=0, points=None) / "images"


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    path = tmp_path / "rig.yaml"
    path.write_text(
        "turntable: {radius_mm: 120, steps: 8, direction: cw, tilts: [30]}\n"
        "lens: {focal_length_mm: 50, f_number: 4, focus_distance_mm: 115, sensor_width_mm: 22}\n"
    )
    return path


def test_it_says_what_it_found_and_what_comes_next(card: Path, rig: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = command(card, out, "--rig", rig)
    assert done.returncode == 0, done.stderr
    assert "8 photographs, 8 with poses from the rig, in mm" in done.stdout
    assert str(out / "report.html") in done.stdout
    assert f"ns-train macro-splat --data {out}" in done.stdout
    assert done.stderr == ""
    assert len(read_capture(out).frames) == 8


def test_what_the_user_can_mend_is_one_line(card: Path, tmp_path: Path) -> None:
    for arguments in (
        (tmp_path / "nowhere", tmp_path / "out"),
        (card, card),
        (card, tmp_path / "out", "--poses", "rig"),
    ):
        done = command(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_ends_with_130_and_the_next_run_goes_on(rig: Path, tmp_path: Path) -> None:
    card, out = tmp_path / "card", tmp_path / "out"
    card.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    for i in range(8):
        Image.fromarray(noise).resize((1600, 1200)).save(card / f"{i}.jpg")
    running = subprocess.Popen(
        [PROGRAM, "process", card, out, "--rig", rig, "--threads", "1"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background ignore it
    )
    deadline = time.monotonic() + 120
    while not list(out.glob(".process/cache/survey/*.json")):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, complaint = running.communicate(timeout=120)
    assert running.returncode == 130
    assert complaint.count("\n") == 1
    assert "run the same command again" in complaint
    assert not (out / "transforms.json").exists()

    kept = {path: path.stat().st_mtime_ns for path in out.glob(".process/sharpness/*.npy")}
    assert command(card, out, "--rig", rig).returncode == 0
    assert len(read_capture(out).frames) == 8
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_names_of_files_steer_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = {
        "photographs": [{"used": True}],
        "stacks": [],
        "poses": {"source": None, "reprojection_error_px": None},
        "scale": None,
        "problems": [{"severity": "warning", "what": "\x1b[31mred\x1b[0m.jpg is blurred.", "do": "Take it again."}],
        "seconds": {"survey": 1.0},
        "peak_memory_mb": 100.0,
    }
    _print_summary(record, tmp_path)
    said = capsys.readouterr().out
    assert "warning: \\x1b[31mred" in said
    assert "\x1b" not in said
