"""Portrait and landscape photographs of one body have one camera in structure from motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macro_splat.capture.format import Intrinsics
from macro_splat.photographs.exif import Exif
from macro_splat.photographs.load import UPRIGHT_TRANSPOSE, Photograph, find_photographs
from macro_splat.process.sfm.features import Features
from macro_splat.process.sfm.rotation import LandscapeRotation, landscape_rotation
from macro_splat.process.sfm.solve import StructureFromMotion
from macro_splat.process.stacks.grouping import Stack
from macro_splat.process.workspace import Workspace
from tests.process.sfm.test_solve import FOCAL, HEIGHT, VIEWS, WIDTH, align, faces, render, texture, turntable_pose

W, H = 30, 50


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_portrait_is_rotated_as_it_was_stored(orientation: int) -> None:
    """By Pillow's own turning of pictures; mirrored ones (2, 4, 5, 7) no camera takes."""
    upright = np.zeros((H, W), np.uint8)
    upright[7, 21] = 255
    rotation = landscape_rotation(Photograph(Path("a.jpg"), "a.jpg", W, H, Exif(orientation=orientation)))
    features = Features(np.array([[21.5, 7.5, 1.0, 0.3]], np.float32), np.zeros((1, 128), np.uint8))
    rotated = rotation.features(features, W, H)
    if orientation in (6, 8):
        back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
        stored = Image.fromarray(upright).transpose(back)
        assert np.array_equal(np.asarray(stored.transpose(UPRIGHT_TRANSPOSE[orientation])), upright)
        y, x = np.argwhere(np.asarray(stored))[0]
        np.testing.assert_allclose(rotated.keypoints[0, :2], [x + 0.5, y + 0.5])
    assert rotation.size(W, H) == (H, W)
    np.testing.assert_allclose(rotation.upright(rotated.keypoints[:, :2].astype(float), W, H), [[21.5, 7.5]])


@pytest.mark.parametrize("quarter", [0, 1, -1])
def test_the_upright_camera_sees_what_the_rotated_one_sees(quarter: int) -> None:
    rotation = LandscapeRotation(quarter)
    width, height = rotation.size(W, H)
    rotated = Intrinsics(60.0, 61.0, 26.0, 13.0, width, height, (0.05, -0.02, 0.0, 0.0, 0.003, -0.004))
    points = np.random.default_rng(0).uniform((-0.3, -0.3, 0.7), (0.3, 0.3, 1.3), (20, 3))
    seen = project(rotated, points @ rotation.camera[:3, :3].T)
    upright = rotation.upright_intrinsics(rotated)
    np.testing.assert_allclose(project(upright, points), rotation.upright(seen, W, H), atol=1e-9)
    assert (upright.width, upright.height) == (W, H)


def project(lens: Intrinsics, points: np.ndarray) -> np.ndarray:
    """OpenCV's model, written out."""
    x, y = (points[:, :2] / points[:, 2:]).T
    k1, k2, _, _, p1, p2 = lens.distortion
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([lens.fl_x * u + lens.cx, lens.fl_y * v + lens.cy], axis=1)


@pytest.mark.slow
def test_a_camera_that_was_turned_in_between_keeps_its_lens(tmp_path: Path) -> None:
    """Every other photograph is a portrait, saved upright: the camera was turned about its axis."""
    rng = np.random.default_rng(0)
    box, ground = faces(rng), np.asarray(Image.fromarray(texture(rng, 320)).resize((WIDTH, HEIGHT)))
    truth, masks = {}, {}
    (tmp_path / "masks").mkdir()
    for i in range(VIEWS):
        pose = turntable_pose(np.deg2rad(18.0 * i))
        pictures = render(pose, box, ground)
        if i % 2:  # what the camera sees, turned clockwise by a quarter; so was the camera, counterclockwise
            pictures = tuple(np.ascontiguousarray(np.rot90(picture, -1)) for picture in pictures)
            right, up = pose[:3, 0].copy(), pose[:3, 1].copy()
            pose[:3, 0], pose[:3, 1] = up, -right
        name = f"{i}.png"
        Image.fromarray(pictures[0]).save(tmp_path / name)
        Image.fromarray(pictures[1]).save(tmp_path / "masks" / name)
        truth[name], masks[name] = pose, tmp_path / "masks" / name
    exif = Exif(focal_length_mm=50.0, pixel_pitch_mm=50.0 / FOCAL * 1.08)
    found = [replace(photograph, exif=exif) for photograph in find_photographs(tmp_path)]
    stacks = [Stack(p.name, (p,)) for p in found]
    result = StructureFromMotion(stacks, Workspace(tmp_path, threads=1), masks=masks).reconstruct()

    assert len((tmp_path / "sfm" / "features.cameras").read_text().splitlines()) == 1
    assert sorted(result.photographs) == sorted(truth)
    poses = np.stack([result.photographs[name].camera_to_world for name in truth])
    true = np.stack(list(truth.values()))
    scale, rotation, translation = align(poses[:, :3, 3], true[:, :3, 3])
    off = np.linalg.norm(scale * poses[:, :3, 3] @ rotation.T + translation - true[:, :3, 3], axis=1)
    assert np.median(off) < 0.01 * 4
    cosine = (np.einsum("vij,vij->v", rotation @ poses[:, :3, :3], true[:, :3, :3]) - 1) / 2
    assert np.rad2deg(np.arccos(np.clip(cosine, -1, 1))).max() < 2.0
    for name, posed in result.photographs.items():
        lens = posed.intrinsics
        portrait = int(name[0]) % 2 == 1
        assert (lens.width, lens.height) == ((HEIGHT, WIDTH) if portrait else (WIDTH, HEIGHT))
        assert lens.fl_x == pytest.approx(result.photographs["0.png"].intrinsics.fl_x)
        assert lens.fl_x == pytest.approx(FOCAL, rel=0.05)
    assert result.points.rgb.std(axis=0).min() > 15
    pictures = {name: np.asarray(Image.open(tmp_path / name)).astype(int) for name in truth}
    for name in ("2.png", "3.png"):
        lens, pose = result.photographs[name].intrinsics, result.photographs[name].camera_to_world
        seen = (result.points.xyz - pose[:3, 3]) @ pose[:3, :3]
        x, y = (project(lens, seen * [1, -1, -1])).astype(int).T
        inside = (x >= 0) & (x < lens.width) & (y >= 0) & (y < lens.height)
        difference = np.abs(pictures[name][y[inside], x[inside]] - result.points.rgb[inside]).mean(axis=1)
        assert np.median(difference) < 35, name
