"""Captures that are well-formed and make no sense."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macro_splat.capture import read_capture
from macro_splat.capture.plausibility import scene_distances
from macro_splat.errors import MacroSplatError
from tests.captures import BALL_RADIUS_MM, WORKING_DISTANCE_MM, edit_transforms, write_capture


@pytest.mark.parametrize("options", [{}, {"slices": 3}, {"points": None}, {"optics": False}, {"scene_unit": None}])
def test_nothing_is_said_of_a_sound_capture(tmp_path: Path, options: dict) -> None:
    assert read_capture(write_capture(tmp_path, **options)).warnings == ()


@pytest.mark.parametrize("points", [600, None])
def test_distances_to_the_scene(tmp_path: Path, points: int | None) -> None:
    distances = scene_distances(read_capture(write_capture(tmp_path, points=points)))
    assert distances is not None
    reach = BALL_RADIUS_MM if points else 1e-6
    assert np.abs(distances - WORKING_DISTANCE_MM).max() <= reach
    assert (distances[:, 0] < distances[:, 1]).all() == (points is not None)


def test_cameras_side_by_side_look_at_no_point(tmp_path: Path) -> None:
    def edit(t: dict) -> None:
        for i, frame in enumerate(t["frames"]):
            frame["transform_matrix"] = np.eye(4).tolist()
            frame["transform_matrix"][0][3] = float(i)

    assert scene_distances(read_capture(edit_transforms(write_capture(tmp_path, points=None), edit))) is None


def _first_frame(**keys: object) -> Callable[[dict], None]:
    return lambda t: t["frames"][0].update(keys)


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"focus_distance": 0.12}, r"frame 'images/000.png': `focus_distance` is 0.12 but the scene begins 11\d"),
        (
            {"focus_distance": 48.0, "focal_length_mm": 50.0},
            r"`focus_distance` is 48 mm, within `focal_length_mm` of 50",
        ),
        ({"focus_distance": 50.0, "focal_length_mm": 50.0}, r"frame 'images/000.png': `focus_distance` is 50 mm, with"),
        ({"aperture_radius": 1250.0}, r"frame 'images/000.png': `aperture_radius` is 1250, wider than the 11\d"),
        ({"aperture_radius": 1250.0, "focus_distance": None}, r"`aperture_radius` is 1250, wider than the 1\d\d"),
    ],
)
def test_lenses_that_cannot_be(tmp_path: Path, keys: dict, complaint: str) -> None:
    folder = edit_transforms(write_capture(tmp_path), _first_frame(**keys))
    with pytest.raises(MacroSplatError, match=complaint):
        read_capture(folder)


def _same_stack_for_all(t: dict) -> None:
    for frame in t["frames"]:
        frame["stack_id"] = "a"


@pytest.mark.parametrize(
    ("edit", "slices", "warning"),
    [
        (_first_frame(focus_distance=70.0), 1, r"clearly before the scene in images/000.png \(70, the scene begins 11"),
        (_first_frame(focus_distance=112_000.0), 1, r"`focus_distance` is far beyond the scene in images/000.png"),
        (
            _first_frame(aperture_radius=0.625),
            1,
            r"`aperture_radius` .* disagree in images/000.png \(0.625 mm, 6.25 mm",
        ),
        (lambda t: t.update(scene_unit="m"), 1, r'with `scene_unit` "m" the scene is 1.2e\+05 mm away'),
        (lambda t: t["frames"].pop(0), 2, r"only one photograph in stack 000"),
        (lambda t: t["frames"][1].update(stack_index=0), 2, r"`stack_index` comes twice in stack 000"),
        (_same_stack_for_all, 1, r"frames of stack a look in directions more than 5 degrees apart"),
    ],
)
def test_what_is_probably_wrong(tmp_path: Path, edit: Callable[[dict], None], slices: int, warning: str) -> None:
    folder = write_capture(tmp_path, slices=slices, split_lists=False)
    found = read_capture(edit_transforms(folder, edit)).warnings
    assert all(line.startswith(str(folder / "transforms.json")) for line in found)
    assert any(re.search(warning, line) for line in found), found


@pytest.mark.parametrize(("same_pose", "warning"), [(True, "counts twice"), (False, "with different poses")])
def test_the_same_photograph_twice(tmp_path: Path, same_pose: bool, warning: str) -> None:
    folder = write_capture(tmp_path)
    for name in ("003", "006"):
        shutil.copy(folder / "images/001.png", folder / f"images/{name}.png")

    def edit(t: dict) -> None:
        for i in (3, 6) if same_pose else ():
            t["frames"][i]["transform_matrix"] = t["frames"][1]["transform_matrix"]

    (found,) = read_capture(edit_transforms(folder, edit)).warnings
    assert warning in found
    assert "images/001.png = images/003.png, images/001.png = images/006.png" in found


def test_photographs_that_differ_in_one_pixel_are_different(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    for i in range(2):
        picture = Image.new("RGB", (48, 36))
        picture.putpixel((0, 0), (i, 0, 0))
        picture.save(folder / f"images/00{i}.tif")

    def edit(t: dict) -> None:
        for i in range(2):
            name = f"images/00{i}.tif"
            t["frames"][i]["file_path"] = t["train_filenames"][i] = name

    assert read_capture(edit_transforms(folder, edit)).warnings == ()


@pytest.mark.parametrize(("slices", "distances", "told"), [(3, [70, 80, 115], 0), (3, [60, 70, 75], 1)])
def test_first_slices_may_be_focused_before_the_object(
    tmp_path: Path, slices: int, distances: list[float], told: int
) -> None:
    """The ball begins at 110 mm."""

    def edit(t: dict) -> None:
        for frame in t["frames"]:
            frame["focus_distance"] = distances[frame["stack_index"]]

    warnings = read_capture(edit_transforms(write_capture(tmp_path, slices=slices, test_views=0), edit)).warnings
    assert len([warning for warning in warnings if "clearly before the scene" in warning]) == told


def test_a_focus_within_the_focal_length_is_told_in_any_unit(tmp_path: Path) -> None:
    def edit(t: dict) -> None:
        for frame in t["frames"]:
            frame.pop("aperture_radius", None)
            frame["focus_distance"] = 12.0
            frame["focal_length_mm"] = 130.0
            frame["transform_matrix"] = np.array(frame["transform_matrix"]).tolist()
            for row in frame["transform_matrix"][:3]:
                row[3] /= 10
        t["scene_unit"] = "cm"
        t.pop("ply_file_path", None)

    with pytest.raises(MacroSplatError, match=r"`focus_distance` is 120 mm, within `focal_length_mm` of 130"):
        read_capture(edit_transforms(write_capture(tmp_path, test_views=0), edit))
