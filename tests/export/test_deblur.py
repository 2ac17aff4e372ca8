"""Every training photograph, deblurred: its size, its pose, the blur that was taken away."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from macro_splat.errors import MacroSplatError
from macro_splat.export.deblur import SIGMA_STEP_PX, DeblurConfig, deblur, full_size_cameras, picture_names
from macro_splat.runs import Run
from tests.conftest import POD
from tests.end_to_end.outputs import psnr, read_picture


@pytest.fixture(scope="module")
def deblurred(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("deblurred") / "out"
    return out, deblur(run, out, DeblurConfig())


def test_every_photograph_at_its_size(deblurred: tuple[Path, dict[str, Any]]) -> None:
    out, _ = deblurred
    for folder in ("sharp", "sigma", "sigma_colour"):
        assert sorted(p.name for p in (out / folder).iterdir()) == [f"{i:03d}.png" for i in range(24)]
    assert read_picture(out / "sharp" / "007.png").shape == (240, 320, 3)


def test_sharp_pictures_show_what_the_photographs_show(deblurred: tuple[Path, dict[str, Any]]) -> None:
    """Each is most like its own photograph: pose and order are right, and so are the colours."""
    out, _ = deblurred
    views = (0, 5, 11, 23)
    sharp = [read_picture(out / "sharp" / f"{i:03d}.png") for i in views]
    photographs = [read_picture(POD / "images" / f"{i:03d}.jpg") for i in views]
    likeness = np.array([[psnr(a, b) for b in photographs] for a in sharp])
    assert (likeness.argmax(axis=1) == np.arange(len(views))).all()
    assert likeness.diagonal().min() > 20


def test_maps_follow_from_the_lens_and_the_depth(deblurred: tuple[Path, dict[str, Any]], run: Run) -> None:
    """sigma = A · fl / 2 · |1/d − 1/z| (a disc of radius R has the variance R²/4 along each axis)."""
    out, record = deblurred
    view = json.loads((out / "lens.json").read_text())["views"][4]
    assert record["views"][4] == view
    levels = cv2.imread(str(out / view["sigma"]), cv2.IMREAD_UNCHANGED)
    assert levels.dtype == np.uint16
    with torch.no_grad():
        rendered = run.model.render_training_view(run.camera(4), 4)
    depth_mm = rendered["depth"][..., 0].numpy() / run.metadata["dataparser_scale"]
    solid = rendered["accumulation"][..., 0].numpy() > 0.5
    focus, aperture = view["focus_distance"]["value_mm"], view["aperture_radius"]["value_mm"]
    expected = aperture * view["focal_length_px"] / 2 * np.abs(1 / focus - 1 / depth_mm)
    np.testing.assert_allclose((levels * SIGMA_STEP_PX)[solid], expected[solid], atol=0.01, rtol=2e-3)
    assert (levels[~solid] == 0).all()
    assert levels.max() > 1 / SIGMA_STEP_PX
    colour = cv2.imread(str(out / view["sigma_colour"]))
    assert colour.shape == (240, 320, 3)
    assert len(np.unique(colour.reshape(-1, 3), axis=0)) > 20


def test_full_size_where_training_was_reduced(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cameras are those of the photographs, not those of the reduced training pictures."""
    outputs = run.datamanager.train_dataparser_outputs
    reduced = run.datamanager.dataset_type(outputs, scale_factor=0.25)
    monkeypatch.setattr(run.datamanager, "train_dataset", reduced)
    assert int(run.camera(0).width) == 80
    camera = full_size_cameras(run)[3]
    assert (int(camera.width), int(camera.height)) == (320, 240)
    assert float(camera.fx) == pytest.approx(1246.753, abs=0.01)
    half = full_size_cameras(run, max_image_edge=160)[3]
    assert (int(half.width), int(half.height)) == (160, 120)
    assert float(half.fx) == pytest.approx(623.377, abs=0.01)


def test_names() -> None:
    assert picture_names(["images/a.jpg", "images/b.png"]) == ["a.png", "b.png"]
    assert picture_names(["images/1/a.jpg", "images/2/a.jpg"]) == ["1/a.png", "2/a.png"]
    assert picture_names(["images/a.jpg", "images/a.tif"]) == ["a.jpg.png", "a.tif.png"]
    assert picture_names(["../else/a.jpg", "../else/b.jpg"]) == ["a.png", "b.png"]
    assert picture_names(["a.jpg"]) == ["a.png"]


def test_a_mode_without_a_lens(run: Run, tmp_path: Path) -> None:
    """Sharp pictures only, and no claim about blur."""
    model = SimpleNamespace(lens=None, device=run.model.device, render_training_view=run.model.render_training_view)
    plain = SimpleNamespace(model=model, names=run.names, datamanager=run.datamanager, metadata=run.metadata)
    record = deblur(plain, tmp_path / "out", DeblurConfig(max_image_edge=32))  # type: ignore[arg-type]
    assert "sigma_maps" not in record
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["lens.json", "sharp"]
    assert read_picture(tmp_path / "out" / "sharp" / "000.png").shape == (24, 32, 3)


def test_refusals(run: Run, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("x")
    (tmp_path / "file").write_text("x")
    for name, options, complaint in (
        ("full", {}, "holds something already"),
        ("file", {}, "is a file"),
        ("new", {"max_image_edge": -1}, "must be positive"),
    ):
        with pytest.raises(MacroSplatError, match=complaint):
            deblur(run, tmp_path / name, DeblurConfig(**options))  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["precious"]
