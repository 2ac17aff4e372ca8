"""Cameras and photographs at other sizes, and which view is meant."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras
from PIL import Image

from macro_splat.data.datamanager import MacroDataManagerConfig
from macro_splat.errors import MacroSplatError
from macro_splat.runs.views import _placed, find_view, fit_camera, full_size, photograph_of, spread_views
from macro_splat.video.films import wipe
from tests.captures import edit_transforms, write_capture

NAMES = ["images/000.jpg", "images/001.jpg", "images/010.jpg"]


def camera(width: int, height: int) -> Cameras:
    pose = torch.eye(4)[None, :3]
    return Cameras(pose, fx=100.0, fy=110.0, cx=0.4 * width, cy=0.6 * height, width=width, height=height)


@pytest.mark.parametrize("size", [(80, 60), (20, 60), (100, 30), (17, 13)])
def test_a_fitted_camera_sees_all_that_it_saw_in_the_middle(size: tuple[int, int]) -> None:
    original = camera(40, 30)
    fitted = fit_camera(original, *size)
    scale = min(size[0] / 40, size[1] / 30)
    for edge, length, focal, centre in ((40, size[0], "fx", "cx"), (30, size[1], "fy", "cy")):
        # The rays through the picture's ends, projected by the new camera.
        rays = (torch.tensor([0.0, edge]) - getattr(original, centre)[0]) / getattr(original, focal)[0]
        ends = rays * getattr(fitted, focal)[0] + getattr(fitted, centre)[0]
        margin = (length - edge * scale) / 2
        np.testing.assert_allclose(ends.numpy(), [margin, length - margin], atol=1e-4)


def test_a_photograph_is_placed_where_its_camera_sees_it() -> None:
    photograph = torch.full((30, 40, 3), 0.5)
    placed = _placed(photograph, (80, 100))
    assert placed.shape == (100, 80, 4)
    alpha = placed[..., 3]
    assert (alpha[20:80] == 1).all()
    assert (alpha[:19] == 0).all()
    assert (alpha[81:] == 0).all()
    assert (placed[30:70, :, :3] - 0.5).abs().max() < 0.01


def reduced_run(folder: Path) -> Any:
    """What `photograph_of` asks of a run, trained on photographs of 24 pixels."""
    return SimpleNamespace(
        datamanager=MacroDataManagerConfig(data=folder, max_image_edge=24).setup(device="cpu", test_mode="val")
    )


def seen(run: Any, width: int, height: int) -> np.ndarray:
    """The first view's photograph at a size, in 0..255."""
    view: Any = SimpleNamespace(index=0, rgb=torch.zeros(height, width, 3), background=torch.zeros(3))
    return 255 * photograph_of(run, view)[0].numpy()


def test_a_photograph_larger_than_in_training_keeps_its_detail(tmp_path: Path) -> None:
    run = reduced_run(write_capture(tmp_path / "capture", width=96, height=72, views=3, test_views=1))
    taken = Image.open(tmp_path / "capture" / "images" / "000.png").convert("RGB")
    np.testing.assert_allclose(seen(run, 96, 72), np.asarray(taken), atol=1e-3)
    np.testing.assert_allclose(seen(run, 48, 36), np.asarray(taken.resize((48, 36), Image.Resampling.LANCZOS)), atol=1)
    np.testing.assert_array_equal(seen(run, 24, 18), run.datamanager.cached_train[0]["image"].numpy())


def test_a_photograph_is_undistorted_at_its_own_size(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "capture", width=96, height=72, views=3, test_views=1)
    edit_transforms(folder, lambda transforms: transforms.update(k1=4.0))
    camera, photograph = full_size(reduced_run(folder), 0)
    height, width = photograph.shape[:2]
    assert (int(camera.width), int(camera.height)) == (width, height)
    transforms = json.loads((folder / "transforms.json").read_text())
    taken = np.asarray(Image.open(folder / "images" / "000.png").convert("RGB"))
    # OpenCV counts from the first pixel's middle.
    bent, straight = (
        np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1.0]])
        for fx, fy, cx, cy in (
            [transforms[key] for key in ("fl_x", "fl_y", "cx", "cy")],
            [float(getattr(camera, key)) for key in ("fx", "fy", "cx", "cy")],
        )
    )
    expected = cv2.undistort(taken, bent, np.array([4.0, 0, 0, 0]), None, straight)[:height, :width].astype(float)
    assert np.abs(expected - photograph.numpy()).mean() < 1.5
    assert np.abs(expected - taken[:height, :width]).mean() > 5


def test_views_spread_over_the_poses_with_the_middle_of_stacks() -> None:
    stacks = {"stack_id": torch.tensor([[0], [0], [0], [7], [7], [7], [9], [9], [9]])}
    assert spread_views(stacks, 9, 2) == [1, 7]
    assert spread_views(stacks, 9, 99) == [1, 4, 7]
    assert spread_views({}, 10, 5) == [1, 3, 5, 7, 9]


@pytest.mark.parametrize(("wanted", "view"), [("2", 2), ("images/001.jpg", 1), ("010", 2)])
def test_a_view_is_found(wanted: str, view: int) -> None:
    assert find_view(NAMES, wanted) == view


@pytest.mark.parametrize("wanted", ["7", "jpg", "x"])
def test_a_view_that_is_none_or_many(wanted: str) -> None:
    with pytest.raises(MacroSplatError, match=rf"--view {wanted}: .* 0 to 2"):
        find_view(NAMES, wanted)


def test_a_wipe_shows_one_picture_on_each_side() -> None:
    left, right = np.zeros((4, 40, 3), np.uint8), np.full((4, 40, 3), 90, np.uint8)
    np.testing.assert_array_equal(wipe(left, right, 0.0), right)
    np.testing.assert_array_equal(wipe(left, right, 1.0), left)
    half = wipe(left, right, 0.5)
    assert (half[:, :19] == 0).all()
    assert (half[:, 19:21] == 255).all()
    assert (half[:, 21:] == 90).all()
