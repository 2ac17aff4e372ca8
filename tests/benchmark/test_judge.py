"""Judging a model in this process: what must not change its figures, and what must."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from macro_splat.benchmark.judge import Judge
from macro_splat.benchmark.plan import RunSpec
from tests.captures import write_capture

pytestmark = pytest.mark.slow

LENSES = ("focus_error", "focus_error_relative", "coc_radius_error_px")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(tmp_path_factory.mktemp("judge") / "ball", views=6) / "transforms.json"


@pytest.fixture(scope="module")
def pipeline(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """As a training leaves it after a few steps, poses refined."""
    overrides = {"pipeline.model.defocus.mode": "image", "pipeline.model.camera_optimizer.mode": "SO3xR3"}
    config = RunSpec(str(capture), str(capture), "image", "noisy", overrides, 30, 0).config()
    config.output_dir, config.experiment_name = tmp_path_factory.mktemp("run"), "ball"
    config.set_timestamp()
    trainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    trainer.train()
    return trainer.pipeline


@pytest.fixture(scope="module")
def figures(pipeline: Any, capture: Path) -> dict[str, Any]:
    return Judge(pipeline, capture).figures()


@torch.no_grad()
def shift(pipeline: Any, offset: torch.Tensor, *, scene: bool = True) -> None:
    """Move all training poses, and the scene with them, where asked for."""
    pipeline.model.camera_optimizer.pose_adjustment[:, :3] += offset
    if scene:
        pipeline.model.gauss_params["means"] += offset


def test_a_common_drift_of_poses_and_scene_costs_nothing(pipeline: Any, capture: Path, figures: dict[str, Any]) -> None:
    offset = torch.tensor([0.02, -0.01, 0.015])  # several pixels
    shift(pipeline, offset)
    try:
        moved = Judge(pipeline, capture).figures()
    finally:
        shift(pipeline, -offset)
    for key in ("psnr", "psnr_object", "ssim", "sharpness_ratio", "depth_error"):
        assert moved[key] == pytest.approx(figures[key], rel=5e-3), key


def test_a_scene_that_left_its_cameras_is_punished(pipeline: Any, capture: Path, figures: dict[str, Any]) -> None:
    offset = torch.tensor([0.02, -0.01, 0.015])
    shift(pipeline, offset, scene=False)
    try:
        moved = Judge(pipeline, capture).figures()
    finally:
        shift(pipeline, -offset, scene=False)
    assert moved["psnr_object"] < figures["psnr_object"] - 0.3


def test_the_true_lens_has_no_error_and_another_one_has(pipeline: Any, capture: Path) -> None:
    lens = pipeline.model.lens
    learnt = {name: tensor.clone() for name, tensor in lens.state_dict().items()}
    for parameter in lens.parameters():
        parameter.data.zero_()  # where the capture says it stands
    true = Judge(pipeline, capture).figures()
    lens.focus_offset_px.data += 1.0  # 1 px of blur sigma is 2 px of radius
    wrong = Judge(pipeline, capture).figures()
    lens.load_state_dict(learnt)
    assert max(true[key] for key in LENSES) < 1e-4
    assert wrong["coc_radius_error_px"] == pytest.approx(2.0, abs=0.3)
    assert wrong["focus_error"] > 0.1


def test_lengths_are_in_scene_units(pipeline: Any, capture: Path, figures: dict[str, Any]) -> None:
    # The scene pushed back from its cameras by 1 mm: its depth is off by that much more or less.
    judge = Judge(pipeline, capture)
    view = judge._held_out(0)
    assert view.depth_truth is not None
    assert float(view.depth_truth.max()) / judge.scale == pytest.approx(120.0, rel=0.02)  # mm, the ball's rim
    assert 0.0 < figures["depth_error"] < 10.0


def test_pictures_of_held_out_and_some_training_views_are_saved(pipeline: Any, capture: Path, tmp_path: Path) -> None:
    Judge(pipeline, capture).save_pictures(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(
        f"{view}.{kind}.png"
        for view in ("test-test_000", "test-test_001", *(f"train-images_00{i}" for i in (1, 3, 5)))
        for kind in ("render", "photograph", "truth")
    )


def test_held_out_poses_are_those_of_the_reference(pipeline: Any, capture: Path, figures: dict[str, Any]) -> None:
    # Training may have read noisy held-out poses; judging never does.
    transforms = json.loads(capture.read_text())
    for frame in transforms["frames"]:
        if frame["file_path"].startswith("test"):
            frame["transform_matrix"] = transforms["frames"][0]["transform_matrix"]
    elsewhere = capture.with_name("elsewhere.json")
    elsewhere.write_text(json.dumps(transforms))
    other = Judge(pipeline, elsewhere).figures()
    assert other["psnr"] < figures["psnr"]
    assert np.isfinite(other["psnr"])
