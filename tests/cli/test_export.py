"""`macro-splat export` and `macro-splat deblur` as a user types them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from macro_splat.cli.main import app
from macro_splat.errors import MacroSplatError
from tests.end_to_end.outputs import read_splats


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["macro-splat", *map(str, arguments)])
    return app.cli(prog="macro-splat")


def test_export(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trained_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "cup.ply"
    box = (-100, -100, -100, 100, 100, 2)
    assert run_command(monkeypatch, "export", trained_run, out, "--crop", *box, "--min-opacity", 0.3) == 0
    said = capsys.readouterr().out
    assert "splats in mm" in said
    assert "faint" in said
    assert "cropped" in said
    assert str(out) in said
    splats = read_splats(out)
    assert float(splats["opacities"].min()) >= 0.299
    assert float(splats["means"][:, 2].max()) <= 2
    with pytest.raises(MacroSplatError, match=r"cup\.ply exists already"):
        run_command(monkeypatch, "export", trained_run, out)
    with pytest.raises(MacroSplatError, match="nowhere does not exist"):
        run_command(monkeypatch, "export", tmp_path / "nowhere", tmp_path / "x.ply")


def test_deblur(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trained_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sharp"
    assert run_command(monkeypatch, "deblur", trained_run, out, "--max-image-edge", 64) == 0
    said = capsys.readouterr().out
    assert "24 photographs deblurred" in said
    assert "px and more" in said
    assert len(list((out / "sharp").glob("*.png"))) == 24
    with pytest.raises(MacroSplatError, match="holds something already"):
        run_command(monkeypatch, "deblur", trained_run, out)
