"""`macro-splat process --markers` on photographs alone: a textured box that stands on a ChArUco board.

The box gives structure from motion something that is no plane, and hides a part of the board as a real object does.
Poses, lens and scale are known exactly, and nothing but the EXIF tags of the lens is told.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from macro_splat.capture import Frame, read_capture
from tests.photographs.files import exif_block
from tests.process.scale.test_scale import pose
from tests.process.sfm.test_solve import FOCAL, HEIGHT, WIDTH, align, faces, render

pytestmark = pytest.mark.slow

Array = NDArray[np.float64]
COLUMNS, ROWS, SQUARE_MM, MARKER_MM = 10, 8, 10, 8
BOX_MM = 24.0
VIEWS, PICTURE_WIDTH = 8, 480
FOCAL_LENGTH_MM, F_NUMBER = 50.0, 11.0
FOCAL_LENGTH_TAG, F_NUMBER_TAG, PLANE_X_TAG, PLANE_Y_TAG, PLANE_UNIT_TAG = 0x920A, 0x829D, 0xA20E, 0xA20F, 0xA210
MILLIMETRE = 4
"""As `PLANE_UNIT_TAG` names it."""
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
"""From OpenGL's camera axes to OpenCV's."""


def board() -> tuple[Array, NDArray[np.uint8]]:
    """Corners [4, 3] in mm of the print under the box, from its upper left, clockwise from above, and its picture."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    pattern = cv2.aruco.CharucoBoard((COLUMNS, ROWS), SQUARE_MM, MARKER_MM, dictionary)
    picture = pattern.generateImage((COLUMNS * 60, ROWS * 60))
    picture = cv2.resize(picture, (COLUMNS * 60, COLUMNS * 60), interpolation=cv2.INTER_NEAREST)  # as `render` wants it
    x, y, z = COLUMNS * SQUARE_MM / 2, ROWS * SQUARE_MM / 2, -BOX_MM / 2
    corners = np.array([(-x, y, z), (x, y, z), (x, -y, z), (-x, -y, z)])
    return corners, np.repeat(picture[:, :, None], 3, axis=2)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Array]]:
    """A folder of JPEGs from all around, and their true poses in mm."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    box = faces(rng)
    edge = np.ptp(box[0][0][:, 0])
    scene = [board(), *((BOX_MM / edge * corners, picture) for corners, picture in box)]  # the nearer later
    ground = np.full((64, 64, 3), 96, np.uint8)
    pitch_mm = FOCAL_LENGTH_MM / (FOCAL * PICTURE_WIDTH / WIDTH)
    tags = {FOCAL_LENGTH_TAG: FOCAL_LENGTH_MM, F_NUMBER_TAG: F_NUMBER, PLANE_UNIT_TAG: MILLIMETRE}
    tags |= dict.fromkeys((PLANE_X_TAG, PLANE_Y_TAG), 1 / pitch_mm)
    truth = {}
    for i in range(VIEWS):
        truth[f"{i}.jpg"] = camera = pose(2 * np.pi * i / VIEWS + 0.2, 0.45 + 0.15 * (i % 2), 120.0)
        picture, _ = render(camera, scene, ground, PICTURE_WIDTH)
        noisy = np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{i}.jpg", quality=95, exif=exif_block(tags=tags))
    return folder, truth


def test_a_board_under_the_object_gives_millimetres(photographs: tuple[Path, dict[str, Array]], tmp_path: Path) -> None:
    folder, truth = photographs
    target = f"charuco:{COLUMNS}x{ROWS}:{SQUARE_MM}:{MARKER_MM}"
    program = [Path(sys.executable).with_name("macro-splat"), "process", folder, tmp_path, "--markers", target]
    subprocess.run([str(word) for word in (*program, "--threads", 1)], check=True, capture_output=True)

    assert json.loads((tmp_path / "process.json").read_text())["scale"]["source"] == "markers"
    capture = read_capture(tmp_path)
    assert capture.scene_unit == "mm"
    frames = {Path(frame.name).name: frame for frame in capture.frames}
    assert sorted(frames) == sorted(truth)
    found = np.stack([frames[name].camera_to_world[:3, 3] for name in truth])
    scale, *_ = align(found, np.stack([camera[:3, 3] for camera in truth.values()]))
    assert scale == pytest.approx(1.0, rel=0.005)  # both are in mm

    # Lengths on the object too: distances of points against those of the places where the true cameras saw them.
    assert capture.points is not None
    xyz = capture.points.xyz
    order = np.random.default_rng(0).permutation(len(xyz))
    ratios = []
    for name, camera in truth.items():
        true = on_the_scene(pixels(xyz, frames[name]), camera)
        ours, theirs = (np.linalg.norm(places - places[order], axis=1) for places in (xyz, true))
        ratios.append(np.median(ours[theirs > 10] / theirs[theirs > 10]))  # the few points that are hidden matter not
    np.testing.assert_allclose(ratios, 1.0, atol=0.005)


def pixels(xyz: Array, frame: Frame) -> Array:
    """[N, 2] where a frame of the capture shows these points [N, 3]."""
    lens, world_to_camera = frame.intrinsics, FLIP @ np.linalg.inv(frame.camera_to_world)
    k1, k2, _, _, p1, p2 = lens.distortion
    matrix = np.array([[lens.fl_x, 0, lens.cx], [0, lens.fl_y, lens.cy], [0, 0, 1]])
    turn, _ = cv2.Rodrigues(world_to_camera[:3, :3])
    seen, _ = cv2.projectPoints(xyz, turn, world_to_camera[:3, 3], matrix, np.array([k1, k2, p1, p2]))
    return np.asarray(seen, dtype=np.float64)[:, 0]


def on_the_scene(at: Array, camera: Array) -> Array:
    """[N, 3] in mm: the places of box and floor that the true camera sees at pixels [N, 2]."""
    across = (at / (PICTURE_WIDTH / WIDTH) - (WIDTH / 2, HEIGHT / 2)) / FOCAL * (1, -1)
    rays = np.concatenate([across, np.full((len(at), 1), -1.0)], axis=1) @ camera[:3, :3].T
    half = BOX_MM / 2
    sides = (np.array([-half, half])[:, None, None] - camera[:3, 3]) / rays
    enters, leaves = sides.min(axis=0).max(axis=1), sides.max(axis=0).min(axis=1)
    floor = (-half - camera[2, 3]) / rays[:, 2]
    return camera[:3, 3] + np.where(enters < leaves, enters, floor)[:, None] * rays
