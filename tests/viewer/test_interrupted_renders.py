"""The viewer gives up renders by an exception at any line of Python, the first one included."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.captures import write_capture

pytestmark = pytest.mark.slow

PLACES = 30


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_an_interrupted_first_render_changes_no_later_one(tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "ball", views=5)
    command = [sys.executable, "-m", "tests.viewer.interrupted_renders", capture, tmp_path / "outputs", str(PLACES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout.splitlines()
    assert said[-1].startswith(f"{PLACES} places of "), said[-1]
    assert said[-1].endswith(", 0 failed"), done.stdout[-5000:]
