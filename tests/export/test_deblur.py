"""Every training photograph, deblurred: its size, its pose, the blur that was taken away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from macro_splat.errors import MacroSplatError
from macro_splat.export.config import DeblurConfig
from macro_splat.export.deblur import SIGMA_STEP_PX, deblur_run, full_size_cameras, picture_names
from macro_splat.runs.cameras import short_names
from macro_splat.runs.load import Run, load_run
from tests.conftest import POD
from tests.end_to_end.outputs import psnr, read_picture


@pytest.fixture(scope="module")
def deblurred(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("deblurred") / "out"
    return out, deblur_run(run, DeblurConfig(run.folder, out))


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


def test_they_are_closer_to_the_truth_than_the_photographs(deblurred: tuple[Path, dict[str, Any]]) -> None:
    """The capture's own all-in-focus pictures of the same poses: what this is for."""
    out, _ = deblurred
    truths = [read_picture(POD / "sharp" / f"{i:03d}.jpg") for i in range(24)]
    gains = [
        psnr(read_picture(out / "sharp" / f"{i:03d}.png"), truth) - psnr(read_picture(photograph), truth)
        for i, (truth, photograph) in enumerate(zip(truths, sorted((POD / "images").iterdir()), strict=True))
    ]
    assert np.mean(gains) > 0.5, gains


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
    assert ((levels == 0) == ~solid).all()
    assert levels.max() > 1 / SIGMA_STEP_PX
    colour = cv2.imread(str(out / view["sigma_colour"]))
    assert colour.shape == (240, 320, 3)
    assert ((colour == 0).all(axis=2) == ~solid).all()  # black is not the colour of what is in focus
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


def test_a_distorted_photograph(run: Run, tmp_path: Path) -> None:
    """The sharp picture lies on the photograph as OpenCV straightens it, to its pixel and at its size."""
    k1, view = 6.0, 7  # of so long a lens: moves the corners by 20 px
    capture = Path(shutil.copytree(POD, tmp_path / "capture"))
    path = capture / "transforms.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"k1": k1}))
    k = np.array([[1246.7532467532467, 0, 159.5], [0, 1246.7532467532467, 119.5], [0, 0, 1]])  # of OpenCV's pixels
    lens = np.array([k1, 0, 0, 0])
    grid = np.stack(np.meshgrid(np.arange(320.0), np.arange(240.0)), axis=-1)
    seen = cv2.undistortPoints(grid.reshape(-1, 1, 2), k, lens, P=k).reshape(grid.shape).astype(np.float32)
    photograph = cv2.imread(str(POD / "images" / f"{view:03d}.jpg"))
    distorted = cv2.remap(photograph, seen[..., 0], seen[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    assert cv2.imwrite(str(capture / "images" / f"{view:03d}.jpg"), distorted, [cv2.IMWRITE_JPEG_QUALITY, 98])
    full, (x, y, width, height) = cv2.getOptimalNewCameraMatrix(k, lens, (320, 240), 0)
    straight = cv2.undistort(distorted, k, lens, None, full)[y : y + height, x : x + width]

    record = deblur_run(load_run(run.folder, data=capture), DeblurConfig(run.folder, tmp_path / "out"))
    entry = record["views"][view]
    assert (entry["width"], entry["height"]) == (width, height) != (320, 240)
    assert entry["focal_length_px"] == pytest.approx(full[0, 0], rel=1e-4)
    sharp = cv2.imread(str(tmp_path / "out" / entry["sharp"]))
    assert sharp.shape == straight.shape
    with torch.no_grad():
        undistorted = run.model.render_training_view(run.camera(view), view)["rgb"].numpy()
    as_good_as = psnr(undistorted[..., ::-1], photograph / 255)  # where nothing was distorted at all
    assert psnr(sharp / 255, straight / 255) > as_good_as - 1.5
    naive = cv2.resize(distorted, straight.shape[1::-1])
    assert psnr(sharp / 255, straight / 255) > psnr(sharp / 255, naive / 255) + 2


def test_names() -> None:
    assert picture_names(["images/a.jpg", "images/b.png"]) == ["a.png", "b.png"]
    assert picture_names(["images/1/a.jpg", "images/2/a.jpg"]) == ["1/a.png", "2/a.png"]
    assert picture_names(["images/a.jpg", "images/a.tif"]) == ["a.jpg.png", "a.tif.png"]
    assert picture_names(["../else/a.jpg", "../else/b.jpg"]) == ["a.png", "b.png"]
    assert picture_names(["a.jpg"]) == ["a.png"]


def test_short_names() -> None:
    assert short_names(["images/1/a.jpg", "images/2/a.jpg"]) == ["1/a.jpg", "2/a.jpg"]
    assert short_names(["images/IMG_9600.jpg"]) == ["IMG_9600.jpg"]
    assert short_names(["a.jpg", "b/c.jpg"]) == ["a.jpg", "b/c.jpg"]
    assert short_names([]) == []


def test_a_mode_without_a_lens(run: Run, tmp_path: Path) -> None:
    """Sharp pictures only, and no claim about blur."""
    model = SimpleNamespace(lens=None, device=run.model.device, render_training_view=run.model.render_training_view)
    plain = SimpleNamespace(model=model, names=run.names, datamanager=run.datamanager, metadata=run.metadata)
    record = deblur_run(plain, DeblurConfig(tmp_path, tmp_path / "out", max_image_edge=32))  # type: ignore[arg-type]
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
            deblur_run(run, DeblurConfig(run.folder, tmp_path / name, **options))  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["precious"]
