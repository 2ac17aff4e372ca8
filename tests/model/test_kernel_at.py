"""The kernel of a training photograph's pixel, asked of the whole model, against the lens that took it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from macro_splat.defocus.kernel import kernel_of_coc
from macro_splat.defocus.thin_lens import coc_radius_px
from macro_splat.errors import MacroSplatError
from macro_splat.model.macro_splat_model import MacroSplatModel
from macro_splat.training.trainer import MacroSplatTrainer
from tests.captures import FOCAL_LENGTH_MM, WORKING_DISTANCE_MM, write_capture
from tests.model.trainers import begin, set_gaussians

Build = Callable[..., MacroSplatTrainer]
F_NUMBER = 1.4
FOCUS_MM = [WORKING_DISTANCE_MM - 6.0 + (i % 3 - 1) / 3 * 10.0 for i in range(4)]
"""Of the capture's first views (see tests/captures.py)."""


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(
        tmp_path_factory.mktemp("ball"), views=4, width=96, height=72, f_number=F_NUMBER, points=4000, sharp=False
    )


def solid(trainer: MacroSplatTrainer) -> MacroSplatModel:
    """The model with the ball in place: small opaque Gaussians all over it."""
    model = begin(trainer)
    metadata = trainer.pipeline.datamanager.train_dataset.metadata
    points = metadata["points3D_xyz"]
    set_gaussians(model, points, 0.35 * metadata["dataparser_scale"], 0.99, torch.full((len(points), 3), 0.5))
    return model


@pytest.mark.parametrize(("mode", "shape"), [("image", "disc"), ("splat", "gaussian")])
def test_against_the_lens_that_took_the_photograph(mode: str, shape: str, build: Build, ball: Path) -> None:
    trainer = build(data=ball, mode=mode)
    model, scale = solid(trainer), trainer.pipeline.datamanager.train_dataset.metadata["dataparser_scale"]
    focal_px = float(trainer.pipeline.datamanager.train_dataset.cameras.fx[0])
    sigmas = []
    for view in (0, 2):
        truth = np.load(ball / f"depth/{view:03d}.npy")
        for x, y in [(48, 36), (30, 30), (60, 50), (48, 16)]:
            kernel = model.kernel_at(view, x, y)
            z = kernel.depth / scale
            assert z == pytest.approx(truth[y, x], abs=1.0)  # Gaussians are thick
            strength = FOCAL_LENGTH_MM / F_NUMBER / 2 * focal_px
            radius = float(coc_radius_px(torch.tensor(z, dtype=torch.float64), 1 / FOCUS_MM[view], strength))
            expected = kernel_of_coc(2 * radius, shape, z)  # type: ignore[arg-type]
            assert kernel.circle_of_confusion_px == pytest.approx(expected.circle_of_confusion_px, abs=1e-2)
            assert kernel.sigma_px == pytest.approx(expected.sigma_px, abs=1e-2)
            assert kernel.weights.sum() == pytest.approx(1.0)
            sigmas.append(kernel.sigma_px)
        assert model.kernel_at(view, 0, 0).sigma_px == 0  # nothing there
    assert max(sigmas) > 1.5


def test_asking_leaves_the_model_as_it_was(build: Build, ball: Path) -> None:
    model = solid(build(data=ball, mode="image"))
    for training in (True, False):
        model.train(training)
        kernel = model.kernel_at(1, 40, 30)
        assert model.training == training
        assert not any(parameter.grad is not None for parameter in model.parameters())
        np.testing.assert_array_equal(kernel.weights, model.kernel_at(1, 40, 30).weights)


def test_the_pose_is_the_one_that_is_trained(build: Build, ball: Path) -> None:
    trainer = build(data=ball, mode="image")
    model = solid(trainer)
    before = model.kernel_at(1, 48, 36).depth
    model.camera_optimizer.config.mode = "SO3xR3"
    back = trainer.pipeline.datamanager.train_dataset.cameras.camera_to_worlds[1, :, 2]
    model.camera_optimizer.pose_adjustment = torch.nn.Parameter(torch.zeros(4, 6))
    model.camera_optimizer.pose_adjustment.data[1, :3] = 0.1 * back
    assert model.kernel_at(1, 48, 36).depth - before == pytest.approx(0.1, abs=0.01)


def test_what_is_not_there_is_named(build: Build, ball: Path) -> None:
    model = build(data=ball, mode="image").pipeline.model
    with pytest.raises(MacroSplatError, match="view 4: there is none; the training views are 0 to 3"):
        model.kernel_at(4, 0, 0)
    with pytest.raises(MacroSplatError, match=r"pixel \(96, 0\): view 0 has 96 x 72 pixels"):
        model.kernel_at(0, 96, 0)
    for mode in ("off", "covariance"):
        with pytest.raises(MacroSplatError, match=f"mode {mode} knows no lens"):
            build(data=ball, mode=mode).pipeline.model.kernel_at(0, 0, 0)
