"""Cameras and photographs at other sizes, and which view is meant."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras

from macro_splat.errors import MacroSplatError
from macro_splat.video.films import wipe
from macro_splat.video.views import _placed, find_view, fit_camera, spread_views

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


def test_views_are_spread_over_the_poses_and_stacks_show_their_middle() -> None:
    stacks = {"lens": {"stack_id": torch.tensor([[0], [0], [0], [7], [7], [7], [9], [9], [9]])}}
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
