"""`macro-splat export` and `macro-splat deblur` as a user types them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from macro_splat.cli.main import run
from macro_splat.errors import MacroSplatError
from tests.end_to_end.outputs import read_splats


def run_command(*arguments: object) -> int:
    return run(list(map(str, arguments)))


def test_export(capsys: pytest.CaptureFixture[str], trained_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "cup.ply"
    box = (-100, -100, -100, 100, 100, 2)
    assert run_command("export", trained_run, out, "--crop", *box, "--min-opacity", 0.3) == 0
    said = capsys.readouterr().out
    assert "splats in mm" in said
    assert "faint" in said
    assert "cropped" in said
    assert str(out) in said
    splats = read_splats(out)
    assert float(splats["opacities"].min()) >= 0.299
    assert float(splats["means"][:, 2].max()) <= 2
    with pytest.raises(MacroSplatError, match=r"cup\.ply exists already"):
        run_command("export", trained_run, out)
    with pytest.raises(MacroSplatError, match="nowhere does not exist"):
        run_command("export", tmp_path / "nowhere", tmp_path / "x.ply")


def test_deblur(capsys: pytest.CaptureFixture[str], trained_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "sharp"
    assert run_command("deblur", trained_run, out, "--max-image-edge", 64) == 0
    said = capsys.readouterr().out
    assert "24 photographs deblurred, 64 x 48 pixels" in said
    assert "px and more" in said
    assert len(list((out / "sharp").glob("*.png"))) == 24
    with pytest.raises(MacroSplatError, match="holds something already"):
        run_command("deblur", trained_run, out)


def test_deblur_speaks_of_its_own_pictures(
    capsys: pytest.CaptureFixture[str], trained_run: Path, tmp_path: Path
) -> None:
    """Of a training on reduced photographs: the pictures are not reduced, and nobody says so."""
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    config = (run / "config.yml").read_text()
    assert "max_image_edge: null" in config
    (run / "config.yml").write_text(config.replace("max_image_edge: null", "max_image_edge: 160"))
    assert run_command("deblur", run, tmp_path / "sharp") == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert "24 photographs deblurred, 320 x 240 pixels" in said
    assert "reduced" not in said


def test_a_demo_is_kept(tmp_path: Path) -> None:
    """Unless it is said that it may go, as `make demo` does."""
    precious = tmp_path / "run" / "precious"
    precious.parent.mkdir()
    precious.write_text("x")
    with pytest.raises(MacroSplatError, match="exists already; give another --output, or --overwrite"):
        run_command("demo", "--output", tmp_path)
    assert precious.exists()
    makefile = Path(__file__).resolve().parents[2] / "Makefile"
    assert "macro-splat demo --overwrite" in makefile.read_text()
