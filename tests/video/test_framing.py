"""An orbit sees all of the object, however wide it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.cameras.cameras import Cameras

from macro_splat.runs.load import load_run
from macro_splat.video.films import orbit_film
from macro_splat.video.framing import FARTHEST, WIDENING_PX, all_in_frame
from macro_splat.video.path import orbit
from tests.video.test_path import CENTRE, DISTANCE, ring

BORDER = 0.1
"""Opacity that counts as the object: haze, which an export takes off, is fainter."""


def camera(width: int = 80, height: int = 60) -> Cameras:
    """Its axis is not in the middle."""
    return Cameras(torch.eye(4)[None, :3], fx=90.0, fy=95.0, cx=36.0, cy=33.0, width=width, height=height)


def circle() -> np.ndarray:
    return orbit(ring(np.arange(0, 360, 30.0), 25.0), CENTRE, 24)


def margins(poses: np.ndarray, means: np.ndarray, reach: np.ndarray) -> float:
    """The least distance in pixels from points of the balls' surfaces to the border, in any of the pictures."""
    directions = np.random.default_rng(0).normal(size=(2000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = (means[:, None] + reach[:, None, None] * directions).reshape(-1, 3)
    least = np.inf
    for pose in poses:
        x, y, back = ((points - pose[:, 3]) @ pose[:, :3]).T
        column, row = 36.0 + 90.0 * x / -back, 33.0 - 95.0 * y / -back
        least = min(least, column.min(), row.min(), (80 - column).min(), (60 - row).min())
    return least


@pytest.mark.parametrize("offset", [(0.0, 0.0, 0.0), (0.15, 0.0, -0.05)])
def test_the_camera_goes_back_just_as_far_as_it_takes(offset: tuple[float, float, float]) -> None:
    means, reach = CENTRE + np.array([offset, (-0.1, 0.0, 0.0)]), np.array([0.2, 0.1])
    assert margins(circle(), means, reach) < 0
    moved = all_in_frame(circle(), CENTRE, camera(), means, reach)
    assert WIDENING_PX < margins(moved, means, reach) < WIDENING_PX + 2
    np.testing.assert_array_equal(moved[:, :, :3], circle()[:, :, :3])
    distances = np.linalg.norm(moved[:, :, 3] - CENTRE, axis=1)
    np.testing.assert_allclose(distances, distances[0])


def test_what_is_in_the_picture_moves_nothing() -> None:
    means = CENTRE[None]
    np.testing.assert_allclose(all_in_frame(circle(), CENTRE, camera(), means, np.array([0.1])), circle())
    np.testing.assert_allclose(all_in_frame(circle(), CENTRE, camera(), means[:0], np.zeros(0)), circle())


def test_a_thing_without_an_end_is_left_to_be_cut() -> None:
    moved = all_in_frame(circle(), CENTRE, camera(), CENTRE[None], np.array([50.0]))
    np.testing.assert_allclose(np.linalg.norm(moved[:, :, 3] - CENTRE, axis=1), FARTHEST * DISTANCE)


def test_no_frame_of_an_orbit_cuts_the_object(trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trained object is made wider than the picture; black before white, it must not darken the border."""
    run = load_run(trained_run)
    model = run.model
    with torch.no_grad():
        centre = model.means.median(dim=0).values
        model.gauss_params["means"].data = centre + (model.means - centre) * torch.tensor([2.0, 2.0, 0.7])
        model.gauss_params["features_dc"].data.fill_(-2.0)
        model.gauss_params["features_rest"].data.zero_()
    monkeypatch.setitem(run.metadata, "points3D_measured", False)  # they are of the object as it was
    monkeypatch.setattr(model, "_get_background_color", lambda: torch.ones(3))
    frames = np.stack(list(orbit_film(run, (96, 72), 12)))
    border = np.concatenate([frames[:, [0, -1]].reshape(12, -1), frames[:, :, [0, -1]].reshape(12, -1)], axis=1)
    assert border.min() >= 255 * (1 - BORDER)
    assert (frames.min(axis=(1, 2, 3)) < 60).all()  # and it is there
    widths = (frames.min(axis=(1, 3)) < 200).sum(axis=1)
    assert widths.max() > 0.6 * 96  # as large as may be
