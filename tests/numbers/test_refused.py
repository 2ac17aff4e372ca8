"""Numbers that no training can start from are told in one line that names the file and the value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macro_splat.capture import read_capture
from macro_splat.errors import MacroSplatError
from tests.captures import edit_transforms, sample_ball, write_capture, write_points

SMALL = {"test_views": 0, "width": 24, "height": 16, "points": 50, "sharp": False, "depth": False}


def all_frames(**values) -> Callable[[dict], None]:
    return lambda t: [frame.update(values) for frame in t["frames"]] and None


@pytest.mark.parametrize("value", [-100.0, 0.0, float("inf"), 1e-9])
def test_no_plane_of_focus_behind_the_camera_or_within_it(tmp_path: Path, value: float) -> None:
    capture = edit_transforms(write_capture(tmp_path, views=2, **SMALL), all_frames(focus_distance=value))
    with pytest.raises(MacroSplatError, match="`focus_distance` is"):
        read_capture(capture)


def test_no_point_before_any_camera(tmp_path: Path) -> None:
    """The points lie far above the cameras, which look down at the ball."""
    capture = write_capture(tmp_path / "capture", views=3, **SMALL)
    xyz, rgb = sample_ball(50)
    write_points(capture / "sparse_pc.ply", xyz + np.array([0, 0, 1e5]), rgb)
    with pytest.raises(MacroSplatError, match=r"transforms\.json: none of its 50 points lies before a camera"):
        read_capture(capture)


@pytest.mark.parametrize("far", [False, True])
def test_points_before_some_cameras_are_enough(tmp_path: Path, far: bool) -> None:
    capture = write_capture(tmp_path / "capture", views=3, **SMALL)
    xyz, rgb = sample_ball(50)
    if far:
        xyz[1:] += np.array([0, 0, 1e5])
    write_points(capture / "sparse_pc.ply", xyz, rgb)
    points = read_capture(capture).points
    assert points is not None
    assert len(points.xyz) == 50


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_photographs_of_floats_are_refused(tmp_path: Path, value: float) -> None:
    capture = write_capture(tmp_path, views=2, **SMALL)
    Image.fromarray(np.full((16, 24), value, np.float32)).save(capture / "images/000.tif")
    edit_transforms(capture, lambda t: (t.pop("train_filenames"), t["frames"][0].update(file_path="images/000.tif")))
    with pytest.raises(MacroSplatError, match=r"000\.tif: the photograph has pixels of type F"):
        read_capture(capture)
