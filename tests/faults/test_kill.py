"""A few moments of `kill.py`, which tells what is checked."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.faults.kill import kill_often, kinds
from tests.faults.whole import check_tree, leftovers

MOMENTS = {"train": 2, "process": 3, "export": 2}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL to send")
def test_killed_commands_leave_whole_files_and_can_be_repeated(tmp_path: Path) -> None:
    faults = []
    for kind in kinds(tmp_path):
        if kind.name in MOMENTS:
            tally = kill_often(kind, MOMENTS[kind.name], random.Random(f"7 {kind.name}"), tmp_path)
            faults += tally.faults
            assert tally.kills + tally.too_late == MOMENTS[kind.name]
        if kind.name == "export":
            break
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("cut", ["a.ckpt", "a.json", "config.yml", "a.ply", "a.html", "a.png", "a.spz", "a.splat"])
def test_half_files_are_found_out(tmp_path: Path, cut: str) -> None:
    """The checks themselves: each kind of file, cut off, fails."""
    path = tmp_path / cut
    Image.new("RGB", (64, 64), "red").save(tmp_path / "whole.png")
    assert check_tree(tmp_path) == 1
    head = {
        ".ckpt": b"PK\x03\x04abc",
        ".json": b'{"frames": [',
        ".yml": b"!!python/object:a.B\nmethod_name: macro-splat\n",
        ".ply": b"ply\nformat binary_little_endian 1.0\nelement vertex 2\nproperty float x\nend_header\n1234",
        ".html": b"<!DOCTYPE html><html><body>",
        ".png": (tmp_path / "whole.png").read_bytes()[:100],
        ".spz": b"\x1f\x8b\x08",
        ".splat": b"x" * 33,
    }
    path.write_bytes(head[path.suffix])
    with pytest.raises(AssertionError, match="is not whole"):
        check_tree(tmp_path)


def test_unfinished_files_are_told_from_others(tmp_path: Path) -> None:
    (tmp_path / ".film.mp4.abcdefgh.unfinished").mkdir()
    (tmp_path / ".film.mp4.abcdefgh.unfinished" / "film.mp4").write_bytes(b"half")
    assert check_tree(tmp_path) == 0
    assert [path.name for path in leftovers(tmp_path)] == [".film.mp4.abcdefgh.unfinished"]
