"""Tiny captures for tests: a textured ball seen through a thin lens, traced exactly in a few milliseconds.

The ball (radius 10 mm, at the origin, z up) is photographed from a ring of poses. Every pixel's ray is intersected
with the ball in closed form, so depth and the all-in-focus picture are exact, and defocus is the mean, in linear
light, over points of the entrance pupil: the law of the capture format, made without the code under test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from plyfile import PlyData, PlyElement

BALL_RADIUS_MM = 10.0
WORKING_DISTANCE_MM = 120.0
FOCAL_LENGTH_MM = 50.0


def write_capture(
    folder: Path,
    *,
    views: int = 8,
    slices: int = 1,
    test_views: int = 2,
    width: int = 48,
    height: int = 36,
    f_number: float = 4.0,
    optics: bool = True,
    scene_unit: str | None = "mm",
    sharp: bool = True,
    depth: bool = True,
    masks: bool = False,
    points: int | None = 600,
    alpha: bool = False,
    split_lists: bool = True,
    background: float = 0.0,
) -> Path:
    """Write a valid capture into `folder` (made if missing) and return the folder.

    Args:
        views: poses to train on. slices: photographs per pose; more than 1 makes each pose a focus stack.
        test_views: held-out poses in `test/`, all in focus (aperture_radius 0).
        f_number: of the lens that took the photographs; the pupil's radius is FOCAL_LENGTH_MM / f_number / 2.
        optics: write focus_distance, aperture_radius, f_number and focal_length_mm; the blur is there in either case.
        scene_unit: what one unit of the poses is; None leaves the key out. The numbers on disk stay the same.
        sharp, depth, masks: write those files and keys. points: size of the sparse cloud; None leaves it out.
        alpha: RGBA photographs, transparent beside the ball.
        split_lists: name train, val and test files; without them the split is the dataparser's business.
        background: grey level (0..1, linear light) beside the ball.
    """
    folder.mkdir(parents=True, exist_ok=True)
    camera = _Pinhole(width, height)
    aperture_radius = FOCAL_LENGTH_MM / f_number / 2
    frames: list[dict[str, Any]] = []
    for i in range(views):
        c2w = _pose(2 * np.pi * i / views, np.deg2rad(20 + 25 * (i % 2)))
        for j in range(slices):
            name = f"{i:03d}_{j}.png" if slices > 1 else f"{i:03d}.png"
            spread = (j + 0.5) / slices - 0.5 if slices > 1 else (i % 3 - 1) / 3
            focus_distance = WORKING_DISTANCE_MM - 0.6 * BALL_RADIUS_MM + spread * BALL_RADIUS_MM
            frame = {"file_path": f"images/{name}", "transform_matrix": c2w.tolist()}
            if optics:
                frame |= {"focus_distance": focus_distance, "aperture_radius": aperture_radius}
                frame |= {"f_number": f_number, "focal_length_mm": FOCAL_LENGTH_MM}
            if slices > 1:
                frame |= {"stack_id": f"{i:03d}", "stack_index": j}
            picture, coverage, z = camera.photograph(c2w, focus_distance, aperture_radius, background)
            _save_image(folder / f"images/{name}", picture, coverage if alpha else None)
            if sharp:
                frame["sharp_file_path"] = f"sharp/{name}"
                picture, opaque, _ = camera.photograph(c2w, focus_distance, 0.0, background)
                _save_image(folder / f"sharp/{name}", picture, opaque if alpha else None)
            if masks:
                frame["mask_path"] = f"masks/{name}"
                _save_image(folder / f"masks/{name}", (coverage > 0).astype(np.float64))
            if depth:
                frame["depth_file_path"] = f"depth/{Path(name).stem}.npy"
                _save_depth(folder / frame["depth_file_path"], z)
            frames.append(frame)
    for i in range(test_views):
        c2w = _pose(2 * np.pi * (i + 0.5) / max(test_views, 1), np.deg2rad(33))
        frame = {"file_path": f"test/{i:03d}.png", "transform_matrix": c2w.tolist()}
        if optics:
            frame |= {"aperture_radius": 0.0, "focus_distance": None, "f_number": None}
        picture, coverage, z = camera.photograph(c2w, WORKING_DISTANCE_MM, 0.0, background)
        _save_image(folder / frame["file_path"], picture, coverage if alpha else None)
        if masks:
            frame["mask_path"] = f"masks/test_{i:03d}.png"
            _save_image(folder / frame["mask_path"], (coverage > 0).astype(np.float64))
        if depth:
            frame["depth_file_path"] = f"depth/test_{i:03d}.npy"
            _save_depth(folder / frame["depth_file_path"], z)
        frames.append(frame)

    transforms: dict[str, Any] = {"camera_model": "OPENCV", **camera.intrinsics()}
    if scene_unit is not None:
        transforms["scene_unit"] = scene_unit
    if slices > 1:
        transforms["stack_motion"] = "ring"
    if points is not None:
        transforms["ply_file_path"] = "sparse_pc.ply"
        write_points(folder / "sparse_pc.ply", *sample_ball(points))
    if split_lists:
        held_out = [f["file_path"] for f in frames if f["file_path"].startswith("test/")]
        transforms["train_filenames"] = [f["file_path"] for f in frames if f["file_path"] not in held_out]
        transforms |= {"val_filenames": held_out, "test_filenames": held_out}
    transforms["frames"] = frames
    (folder / "transforms.json").write_text(json.dumps(transforms, indent=1))
    return folder


def edit_transforms(folder: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """Apply `edit` to the capture's transforms.json in place (NaN and Infinity are written as Python writes them)."""
    path = folder / "transforms.json"
    transforms = json.loads(path.read_text())
    edit(transforms)
    path.write_text(json.dumps(transforms, indent=1))
    return folder


