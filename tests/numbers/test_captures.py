"""Captures at the edge of what can be: a training goes on in finite numbers, or says in one line what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from macro_splat.capture import read_capture
from macro_splat.training.finite_gradients import LeftOut
from macro_splat.training.trainer import MacroSplatTrainer
from tests.captures import edit_transforms, sample_ball, write_capture, write_points
from tests.model.trainers import build_trainer, do_step, render_sharp

pytestmark = pytest.mark.slow

STEPS = 6
SMALL = {"test_views": 0, "width": 24, "height": 16, "points": 150, "sharp": False, "depth": False}
SCALES = (1e-4, 1.0, 1e4)


def train(capture: Path, outputs: Path, mode: str, steps: int = STEPS, **options) -> MacroSplatTrainer:
    trainer = build_trainer(capture, outputs, mode=mode, **options)
    torch.manual_seed(0)
    for step in range(steps):
        assert np.isfinite(do_step(trainer, step)), f"the loss of step {step}"
    for name, parameter in trainer.pipeline.model.named_parameters():
        assert parameter.isfinite().all(), name
    assert trainer.optimizers.left_out == LeftOut(), "gradients had to be left out"
    return trainer


def paint(capture: Path, level: int) -> None:
    for path in (capture / "images").iterdir():
        Image.new("RGB", Image.open(path).size, (level, level, level)).save(path)


def all_frames(**values) -> Callable[[dict], None]:
    return lambda t: [frame.update(values) for frame in t["frames"]] and None


@pytest.mark.parametrize("mode", ["splat", "image"])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_photographs_of_one_colour(tmp_path: Path, mode: str, level: int) -> None:
    capture = write_capture(tmp_path / "capture", views=4, optics=False, **SMALL)
    paint(capture, level)
    train(capture, tmp_path, mode)


@pytest.mark.parametrize(("views", "points"), [(1, 150), (2, None), (2, 1), (2, 150)])
def test_few_views(tmp_path: Path, views: int, points: int | None) -> None:
    capture = write_capture(tmp_path / "capture", views=views, **SMALL | {"points": points})
    train(capture, tmp_path, "image")


def test_five_hundred_views(tmp_path: Path) -> None:
    small = SMALL | {"width": 16, "height": 16}
    trainer = train(write_capture(tmp_path / "capture", views=500, **small), tmp_path, "image", 3)
    assert len(trainer.pipeline.datamanager.train_dataset) == 500


def test_photographs_of_16_pixels(tmp_path: Path) -> None:
    train(write_capture(tmp_path / "capture", views=3, **SMALL | {"width": 16, "height": 16}), tmp_path, "image")


@pytest.mark.parametrize("mode", ["splat", "image"])
def test_a_blur_wider_than_the_photograph(tmp_path: Path, mode: str) -> None:
    capture = write_capture(tmp_path / "capture", views=3, **SMALL)
    edit_transforms(capture, all_frames(focus_distance=15.0, aperture_radius=10.0, focal_length_mm=12.0))
    focal_px = read_capture(capture).frames[0].intrinsics.fl_x
    assert 2 * 10 * focal_px * (1 / 15 - 1 / 110) > 50, "circles of confusion, in pixels of photographs of 24 x 16"
    train(capture, tmp_path, mode)


def test_a_plane_of_focus_near_infinity(tmp_path: Path) -> None:
    """A distance that lenses call infinity is a number; what is none is told (tests/capture/test_bad_input.py)."""
    capture = write_capture(tmp_path / "capture", views=3, **SMALL)
    edit_transforms(capture, all_frames(focus_distance=1e9, aperture_radius=1.0))
    assert "far beyond the scene" in read_capture(capture).warnings[0]
    train(capture, tmp_path, "image")


@pytest.mark.parametrize(("mode", "optics"), [("splat", True), ("image", True), ("image", False)])
def test_the_result_does_not_depend_on_the_unit(tmp_path: Path, mode: str, optics: bool) -> None:
    """The same capture in three units: after some steps the same losses, the same picture, the same lens."""
    losses, pictures, lenses = [], [], []
    for scale in SCALES:
        capture = write_capture(tmp_path / f"{scale:g}", views=4, scene_unit=None, optics=optics, **SMALL)
        xyz, rgb = sample_ball(150)
        write_points(capture / "sparse_pc.ply", xyz * scale, rgb)
        edit_transforms(capture, lambda t, scale=scale: [_rescale(frame, scale) for frame in t["frames"]] and None)
        trainer = build_trainer(capture, tmp_path, mode=mode)
        torch.manual_seed(0)
        losses.append([do_step(trainer, step) for step in range(10)])
        model, dataset = trainer.pipeline.model, trainer.pipeline.datamanager.train_dataset
        pictures.append(render_sharp(model, dataset.cameras[0:1])["rgb"].detach())
        assert model.lens is not None
        lenses.append(model.lens.focus_distance().detach().double() / dataset.metadata["dataparser_scale"] / scale)
    assert float(pictures[1].std()) > 0.02
    for i in (0, 2):
        np.testing.assert_allclose(losses[i], losses[1], rtol=1e-3)
        assert float((pictures[i] - pictures[1]).abs().max()) < 0.01
        # While the model is haze no blur of it matters: the gradients of the lens are rounding, yet Adam steps by them.
        torch.testing.assert_close(lenses[i], lenses[1], rtol=0.02, atol=0)


def _rescale(frame: dict, scale: float) -> dict:
    for row in frame["transform_matrix"][:3]:
        row[3] *= scale
    for key in ("focus_distance", "aperture_radius"):
        if frame.get(key) is not None:
            frame[key] *= scale
    return frame
