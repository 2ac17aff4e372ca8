"""Photographs and a rig.yaml train as well as the exact transforms.json that they come from.

A small ball in focus stacks; `tests/performance/rig_training.py` takes a real object and a longer training.
Neither capture has points, of which the smooth ball tells none: whatever else `process` writes wrongly, from poses to
focus distances and pupil, makes another training of it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from macro_splat.capture import Capture, read_capture
from tests.captures import write_capture
from tests.performance.rig_training import process_photographs, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def truth_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six stacks of five slices, and held-out views."""
    return write_capture(tmp_path_factory.mktemp("truth"), views=6, slices=5, width=96, height=72, points=None)


@pytest.fixture(scope="module")
def truth(truth_folder: Path) -> Capture:
    """Of the stacks alone: a rig describes no held-out views."""
    capture = read_capture(truth_folder)
    return replace(capture, frames=tuple(frame for frame in capture.frames if frame.stack_id is not None))


def test_photographs_and_a_rig_train_as_well_as_exact_poses(truth_folder: Path, rig: Path, tmp_path: Path) -> None:
    made = process_photographs(truth_folder, rig, tmp_path)
    exact, processed = train([truth_folder, made], 100, "image", 42, tmp_path)
    assert exact["key"] != processed["key"]  # two trainings indeed
    assert exact["psnr"] > 14  # which have learnt something
    assert processed["psnr"] == pytest.approx(exact["psnr"], abs=0.1)
    assert processed["focus_error"] == pytest.approx(exact["focus_error"], rel=0.05)