def sample_ball(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points on the ball: xyz [count, 3] in mm and sRGB colours [count, 3] uint8."""
    xyz = np.random.default_rng(seed).normal(size=(count, 3))
    xyz *= BALL_RADIUS_MM / np.linalg.norm(xyz, axis=1, keepdims=True)
    return xyz, _to_srgb8(_texture(xyz))


def write_points(path: Path, xyz: np.ndarray, rgb: np.ndarray | None) -> None:
    """A binary PLY as structure from motion writes it; `rgb` None leaves the colours out."""
    fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    if rgb is not None:
        fields += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
    vertex = np.empty(len(xyz), dtype=fields)
    for i, name in enumerate("xyz"):
        vertex[name] = xyz[:, i]
    if rgb is not None:
        for i, name in enumerate(("red", "green", "blue")):
            vertex[name] = rgb[:, i]
    PlyData([PlyElement.describe(vertex, "vertex")]).write(str(path))


class _Pinhole:
    """A camera in nerfstudio's convention: x right, y up, looking along -z; pixel centres at half integers."""

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.focal = 0.36 * height * WORKING_DISTANCE_MM / BALL_RADIUS_MM  # the ball fills 0.72 of the height

    def intrinsics(self) -> dict[str, float | int]:
        size = {"w": self.width, "h": self.height}
        return {"fl_x": self.focal, "fl_y": self.focal, "cx": self.width / 2, "cy": self.height / 2, **size}

    def photograph(
        self, c2w: np.ndarray, focus_distance: float, aperture_radius: float, background: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Linear light [H, W, 3], the share of pupil rays that meet the ball [H, W], z of the central ray [H, W]."""
        u, v = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        right, up, back, origin = c2w[:3, :4].T
        central = (u - self.width / 2)[..., None] / self.focal * right - (v - self.height / 2)[
            ..., None
        ] / self.focal * up
        central = central - back  # component 1 along the axis: a ray's parameter is its depth z
        light = np.zeros((self.height, self.width, 3))
        coverage = np.zeros((self.height, self.width))
        pupil = _disc_points(24 if aperture_radius > 0 else 1) * aperture_radius
        for x, y in pupil:
            shift = x * right + y * up
            ray = central - shift / focus_distance  # all rays of a pixel meet in the plane of focus
            z = _depth_of_ball(origin + shift, ray)
            hit = np.isfinite(z)
            points = origin + shift + np.where(hit, z, 0.0)[..., None] * ray
            light += np.where(hit[..., None], _texture(points), background) / len(pupil)
            coverage += hit / len(pupil)
        z = _depth_of_ball(origin, central)
        return light, coverage, np.where(np.isfinite(z), z, 0.0)


def _depth_of_ball(origin: np.ndarray, ray: np.ndarray) -> np.ndarray:
    """Nearest root of |origin + z * ray| = radius; NaN where the ray misses."""
    a = (ray**2).sum(-1)
    b = (ray * origin).sum(-1)
    root = b**2 - a * ((origin**2).sum() - BALL_RADIUS_MM**2)
    return np.where(root >= 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.nan)


def _texture(xyz: np.ndarray) -> np.ndarray:
    """Linear reflectance in 0.05..0.95: waves of about 4 mm, different in each channel."""
    x, y, z = np.moveaxis(xyz, -1, 0) / BALL_RADIUS_MM
    waves = [np.sin(11 * x + 5 * z), np.sin(13 * y - 7 * x), np.sin(15 * z + 6 * y)]
    return 0.5 + 0.45 * np.stack(waves, axis=-1)


def _pose(azimuth: float, elevation: float) -> np.ndarray:
    """Camera-to-world [4, 4] of a camera that looks at the origin from the working distance, z up."""
    back = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    c2w = np.eye(4)
    c2w[:3, :4] = np.stack([right, np.cross(back, right), back, WORKING_DISTANCE_MM * back], axis=1)
    return c2w


def _disc_points(count: int) -> np.ndarray:
    """Points spread evenly over the unit disc (Vogel's spiral), [count, 2]; one point is the centre."""
    if count == 1:
        return np.zeros((1, 2))
    i = np.arange(count)
    radius, angle = np.sqrt((i + 0.5) / count), i * np.pi * (3 - np.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _to_srgb8(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1 transfer curve, 8 bit."""
    linear = np.clip(linear, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * srgb).astype(np.uint8)


def _save_image(path: Path, linear: np.ndarray, alpha: np.ndarray | None = None) -> None:
    """`alpha` [H, W] makes it RGBA with straight (not premultiplied) colours; the background has to be black then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if alpha is None:
        pixels = _to_srgb8(linear)
    else:
        straight = _to_srgb8(linear / np.maximum(alpha, 1e-6)[..., None])
        pixels = np.dstack([straight, np.round(255 * alpha).astype(np.uint8)])
    Image.fromarray(pixels).save(path)


def _save_depth(path: Path, z: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, z.astype(np.float32))
