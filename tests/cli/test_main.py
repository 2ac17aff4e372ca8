"""The command as a shell sees it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from macro_splat.cli.main import run


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


def test_a_choice_that_is_none_is_told_by_the_option_s_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Not by the config's, of which a user knows nothing."""
    with pytest.raises(SystemExit) as ended:
        run(["render", "somewhere", "circle"])
    assert ended.value.code == 2
    printed = " ".join("".join(capsys.readouterr()).split())
    assert "'circle' for argument 'film'" in printed


@pytest.mark.parametrize("option", ["--config.what", "--clean.reach"])
def test_options_have_no_prefix(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["export", "run", "out", option, "2"])
    assert ended.value.code == 2
    assert "Unrecognized options" in "".join(capsys.readouterr())
