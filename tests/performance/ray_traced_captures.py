"""Ray-traced captures to judge methods on: Mitsuba's thin lens, meshes made here, nothing of the code under test.

    pip install mitsuba plyfile pillow scipy                            # into an environment of its own
    python tests/performance/ray_traced_captures.py OUT                  # all of them, some minutes each
    python tests/performance/ray_traced_captures.py OUT --only coin_ground_16

Blur adds up in linear light; sensor noise; 8-bit sRGB; held-out views through a pinhole; depth by rays through the
centres of pixels; sparse points on the surface as structure from motion would give them; noisy poses beside the true
ones. The objects differ in what makes defocus hard: thin legs on white, self-occlusion on black, a relief on a ground
most of which no photograph shows in focus and that goes on beyond all borders, focus stacks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mitsuba as mi
import numpy as np
from PIL import Image
from plyfile import PlyData, PlyElement
from scipy.spatial import cKDTree

WIDTH, HEIGHT = 320, 240
FOCAL_PX = 1200.0
FOCAL_LENGTH_MM = 50.0
DISTANCE_MM = 125.0
EXPOSURE = 0.8
READ_NOISE, SHOT_NOISE = 0.003, 0.0002  # of full scale, linear light: standard deviation, variance per signal


@dataclass(frozen=True)
class Surface:
    """A triangle mesh with a colour (linear light) per vertex: [V,3], [F,3], [V,3]."""

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray


@dataclass(frozen=True)
class Recipe:
    """What is photographed, and how."""

    build: Any
    poses: int
    f_number: float
    background: float
    """Grey level beside the object, linear light; light comes from all around in either case."""
    elevations: tuple[float, ...] = (20.0, 45.0)
    slices: int = 1
    test_views: int = 5
    seed: int = 0


def texture(points: np.ndarray, seed: int, finest_mm: float) -> np.ndarray:
    """Colours from waves of many directions and lengths, with hard edges as printed or grown things have: [V,3]."""
    rng = np.random.default_rng(seed)
    out = np.zeros((len(points), 3))
    length = 8.0
    while length >= finest_mm:
        for _ in range(4):
            direction = rng.normal(size=3)
            wave = np.sin(points @ (direction / np.linalg.norm(direction)) * 2 * np.pi / length + rng.uniform(0, 6.3))
            tint = rng.normal() + 0.4 * rng.normal(size=3)
            out += tint * np.where(rng.random() < 0.5, np.sign(wave), wave)[:, None] * length**0.25
        length /= 1.7
    return 0.05 + 0.7 / (1 + np.exp(-0.9 * out))


def tube(line: np.ndarray, radius: np.ndarray | float, around: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of a tube along a line [N,3], open at the ends."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.empty_like(line)
    normal[0] = np.cross(tangent[0], [0.31, 0.45, 0.84])
    for i in range(1, len(line)):  # carried along, so that the tube does not twist
        normal[i] = normal[i - 1] - tangent[i] * (normal[i - 1] @ tangent[i])
        normal[i] /= np.linalg.norm(normal[i])
    normal[0] /= np.linalg.norm(normal[0])
    other = np.cross(tangent, normal)
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    ring = np.cos(angle)[None, :, None] * normal[:, None] + np.sin(angle)[None, :, None] * other[:, None]
    vertices = line[:, None] + ring * np.broadcast_to(radius, (len(line),))[:, None, None]
    return vertices.reshape(-1, 3), grid_faces(len(line), around, wrap=True)


def grid_faces(rows: int, columns: int, wrap: bool = False) -> np.ndarray:
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns if wrap else columns - 1), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])


def ellipsoid(
    center: list[float], radii: list[float], rows: int = 260, columns: int = 520
) -> tuple[np.ndarray, np.ndarray]:
    polar = np.linspace(1e-3, np.pi - 1e-3, rows)[:, None]
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    unit = np.stack([np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), np.cos(polar) + 0 * angle], -1)
    return (unit * radii + center).reshape(-1, 3), grid_faces(rows, columns, wrap=True)


def knot(seed: int) -> list[Surface]:
    t = np.linspace(0, 2 * np.pi, 1500)
    line = np.stack([(2 + np.cos(3 * t)) * np.cos(2 * t), (2 + np.cos(3 * t)) * np.sin(2 * t), np.sin(3 * t)], -1) * 3.3
    vertices, faces = tube(line, 1.7 + 0.25 * np.sin(40 * t), around=220)
    return [Surface(vertices, faces, texture(vertices, seed, 0.5))]


def beetle(seed: int) -> list[Surface]:
    rng = np.random.default_rng(seed)
    parts = [
        ellipsoid([-2, 0, 0], [7, 4.4, 3.4]),
        ellipsoid([6, 0, 0], [3, 3.2, 2.4]),
        ellipsoid([9.6, 0, 0], [1.6, 1.9, 1.5]),
    ]
    for side in (-1, 1):
        for x in (-4.0, 1.5, 6.0):
            knee = np.array([x + rng.normal() * 0.6, side * 6.6, 0.8])
            foot = np.array([x * 1.25 + rng.normal(), side * 9.2, -4.4])
            s = np.linspace(0, 1, 160)[:, None]
            hip = np.array([x, side * 2.6, -1.4])
            line = (1 - s) ** 2 * hip + 2 * s * (1 - s) * (2 * knee - 0.5 * (hip + foot)) + s**2 * foot
            parts.append(tube(line, 0.42 - 0.24 * s[:, 0]))
        s = np.linspace(0, 1, 160)[:, None]
        line = (
            np.array([10.4, side * 0.9, 0.6])
            + s * np.array([3.6, side * 3.0, 2.2])
            + np.sin(3 * s) * np.array([0, 0, 0.9])
        )
        parts.append(tube(line, 0.22 - 0.1 * s[:, 0]))
    return [Surface(v, f, texture(v, seed + i, 0.45) * [0.75, 0.6, 0.42]) for i, (v, f) in enumerate(parts)]


def coin(seed: int) -> list[Surface]:
    rng = np.random.default_rng(seed)
    radius = np.linspace(0, 9, 420)[:, None]
    angle = np.linspace(0, 2 * np.pi, 1600, endpoint=False)[None]
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    relief = np.zeros_like(x)
    for _ in range(60):  # strokes with steep flanks, a raised rim
        cx, cy = rng.uniform(-6.5, 6.5, 2)
        wide, turn = rng.uniform(0.25, 0.9), rng.uniform(0, 3.1)
        along = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        across = -(x - cx) * np.sin(turn) + (y - cy) * np.cos(turn)
        relief += 0.5 / (1 + np.exp(np.clip((np.hypot(along / 3, across) - wide) * 14, -40, 40)))
    relief = np.where(radius > 8.2, 0.7, np.minimum(relief, 0.8) * (radius < 7.9))
    z = 1.6 + relief
    z[-1] = 0.0
    vertices = np.stack([x, y, z + 0 * x], -1).reshape(-1, 3)
    metal = texture(vertices, seed, 0.7) * 0.35 + np.array([0.42, 0.3, 0.14])
    side = np.linspace(-34, 34, 1100)
    gx, gy = np.meshgrid(side, side, indexing="ij")
    ground = np.stack([gx, gy, 0 * gx], -1).reshape(-1, 3)
    return [
        Surface(vertices, grid_faces(420, 1600, wrap=True), metal),
        Surface(ground, grid_faces(1100, 1100), texture(ground, seed + 9, 0.6)),
    ]


RECIPES = {
    "beetle_white_18": Recipe(beetle, poses=18, f_number=3.5, background=1.0, seed=3),
    "knot_black_30": Recipe(knot, poses=30, f_number=2.8, background=0.0, elevations=(10.0, 35.0, 60.0), seed=5),
    "coin_ground_16": Recipe(coin, poses=16, f_number=4.0, background=0.0, elevations=(35.0, 55.0), seed=7),
    "knot_stack_5x6": Recipe(knot, poses=6, slices=5, f_number=2.5, background=0.0, elevations=(15.0, 40.0), seed=11),
}


def pose(azimuth: float, elevation: float) -> np.ndarray:
    """Camera to world [4,4], OpenGL axes, looking at the origin from DISTANCE_MM away; z is up."""
    back = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    right = np.cross([0, 0, 1.0], back)
    right /= np.linalg.norm(right)
    out = np.eye(4)
    out[:3] = np.stack([right, np.cross(back, right), back, back * DISTANCE_MM], 1)
    return out


class Tracer:
    """A Mitsuba scene, photographed."""

    def __init__(self, surfaces: list[Surface], background: float, work: Path) -> None:
        scene: dict[str, Any] = {
            "type": "scene",
            "light": {"type": "constant", "radiance": {"type": "rgb", "value": 0.95}},
        }
        lamp = mi.ScalarTransform4f().look_at([60, -80, 120], [0, 0, 0], [0, 1, 0]) @ mi.ScalarTransform4f().scale(25)
        scene["lamp"] = {
            "type": "rectangle",
            "to_world": lamp,
            "emitter": {"type": "area", "radiance": {"type": "rgb", "value": 9.0}},
        }
        for i, surface in enumerate(surfaces):
            path = work / f"{i}.ply"
            _write_mesh(path, surface)
            colors = {"type": "mesh_attribute", "name": "vertex_color"}
            scene[f"mesh{i}"] = {
                "type": "ply",
                "filename": str(path),
                "bsdf": {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": colors}},
            }
        self.scene = mi.load_dict(scene)
        self.background = background

    def photograph(self, c2w: np.ndarray, focus: float, aperture: float, samples: int, seed: int) -> np.ndarray:
        """Linear light, [H,W,3]."""
        film = {"type": "hdrfilm", "width": WIDTH, "height": HEIGHT, "rfilter": {"type": "box"}, "pixel_format": "rgba"}
        flip = np.diag([-1.0, 1.0, -1.0, 1.0])  # Mitsuba looks along +z, with x to the left
        kind = (
            {"type": "thinlens", "aperture_radius": aperture, "focus_distance": focus}
            if aperture
            else {"type": "perspective"}
        )
        sensor = mi.load_dict({
            **kind, "film": film, "fov_axis": "x", "fov": float(np.degrees(2 * np.arctan(WIDTH / 2 / FOCAL_PX))),
            "to_world": mi.ScalarTransform4f(c2w @ flip), "near_clip": 1.0, "far_clip": 1000.0,
            "sampler": {"type": "multijitter", "sample_count": samples},
        })  # fmt: skip
        integrator = mi.load_dict({"type": "path", "max_depth": 3, "hide_emitters": True})
        rgba = np.array(mi.render(self.scene, sensor=sensor, integrator=integrator, spp=samples, seed=seed))
        return rgba[..., :3] * EXPOSURE + (1 - rgba[..., 3:]) * self.background

    def distances(self, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Along rays [N,3] of unit length to the first surface, inf beside it."""
        out = np.full(len(directions), np.inf, np.float32)
        start = mi.ScalarPoint3f(origin)
        for i, direction in enumerate(directions):
            hit = self.scene.ray_intersect_preliminary(mi.Ray3f(start, direction))
            if hit.is_valid():
                out[i] = hit.t
        return out

    def depth_map(self, c2w: np.ndarray) -> np.ndarray:
        """Depth along the optical axis [H,W], 0 where nothing is."""
        rays = _rays(c2w)
        depth = self.distances(c2w[:3, 3], _unit(rays)) / np.linalg.norm(rays, axis=1)
        return np.where(np.isfinite(depth), depth, 0).reshape(HEIGHT, WIDTH).astype(np.float32)


