"""Reading valid captures: every key, at the top level and in the frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macro_splat.capture import read_capture
from tests.captures import FOCAL_LENGTH_MM, edit_transforms, sample_ball, write_capture, write_points


def test_everything_that_was_written_is_read(tmp_path: Path) -> None:
    capture = read_capture(write_capture(tmp_path, views=3, slices=2, test_views=1, masks=True, f_number=2.0))
    assert [frame.name for frame in capture.frames] == [
        *(f"images/{i:03d}_{j}.png" for i in range(3) for j in range(2)),
        "test/000.png",
    ]
    frame = capture.frames[3]
    assert frame.optics.f_number == 2.0
    assert frame.optics.focal_length_mm == FOCAL_LENGTH_MM
    assert frame.optics.aperture_radius == pytest.approx(FOCAL_LENGTH_MM / 4)
    assert frame.optics.stack_motion == "ring"
    assert (frame.stack_id, frame.stack_index) == ("001", 1)
    assert (frame.intrinsics.width, frame.intrinsics.height) == (48, 36)
    for path in (frame.image, frame.mask, frame.sharp, frame.depth):
        assert path is not None
        assert path.is_file()
    held_out = capture.frames[-1]
    assert held_out.optics.aperture_radius == 0
    assert held_out.optics.focus_distance is None
    assert capture.splits["test"] == ("test/000.png",)
    assert capture.mm_per_unit == 1.0
    assert capture.points is not None
    xyz, rgb = sample_ball(600)
    np.testing.assert_allclose(capture.points.xyz, xyz, atol=1e-5)
    np.testing.assert_array_equal(capture.points.rgb, rgb)
    assert capture.warnings == ()


def test_the_json_file_itself_can_be_given(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "c")
    (folder / "transforms.json").rename(folder / "transforms_noisy.json")
    assert read_capture(folder / "transforms_noisy.json").path.name == "transforms_noisy.json"


def test_a_frames_key_wins_over_the_top_level_even_when_null(tmp_path: Path) -> None:
    def edit(t: dict) -> None:
        t |= {"focus_distance": 111.0, "f_number": 8.0, "fl_x": 50.0}
        for frame in t["frames"]:
            for key in ("focus_distance", "f_number"):
                frame.pop(key, None)
        t["frames"][1]["focus_distance"] = None
        t["frames"][2] |= {"focus_distance": 99.0, "fl_x": 60.0}

    capture = read_capture(edit_transforms(write_capture(tmp_path), edit))
    assert [f.optics.focus_distance for f in capture.frames[:3]] == [111.0, None, 99.0]
    assert [f.optics.f_number for f in capture.frames[:3]] == [8.0, 8.0, 8.0]
    assert [f.intrinsics.fl_x for f in capture.frames[:3]] == [50.0, 50.0, 60.0]


@pytest.mark.parametrize("key", ["focus_distance", "aperture_radius", "f_number", "focal_length_mm"])
def test_nan_means_unknown(tmp_path: Path, key: str) -> None:
    folder = edit_transforms(write_capture(tmp_path), lambda t: t["frames"][0].update({key: float("nan")}))
    assert getattr(read_capture(folder).frames[0].optics, key) is None


@pytest.mark.parametrize("key", ["f_number", "focal_length_mm"])
def test_the_zero_of_a_lens_without_electronics_means_unknown(tmp_path: Path, key: str) -> None:
    folder = edit_transforms(write_capture(tmp_path), lambda t: t["frames"][0].update({key: 0}))
    assert getattr(read_capture(folder).frames[0].optics, key) is None


def test_a_plain_nerfstudio_capture_needs_no_key_of_ours(tmp_path: Path) -> None:
    folder = write_capture(
        tmp_path, optics=False, scene_unit=None, sharp=False, depth=False, points=None, split_lists=False
    )
    capture = read_capture(folder)
    assert capture.mm_per_unit is None
    assert capture.points is None
    assert capture.splits == {}
    assert capture.frames[0].optics.focus_distance is None


def test_unknown_keys_are_ignored(tmp_path: Path) -> None:
    def edit(t: dict) -> None:
        t["about"] = {"anything": [1, None]}
        t["frames"][0]["near"] = "far"

    assert len(read_capture(edit_transforms(write_capture(tmp_path), edit)).frames) == 10


def test_paths_that_come_back_into_the_capture_are_accepted(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "c")

    def edit(t: dict) -> None:
        del t["train_filenames"]
        t["frames"][0]["file_path"] = "images/../images/000.png"
        t["frames"][1]["file_path"] = str(folder / "images/001.png")

    assert [f.name for f in read_capture(edit_transforms(folder, edit)).frames[:2]] == [
        "images/000.png",
        "images/001.png",
    ]


def test_a_folder_of_photographs_may_be_a_link(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "c")
    (folder / "images").rename(tmp_path / "elsewhere")
    (folder / "images").symlink_to(tmp_path / "elsewhere")
    assert len(read_capture(folder).frames) == 10


def test_a_pose_rounded_in_the_file_becomes_exactly_rigid(tmp_path: Path) -> None:
    def edit(t: dict) -> None:
        t["frames"][0]["transform_matrix"] = np.round(t["frames"][0]["transform_matrix"], 3).tolist()

    pose = read_capture(edit_transforms(write_capture(tmp_path), edit)).frames[0].camera_to_world
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-14)


def test_three_rows_are_enough_for_a_pose(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    before = read_capture(folder).frames[0].camera_to_world
    edit_transforms(folder, lambda t: t["frames"][0]["transform_matrix"].pop())
    np.testing.assert_array_equal(read_capture(folder).frames[0].camera_to_world, before)


def test_points_that_are_not_finite_are_dropped(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    xyz, rgb = sample_ball(10)
    xyz[3] = np.nan
    write_points(folder / "sparse_pc.ply", xyz, rgb)
    points = read_capture(folder).points
    assert points is not None
    assert len(points.xyz) == len(points.rgb) == 9


def test_a_ply_without_points_is_a_warning(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    write_points(folder / "sparse_pc.ply", np.empty((0, 3)), np.empty((0, 3), dtype=np.uint8))
    capture = read_capture(folder)
    assert capture.points is None
    assert "sparse_pc.ply holds no points" in capture.warnings[0]


def test_depth_pictures_of_nerfstudio_are_left_out_and_reported(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    Image.new("I;16", (48, 36)).save(folder / "depth/000.png")
    edit_transforms(folder, lambda t: t["frames"][0].update(depth_file_path="depth/000.png"))
    capture = read_capture(folder)
    assert capture.frames[0].depth is None
    assert capture.frames[1].depth is not None
    assert ".png" in capture.warnings[0]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    path = folder / "transforms.json"
    path.write_text(json.dumps(json.loads(path.read_text())), encoding="utf-8-sig")
    assert len(read_capture(folder).frames) == 10
