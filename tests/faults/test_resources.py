"""Full disks, read-only folders, too little memory, taken ports, jumping clocks: one clear line, or going on."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from macro_splat.cli.main import run as run_command
from macro_splat.compat.one_line_errors import one_line
from tests.captures import write_capture
from tests.end_to_end.processes import watched
from tests.faults.kill import RIG
from tests.training.test_training import checkpoint, ns_train

if sys.platform == "win32":
    pytest.skip("no mounts, no limits on processes", allow_module_level=True)

from tests.faults.resources import Disk, limit_memory, read_only_folder, small_disk
from tests.faults.whole import check_tree, leftovers

pytestmark = pytest.mark.slow

SHORT = ("--max-num-iterations", 25)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(tmp_path_factory.mktemp("capture"), views=8, width=32, height=24, points=200)


@pytest.fixture(scope="module")
def run(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training."""
    folder = tmp_path_factory.mktemp("trained")
    done = ns_train(folder, capture, *SHORT)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs and their rig.yaml."""
    folder = tmp_path_factory.mktemp("card")
    write_capture(folder, views=12, test_views=0, points=None, width=64, height=48)
    (folder / "rig.yaml").write_text(RIG)
    return folder


def words_of(command: str, out: Path, run: Path, card: Path) -> list[str]:
    """A command that writes below `out`."""
    size = ("--width", 128, "--height", 96, "--fps", 10, "--seconds", 1)
    words: dict[str, tuple[object, ...]] = {
        "process": (card / "images", out / "capture", "--rig", card / "rig.yaml", "--threads", 1),
        "export": (run, out / "deeper" / "splats.ply"),
        "render": (run, "orbit", "--output", out / "orbit.mp4", *size),
        "frames": (run, "orbit", "--output", out / "frames", *size),
        "report": (run, "--output", out / "page.html"),
        "deblur": (run, out / "sharp"),
    }
    return ["render" if command == "frames" else command, *map(str, words[command])]


def complaint(words: list[str]) -> str:
    """What the command says when it fails for a reason that its user can mend; a bug's exception comes through."""
    try:
        code = run_command(words)
    except Exception as error:
        line = one_line(error)
        if line is None:
            raise
        assert "\n" not in line
        return line
    raise AssertionError(f"it ended with {code} and said nothing")


COMMANDS = ["process", "export", "render", "frames", "report", "deblur"]


@pytest.mark.parametrize("command", COMMANDS)
def test_full_disk(command: str, run: Path, card: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        with disk.limited():
            line = complaint(words_of(command, disk.folder, run, card))
        assert any(word in line for word in ("disk is full", "No space left", "larger than", "File too large")), line
        # What is there is whole.
        check_tree(disk.folder, but=(".process",))
        assert not leftovers(disk.folder)


@pytest.mark.parametrize("command", COMMANDS)
def test_read_only_folder(command: str, run: Path, card: Path, tmp_path: Path) -> None:
    with read_only_folder(tmp_path / "disk") as folder:
        if folder is None:
            pytest.skip("mounting is not allowed here, and root may write into any other folder")
        line = complaint(words_of(command, folder, run, card))
        assert "read-only" in line.lower(), line
        assert str(folder) in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_in_the_folder_s_place(command: str, run: Path, card: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    line = complaint(words_of(command, tmp_path / "file" / "deeper", run, card))
    assert str(tmp_path / "file") in line
    assert (tmp_path / "file").read_text() == "precious"


def test_a_training_on_a_full_disk_says_so(capture: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 100) as disk:
        done = ns_train(disk.folder, capture, *SHORT, preexec_fn=disk.limit)
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert "the checkpoint could not be written" in last
        assert "free the disk and resume with --load-dir" in last
        assert "Traceback" not in done.stderr
        check_tree(disk.folder)
        assert not leftovers(disk.folder)


def test_a_training_into_a_read_only_folder_says_so(capture: Path, tmp_path: Path) -> None:
    with read_only_folder(tmp_path / "disk") as folder:
        if folder is None:
            pytest.skip("mounting is not allowed here, and root may write into any other folder")
        done = ns_train(folder, capture, *SHORT)
    assert done.returncode == 1
    assert "the file system is read-only: write elsewhere (ns-train: --output-dir)" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(torch.version.cuda is not None, reason="CUDA's libraries reserve more address space than that")
def test_a_training_too_large_for_the_memory_says_so(capture: Path, tmp_path: Path) -> None:
    many = ("--pipeline.model.num-init-gaussians", 2_000_000_000)
    done = ns_train(tmp_path, capture, *SHORT, *many, preexec_fn=limit_memory(8))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: the memory does not suffice: end other programs, or ask for less"), last
    assert "Traceback" not in done.stderr
    assert not leftovers(tmp_path)


JUMPING = """
import random, sys, time
real, moods = time.time, random.Random(0)
time.time = lambda: real() + moods.choice([-86400.0, 0.0, 86400.0])
from nerfstudio.scripts.train import entrypoint
entrypoint()
"""


def test_a_jumping_clock_changes_nothing(capture: Path, run: Path, tmp_path: Path) -> None:
    words = ["macro-splat", "--data", capture, "--output-dir", tmp_path, "--vis", "tensorboard"]
    words += ["--pipeline.model.num-init-gaussians", 300, "--steps-per-save", 20, *SHORT]
    command = [sys.executable, "-c", JUMPING, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = checkpoint(run)["pipeline"], checkpoint(tmp_path)["pipeline"]
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert next(tmp_path.rglob("report.html")).stat().st_size > 10_000


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_or_a_vanished_viewer_stops_no_training(capture: Path, taken_port: int, tmp_path: Path) -> None:
    words = [
        "macro-splat",
        "--data",
        capture,
        "--output-dir",
        tmp_path / "out",
        "--pipeline.model.num-init-gaussians",
        200,
    ]
    words += ["--max-num-iterations", 600, "--viewer.quit-on-train-completion", True]
    with watched("ns-train", *words, cwd=tmp_path, log=tmp_path / "log", port=taken_port) as running:
        running.port = taken_port + 1  # the viewer takes the next one
        running.wait_for_viewer(240)
        for _ in range(3):
            client = socket.create_connection(("127.0.0.1", running.port))
            upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + upgrade + key + b"\r\n")
            assert client.recv(12).startswith(b"HTTP/1.1 101")
            # Gone without a farewell, as a killed browser is: the connection is reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        assert running.process.wait(240) == 0, running.output()[-2000:]
    assert checkpoint(tmp_path / "out")["step"] == 599


def test_the_disk_for_these_tests_is_small(tmp_path: Path) -> None:
    """The fixture itself: 64 kB do not fit on it."""
    with small_disk(tmp_path / "disk", 8) as disk, disk.limited(), pytest.raises(OSError, match=r"space|large"):
        (disk.folder / "a").write_bytes(bytes(65536))
    assert isinstance(disk, Disk)