def _write_mesh(path: Path, surface: Surface) -> None:
    names = ["x", "y", "z", "r", "g", "b"]
    vertices = np.empty(len(surface.vertices), [(n, "f4") for n in names])
    for n, column in zip(names, np.concatenate([surface.vertices, surface.colors], 1).T, strict=True):
        vertices[n] = column
    faces = np.empty(len(surface.faces), [("vertex_indices", "i4", (3,))])
    faces["vertex_indices"] = surface.faces
    PlyData([PlyElement.describe(vertices, "vertex"), PlyElement.describe(faces, "face")]).write(str(path))


def _rays(c2w: np.ndarray) -> np.ndarray:
    """Directions through the pixels' centres, with z component 1 in camera axes: [H*W,3], not of unit length."""
    x, y = np.meshgrid(
        (np.arange(WIDTH) + 0.5 - WIDTH / 2) / FOCAL_PX, (np.arange(HEIGHT) + 0.5 - HEIGHT / 2) / FOCAL_PX
    )
    return (np.stack([x, -y, -np.ones_like(x)], -1) @ c2w[:3, :3].T).reshape(-1, 3)


def _save(path: Path, linear: np.ndarray, rng: np.random.Generator | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if rng is not None:
        linear = linear + rng.normal(size=linear.shape) * np.sqrt(READ_NOISE**2 + SHOT_NOISE * np.maximum(linear, 0))
    linear = np.clip(linear, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    Image.fromarray((srgb * 255 + 0.5).astype(np.uint8)).save(path)


def write_capture(recipe: Recipe, folder: Path, samples: int) -> None:
    """Write the capture of a recipe into a folder."""
    rng = np.random.default_rng(recipe.seed)
    surfaces = recipe.build(recipe.seed)
    with tempfile.TemporaryDirectory() as work:
        tracer = Tracer(surfaces, recipe.background, Path(work))
    aperture = FOCAL_LENGTH_MM / recipe.f_number / 2
    frames: list[dict[str, Any]] = []
    poses = []
    for i in range(recipe.poses):
        elevation = recipe.elevations[i % len(recipe.elevations)] + rng.uniform(-3, 3)
        poses.append(pose(2 * np.pi * (i + rng.uniform(-0.2, 0.2)) / recipe.poses, np.radians(elevation)))
    object_points = surfaces[0].vertices if recipe.build is coin else np.concatenate([s.vertices for s in surfaces])
    for i, c2w in enumerate(poses):
        z = np.sort(-((object_points - c2w[:3, 3]) @ c2w[:3, 2]))
        front, back = z[len(z) // 20], z[-(len(z) // 5)]
        depth = tracer.depth_map(c2w)
        sharp = tracer.photograph(c2w, 0, 0, samples // 2, 1000 + i)
        for j in range(recipe.slices):
            name = f"{i:03d}_{j}" if recipe.slices > 1 else f"{i:03d}"
            part = (j + 0.5) / recipe.slices if recipe.slices > 1 else (i * 0.618) % 1
            focus = front + part * (back - front)
            _save(folder / f"images/{name}.png", tracer.photograph(c2w, focus, aperture, samples, 31 * i + j), rng)
            _save(folder / f"sharp/{name}.png", sharp, None)
            (folder / "depth").mkdir(exist_ok=True)
            np.save(folder / f"depth/{name}.npy", depth)
            frame = {"file_path": f"images/{name}.png", "split": "train", "sharp_file_path": f"sharp/{name}.png"}
            frame |= {"focus_distance": float(focus), "aperture_radius": aperture, "f_number": recipe.f_number}
            frame |= {"depth_file_path": f"depth/{name}.npy", "transform_matrix": c2w.tolist()}
            if recipe.slices > 1:
                frame |= {"stack_id": f"{i:03d}", "stack_index": j}
            frames.append(frame)
        print(f"{folder.name}: pose {i + 1} of {recipe.poses}", flush=True)
    for i in range(recipe.test_views):
        low, high = min(recipe.elevations), max(recipe.elevations)
        c2w = pose(2 * np.pi * (i + 0.37) / recipe.test_views, np.radians(low + (high - low) * ((i * 0.618) % 1)))
        _save(folder / f"test/{i:03d}.png", tracer.photograph(c2w, 0, 0, samples, 5000 + i), None)
        np.save(folder / f"depth/test_{i:03d}.npy", tracer.depth_map(c2w))
        frame = {"file_path": f"test/{i:03d}.png", "split": "test", "aperture_radius": 0.0}
        frames.append(frame | {"depth_file_path": f"depth/test_{i:03d}.npy", "transform_matrix": c2w.tolist()})
    _write_points(folder / "sparse_pc.ply", tracer, surfaces, poses, rng)
    _write_transforms(folder, frames, rng)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _write_points(path: Path, tracer: Tracer, surfaces: list[Surface], poses: list[np.ndarray], rng: Any) -> None:
    """Points that at least two cameras see, with noise, where photographs look: as structure from motion finds them."""
    found: list[np.ndarray] = []
    while len(found) < 1800:
        c2w, other = (poses[k] for k in rng.choice(len(poses), 2, replace=False))
        ray = _rays(c2w)[rng.integers(WIDTH * HEIGHT)]
        ray = ray / np.linalg.norm(ray)
        far = tracer.distances(c2w[:3, 3], ray[None])[0]
        if not np.isfinite(far):
            continue
        point = c2w[:3, 3] + far * ray
        back = point - other[:3, 3]
        seen = tracer.distances(other[:3, 3], _unit(back[None]))[0]
        if abs(seen - np.linalg.norm(back)) < 0.05:
            found.append(point)
    points = np.array(found)
    corners = np.concatenate([s.vertices[::7] for s in surfaces])
    colors = np.concatenate([s.colors[::7] for s in surfaces])
    nearest = cKDTree(corners).query(points)[1]
    rgb = (np.clip(colors[nearest] * EXPOSURE, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
    points = points + rng.normal(size=points.shape) * 0.05
    kinds = [(n, "f4") for n in "xyz"] + [(n, "u1") for n in ("red", "green", "blue")]
    rows = np.empty(len(points), kinds)
    for name, column in zip(rows.dtype.names or (), [*points.T, *rgb.T], strict=True):
        rows[name] = column
    PlyData([PlyElement.describe(rows, "vertex")]).write(str(path))


def _write_transforms(folder: Path, frames: list[dict[str, Any]], rng: np.random.Generator) -> None:
    train = [f["file_path"] for f in frames if f["split"] == "train"]
    test = [f["file_path"] for f in frames if f["split"] == "test"]
    head: dict[str, Any] = {
        "camera_model": "OPENCV",
        "fl_x": FOCAL_PX,
        "fl_y": FOCAL_PX,
        "cx": WIDTH / 2,
        "cy": HEIGHT / 2,
    }
    head |= {"w": WIDTH, "h": HEIGHT, "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0, "ply_file_path": "sparse_pc.ply"}
    head |= {"train_filenames": train, "val_filenames": test, "test_filenames": test}
    head |= {"scene_unit": "mm", "focal_length_mm": FOCAL_LENGTH_MM}
    (folder / "transforms.json").write_text(json.dumps(head | {"frames": frames}, indent=1))
    noisy, moved = [], {}
    for frame in frames:
        c2w = np.array(frame["transform_matrix"])
        if frame["split"] == "train":
            key = frame.get("stack_id", frame["file_path"])
            if key not in moved:
                axis = rng.normal(size=3)
                moved[key] = (
                    _rotation(axis / np.linalg.norm(axis) * np.radians(0.15)),
                    rng.normal(size=3) * 0.15 / 3**0.5,
                )
            turn, shift = moved[key]
            c2w[:3, :3] = turn @ c2w[:3, :3]
            c2w[:3, 3] += shift
        noisy.append(frame | {"transform_matrix": c2w.tolist()})
    (folder / "transforms_noisy.json").write_text(json.dumps(head | {"frames": noisy}, indent=1))


def _rotation(vector: np.ndarray) -> np.ndarray:
    """Rodrigues' formula."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / angle
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=sorted(RECIPES), nargs="*", default=sorted(RECIPES))
    parser.add_argument("--samples", type=int, default=128, help="rays a pixel (default %(default)s)")
    arguments = parser.parse_args()
    mi.set_variant("scalar_rgb")
    for name in arguments.only:
        write_capture(RECIPES[name], arguments.out / name, arguments.samples)


if __name__ == "__main__":
    main()
