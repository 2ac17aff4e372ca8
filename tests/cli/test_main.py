"""The command as a shell sees it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    """As `macro-splat --help | head -1` does; the exit code is that of a program that the signal ended."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from macro_splat.cli.main import main; main()", "--help"]
    try:
        ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    finally:
        os.close(writing)
    assert ended.stderr == ""
    assert ended.returncode == 141
