"""`macro-splat report`: the page where it was asked for, and what is there is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from macro_splat.cli.report import report
from macro_splat.errors import MacroSplatError
from macro_splat.report.config import ReportConfig


def test_the_page_is_written_where_it_was_asked_for(
    trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    before = {path: path.stat().st_mtime_ns for path in trained_run.rglob("*")}
    assert report(ReportConfig(trained_run, output=page)) == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert str(page) in "".join(capsys.readouterr().out.split())
    assert {path: path.stat().st_mtime_ns for path in trained_run.rglob("*")} == before


def test_what_is_there_is_kept(trained_run: Path) -> None:
    before = (trained_run / "report.html").stat().st_mtime_ns
    with pytest.raises(MacroSplatError, match=r"report\.html: exists already.*--overwrite"):
        report(ReportConfig(trained_run))
    assert (trained_run / "report.html").stat().st_mtime_ns == before


def test_what_cannot_be_done(trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(MacroSplatError, match="no such folder"):
        report(ReportConfig(trained_run, output=tmp_path / "none" / "page.html"))
    with pytest.raises(MacroSplatError, match="is a folder"):
        report(ReportConfig(trained_run, output=tmp_path))
    with pytest.raises(MacroSplatError, match="run"):
        report(ReportConfig(tmp_path / "nowhere"))
    broken = tmp_path / "run"
    shutil.copytree(trained_run, broken, ignore=shutil.ignore_patterns("*.ckpt", "report.html"))
    with pytest.raises(MacroSplatError, match="checkpoint"):
        report(ReportConfig(broken))
    assert not (broken / "report.html").exists()
