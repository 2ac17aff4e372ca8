"""Runs that releases kept load in this version, by our commands and by nerfstudio's, as the models that they were."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
from nerfstudio.scripts.eval import ComputePSNR
from nerfstudio.scripts.exporter import ExportGaussianSplat
from nerfstudio.scripts.render import DatasetRender
from plyfile import PlyData

from tests.end_to_end.outputs import list_pictures
from tests.versions.make_fixture import FIGURES, LARGEST_BYTES, RUNS, figures

KEPT = sorted(path for path in RUNS.iterdir() if path.is_dir())


@pytest.fixture(params=KEPT, ids=lambda path: path.name)
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a kept run, as the current folder."""
    place = Path(shutil.copytree(request.param, tmp_path / "kept"))
    monkeypatch.chdir(place)
    return place


def test_this_version_has_a_kept_run() -> None:
    """Made by `python -m tests.versions.make_fixture`; small enough for the repository."""
    assert version("macro-splat") in {path.name for path in KEPT}
    for folder in KEPT:
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= LARGEST_BYTES


@pytest.mark.parametrize("folder", KEPT, ids=lambda path: path.name)
def test_kept_runs_name_no_machine(folder: Path) -> None:
    (config,) = folder.rglob("config.yml")
    assert "- /\n" not in config.read_text(), "an absolute path in it"


def test_the_model_is_what_it_was(kept: Path) -> None:
    expected, found = json.loads((kept / FIGURES).read_text()), figures(kept)
    assert found.keys() == expected.keys()
    assert (found["step"], found["gaussians"]) == (expected["step"], expected["gaussians"])
    assert found["mean"] == pytest.approx(expected["mean"], abs=1e-6)
    # A later rasterizer may round in another way.
    assert found["picture_mean"] == pytest.approx(expected["picture_mean"], abs=2e-3)
    assert found["picture_std"] == pytest.approx(expected["picture_std"], abs=2e-3)


@pytest.mark.slow
def test_nerfstudio_s_commands_run_on_it(kept: Path) -> None:
    """What `ns-eval`, `ns-export gaussian-splat` and `ns-render dataset` do once they have read their command line."""
    (config,) = kept.rglob("config.yml")
    ComputePSNR(load_config=config, output_path=Path("eval.json")).main()
    assert json.loads((kept / "eval.json").read_text())["results"]["psnr"] > 8
    ExportGaussianSplat(load_config=config, output_dir=Path("exported")).main()
    count = json.loads((kept / FIGURES).read_text())["gaussians"]
    assert 0.5 * count < PlyData.read("exported/splat.ply")["vertex"].count <= count
    DatasetRender(load_config=config, output_path=Path("rendered"), rendered_output_names=["rgb"]).main()
    assert len(list_pictures(kept / "rendered")) == 1
