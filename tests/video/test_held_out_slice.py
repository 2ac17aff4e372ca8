"""A slice of every focus stack that was never trained on, as a virtual lens takes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.captures import write_capture
from tests.performance.virtual_lens import ALLOWED_DB, HELD_OUT, TRAINED, compare, hold_out, report

pytestmark = pytest.mark.slow

ITERATIONS = 300


@pytest.mark.parametrize(("held_out", "code"), [(29.6, 0), (28.4, 1), (float("nan"), 1)])
def test_too_great_a_loss_is_an_exit_code(held_out: float, code: int) -> None:
    assert report({TRAINED: [29.0, 31.0], HELD_OUT: [held_out]}) == code


def test_a_held_out_slice_is_matched(tmp_path: Path) -> None:
    """Nearly as well as the slices trained on, and better than without a lens or with that of its neighbour."""
    source = write_capture(tmp_path / "ball", views=6, slices=5, width=64, height=48, f_number=2.0)
    held = hold_out(source, tmp_path / "capture", 2)
    train = [str(Path(sys.executable).parent / "ns-train"), "macro-splat", "--data", str(tmp_path / "capture")]
    train += ["--output-dir", str(tmp_path / "run"), "--vis", "tensorboard", "--max-num-iterations", str(ITERATIONS)]
    subprocess.run(train, check=True, capture_output=True, timeout=600)
    figures = {name: float(np.mean(values)) for name, values in compare(tmp_path / "run", source, held).items()}
    assert figures[HELD_OUT] > figures[TRAINED] - ALLOWED_DB, figures
    assert figures[HELD_OUT] > figures["other slices, sharp render"] + 0.5, figures
    assert figures[HELD_OUT] > figures["other slices, neighbour's lens"] + 0.5, figures
