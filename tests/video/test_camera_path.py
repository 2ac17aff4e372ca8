"""Camera paths of nerfstudio's viewer, and one line for a file that is none."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras

from macro_splat.errors import MacroSplatError
from macro_splat.video.camera_path import read_camera_path
from tests.end_to_end.commands import viewer_camera_path

POSES = torch.eye(4)[None, :3].repeat(3, 1, 1)
POSES[:, 2, 3] = torch.tensor([1.0, 2.0, 3.0])
CAMERAS = Cameras(POSES, fx=50.0, fy=50.0, cx=24.0, cy=18.0, width=48, height=36)
PATH = {**viewer_camera_path(CAMERAS), "seconds": 1.5}
CROP = {
    "crop_center": [0.0, 0.0, 0.0],
    "crop_scale": [2.0, 2.0, 2.0],
    "crop_rot": [0.0, 0.0, 0.0],
    "crop_bg_color": {"r": 0, "g": 0, "b": 0},
}


def write(folder: Path, content: Any) -> Path:
    file = folder / "path.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def test_the_cameras_are_those_that_were_written(tmp_path: Path) -> None:
    path = read_camera_path(write(tmp_path, PATH))
    assert path.size == (48, 36)
    assert path.seconds == 1.5
    assert path.box is None
    torch.testing.assert_close(path.cameras.camera_to_worlds, POSES)
    torch.testing.assert_close(path.cameras.fx.float(), CAMERAS.fx, atol=1e-3, rtol=0)


def test_a_cropped_view_stays_cropped(tmp_path: Path) -> None:
    box = read_camera_path(write(tmp_path, {**PATH, "crop": CROP})).box
    assert box is not None
    assert box.within(torch.tensor([[0.9, 0.0, 0.0], [1.1, 0.0, 0.0]])).flatten().tolist() == [True, False]


FAULTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda path: [path],
    "no size": lambda path: path.pop("render_height") and path,
    "no cameras": lambda path: {**path, "camera_path": []},
    "half a pose": lambda path: {**path, "camera_path": [{"camera_to_world": [1.0, 0.0], "fov": 40}]},
    "words": lambda path: {**path, "render_width": "wide"},
    "panorama": lambda path: {**path, "camera_type": "equirectangular"},
    "no time": lambda path: {**path, "seconds": 0},
    "not finite": lambda path: {**path, "camera_path": [{"camera_to_world": [float("nan")] * 16, "fov": 40}]},
    "no field of view": lambda path: {**path, "camera_path": [{**path["camera_path"][0], "fov": 0}]},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_camera_path(tmp_path: Path, fault: str) -> None:
    with pytest.raises(MacroSplatError) as caught:
        read_camera_path(write(tmp_path, FAULTS[fault](copy.deepcopy(PATH))))
    assert str(caught.value).startswith(f"--camera-path-filename {tmp_path / 'path.json'}: ")
    assert "\n" not in str(caught.value)


def test_no_such_file_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(MacroSplatError, match="cannot be read"):
        read_camera_path(tmp_path / "none.json")
    (tmp_path / "path.json").write_bytes(b"\xff{")
    with pytest.raises(MacroSplatError, match="is no JSON"):
        read_camera_path(tmp_path / "path.json")
