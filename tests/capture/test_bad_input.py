"""Every bad capture ends in one line that names file and value."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from macro_splat.capture import read_capture
from macro_splat.errors import MacroSplatError
from tests.captures import edit_transforms, sample_ball, write_capture, write_points


def complaint(path: Path) -> str:
    """The complaint about the capture, which has to be one line."""
    with pytest.raises(MacroSplatError) as caught:
        read_capture(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_folder(tmp_path: Path) -> None:
    assert re.search(r"nowhere does not exist; give", complaint(tmp_path / "nowhere"))


def test_empty_folder(tmp_path: Path) -> None:
    message = complaint(tmp_path)
    assert str(tmp_path) in message
    assert "macro-splat process" in message


def test_folder_of_photographs_without_poses(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.JPG")
    assert "1 pictures but no transforms.json" in complaint(tmp_path)


def test_neither_folder_nor_json(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    assert "a.png is neither" in complaint(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"frames": [', "transforms.json is no valid JSON: .* line 1, column"),
        (b"", "no valid JSON"),
        (b"\xff\xfe\x00", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b"[1, 2]", r"holds \[1, 2\], not a JSON object"),
        (b"{}", "`frames` is missing"),
        (b'{"frames": {}}', r"`frames` is \{\}"),
        (b'{"frames": []}', "there is no photograph"),
        (b'{"frames": [7]}', "frame 0 is 7"),
        (b'{"frames": [{}]}', "frame 0: `file_path` is missing"),
    ],
)
def test_no_usable_json(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "transforms.json").write_bytes(content)
    message = complaint(tmp_path)
    assert re.search(expected, message)
    assert str(tmp_path / "transforms.json") in message


def test_unreadable_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> bytes:  # a chmod would not stop root
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    write_capture(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "cannot be read (Permission denied)" in complaint(tmp_path)


def _in_frame(key: str, value: Any) -> Callable[[dict], None]:
    return lambda t: t["frames"][1].update({key: value})


def _at_top(key: str, value: Any) -> Callable[[dict], None]:
    return lambda t: t.update({key: value})


def _without(key: str) -> Callable[[dict], None]:
    def edit(t: dict) -> None:
        t.pop(key, None)
        for frame in t["frames"]:
            frame.pop(key, None)

    return edit


def _pose_entry(row: int, column: int, value: float) -> Callable[[dict], None]:
    def edit(t: dict) -> None:
        t["frames"][1]["transform_matrix"][row][column] = value

    return edit


def _rotation(factor: list[float]) -> Callable[[dict], None]:
    def edit(t: dict) -> None:
        pose = np.array(t["frames"][1]["transform_matrix"])
        pose[:3, :3] *= factor
        t["frames"][1]["transform_matrix"] = pose.tolist()

    return edit


FRAME = r"transforms\.json: frame 'images/001\.png': "


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        *((_without(key), f"`{key}` is missing") for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")),
        (_without("transform_matrix"), "`transform_matrix` is missing"),
        (_in_frame("fl_x", 0), FRAME + "`fl_x` is 0; it must be a positive number"),
        (_in_frame("fl_x", -5.5), FRAME + r"`fl_x` is -5\.5"),
        (_in_frame("fl_x", float("nan")), FRAME + "`fl_x` is nan"),
        (_in_frame("fl_x", "50"), FRAME + "`fl_x` is '50'"),
        (_in_frame("fl_x", True), FRAME + "`fl_x` is True"),
        (_in_frame("fl_x", 10**400), FRAME + "`fl_x` is 1000"),
        (_in_frame("cx", float("inf")), FRAME + "`cx` is inf; it must be a finite number"),
        (_in_frame("w", 48.5), FRAME + r"`w` is 48\.5; it must be a whole number"),
        (_in_frame("k1", "a"), FRAME + "`k1` is 'a'"),
        (_in_frame("k4", 0.1), FRAME + r"k4 is 0\.1"),
        (_in_frame("distortion_params", [0, 1]), FRAME + r"`distortion_params` is \[0, 1\]"),
        (_pose_entry(0, 3, float("nan")), FRAME + "`transform_matrix` holds nan"),
        (_pose_entry(1, 1, float("-inf")), FRAME + "`transform_matrix` holds -inf"),
        (_pose_entry(2, 3, 1e300), FRAME + r"`transform_matrix` holds 1e\+300"),
        (_pose_entry(3, 3, 2.0), FRAME + "`transform_matrix` is not rigid"),
        (_rotation([1, 1, 0]), FRAME + "`transform_matrix` is singular"),
        (_rotation([1, 1, -1]), FRAME + "`transform_matrix` is a mirror image"),
        (_rotation([2, 2, 2]), FRAME + "`transform_matrix` is not rigid"),
        (_in_frame("transform_matrix", [[1, 2], [3, 4]]), FRAME + r"`transform_matrix` is \[\[1, 2\], \[3, 4\]\]"),
        (_in_frame("transform_matrix", "eye"), FRAME + "`transform_matrix` is 'eye'"),
        (_at_top("scene_unit", "inch"), "`scene_unit` is 'inch'; it must be one of mm, cm, m"),
        (_at_top("camera_model", "EQUIRECTANGULAR"), "`camera_model` is 'EQUIRECTANGULAR'"),
        (_at_top("stack_motion", "wobble"), "`stack_motion` is 'wobble'"),
        (_at_top("orientation_override", 3), "`orientation_override` is 3"),
        (_at_top("applied_transform", [[1]]), r"`applied_transform` is \[\[1\]\]"),
        (_at_top("applied_scale", 0), "`applied_scale` is 0"),
        (_in_frame("focus_distance", 0), FRAME + "`focus_distance` is 0; it must be a positive number, or null"),
        (_in_frame("focus_distance", -3), FRAME + "`focus_distance` is -3"),
        (_in_frame("focus_distance", float("inf")), FRAME + "`focus_distance` is inf"),
        (_in_frame("aperture_radius", -0.1), FRAME + r"`aperture_radius` is -0\.1; it must be a number of 0 or more"),
        (_in_frame("f_number", -4), FRAME + "`f_number` is -4"),
        (_in_frame("focal_length_mm", "50 mm"), FRAME + "`focal_length_mm` is '50 mm'"),
        (_in_frame("stack_id", [1]), FRAME + r"`stack_id` is \[1\]"),
        (_in_frame("file_path", "../../etc/passwd"), "'../../etc/passwd', which leads out of"),
        (_in_frame("file_path", "/etc/passwd"), "'/etc/passwd', which leads out of"),
        (_in_frame("file_path", ""), "`file_path` is ''"),
        (_in_frame("mask_path", "../mask.png"), FRAME + "`mask_path` is '../mask.png', which leads out of"),
        (_in_frame("mask_path", "masks/none.png"), FRAME + r"`mask_path`: .*masks/none\.png does not exist"),
        (_in_frame("sharp_file_path", 3), FRAME + "`sharp_file_path` is 3"),
        (_in_frame("depth_file_path", "no.npy"), FRAME + r"`depth_file_path`: .*no\.npy does not exist"),
        (_at_top("ply_file_path", "no.ply"), r"`ply_file_path`: .*no\.ply does not exist"),
        (_in_frame("file_path", "images/000.png"), r"images/000\.png stands in more than one frame"),
        (_in_frame("file_path", "images/no\n.png"), r"1 of 10 photographs do not exist: images/no\\n\.png"),
        (_at_top("train_filenames", []), "`train_filenames` is empty: no view is left for training"),
        (_at_top("train_filenames", ["x.png"]), r"`train_filenames` names x\.png, which no frame has"),
        (_at_top("val_filenames", "test"), "`val_filenames` is 'test'"),
    ],
)
def test_bad_values(tmp_path: Path, edit: Callable[[dict], None], expected: str) -> None:
    assert re.search(expected, complaint(edit_transforms(write_capture(tmp_path), edit)))


def test_missing_photographs_are_counted_and_the_first_named(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    for path in (folder / "images").iterdir():
        path.unlink()
    message = complaint(folder)
    assert "8 of 10 photographs do not exist: images/000.png, images/001.png, images/002.png and 5 more" in message


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("keep", [0, 30, 400, -40])
def test_truncated_photograph(tmp_path: Path, suffix: str, keep: int) -> None:
    folder = write_capture(tmp_path)
    picture = Image.open(folder / "images/001.png")
    path = (folder / "images/001.png").with_suffix(suffix)
    picture.save(path)
    path.write_bytes(path.read_bytes()[:keep])

    def edit(t: dict) -> None:
        del t["train_filenames"]
        t["frames"][1]["file_path"] = f"images/001{suffix}"

    assert re.search(rf"001\{suffix} is broken or truncated \(.+\); copy", complaint(edit_transforms(folder, edit)))


@pytest.mark.parametrize("folder_name", ["images", "sharp", "masks"])
def test_a_picture_of_another_size(tmp_path: Path, folder_name: str) -> None:
    folder = write_capture(tmp_path, masks=True)
    Image.new("RGB", (50, 40)).save(folder / folder_name / "002.png")
    assert re.search(rf"{folder_name}/002\.png: the .* is 50x40 but its intrinsics say 48x36", complaint(folder))


def test_intrinsics_of_another_size(tmp_path: Path) -> None:
    folder = edit_transforms(write_capture(tmp_path), lambda t: t.update(w=4800))
    assert "000.png: the photograph is 48x36 but its intrinsics say 4800x36" in complaint(folder)


def test_a_photograph_of_16_bits(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    Image.new("I;16", (48, 36)).save(folder / "images/002.png")
    assert re.search(r"002\.png: the photograph has pixels of type I;16; save it with 8 bits", complaint(folder))


@pytest.mark.parametrize(
    ("depth", "expected"),
    [(np.zeros((3, 4), np.float32), r"shape is \(3, 4\)"), (np.array(["a"]), "no depth map")],
)
def test_bad_depth(tmp_path: Path, depth: np.ndarray, expected: str) -> None:
    folder = write_capture(tmp_path)
    np.save(folder / "depth/001.npy", depth)
    message = complaint(folder)
    assert re.search(expected, message)
    assert "depth/001.npy" in message


def test_truncated_depth(tmp_path: Path) -> None:
    path = write_capture(tmp_path) / "depth/001.npy"
    path.write_bytes(path.read_bytes()[:200])
    assert "001.npy is no depth map" in complaint(tmp_path)


def test_ply_without_colours(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    write_points(folder / "sparse_pc.ply", sample_ball(5)[0], None)
    assert "sparse_pc.ply: its points have no colours (red, green, blue missing)" in complaint(folder)


@pytest.mark.parametrize("keep", [0, 40, 200, -3])
def test_broken_ply(tmp_path: Path, keep: int) -> None:
    path = write_capture(tmp_path) / "sparse_pc.ply"
    path.write_bytes(path.read_bytes()[:keep])
    assert "sparse_pc.ply is no readable PLY point cloud" in complaint(tmp_path)


def test_ply_that_promises_too_much(tmp_path: Path) -> None:
    path = write_capture(tmp_path) / "sparse_pc.ply"
    path.write_bytes(path.read_bytes().replace(b"vertex 600", b"vertex 600000000000"))
    assert "sparse_pc.ply is no readable PLY point cloud" in complaint(tmp_path)


@pytest.fixture(scope="module")
def capture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(tmp_path_factory.mktemp("fuzz"), views=2, test_views=1, masks=True, points=5)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["images/000.png", "../x", "mm", "", "\0", "a" * 300, "\ud800"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    *("file_path", "transform_matrix", "fl_x", "cx", "w", "k1", "k4", "distortion_params", "focus_distance"),
    *("aperture_radius", "f_number", "focal_length_mm", "stack_id", "stack_index", "stack_motion", "mask_path"),
    *("sharp_file_path", "depth_file_path", "scene_unit", "camera_model", "ply_file_path", "train_filenames"),
    *("val_filenames", "applied_transform", "applied_scale", "orientation_override", "frames"),
]


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(KEYS), value=JSON, at_top=st.booleans())
def test_any_value_of_any_key_is_read_or_refused(capture_folder: Path, key: str, value: Any, at_top: bool) -> None:
    transforms = json.loads((capture_folder / "transforms.json").read_text())
    (transforms if at_top else transforms["frames"][1])[key] = value
    _read_or_refuse(capture_folder, transforms)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON)
def test_any_json_is_read_or_refused(capture_folder: Path, value: Any) -> None:
    _read_or_refuse(capture_folder, value)


def _read_or_refuse(folder: Path, content: Any) -> None:
    path = folder / "fuzz.json"
    path.write_text(json.dumps(content))
    message, capture = "", None
    try:
        capture = read_capture(path)
    except MacroSplatError as error:
        message = str(error)
    if capture is None:
        assert message.isprintable()
        assert str(folder) in message
        return
    assert capture.frames
    for frame in capture.frames:
        assert np.isfinite(frame.camera_to_world).all()
        assert frame.intrinsics.fl_x > 0
        assert frame.optics.focus_distance is None or frame.optics.focus_distance > 0
