"""The surface that the splats show: their depth maps fused into a signed distance field, as mesh and as points."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from plyfile import PlyData, PlyElement
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes
from torch import Tensor
from trimesh.graph import connected_component_labels

from macro_splat.errors import MacroSplatError
from macro_splat.export.config import ENDINGS
from macro_splat.runs.cameras import TrainingCamera
from macro_splat.runs.gaussians import Gaussians
from macro_splat.utils.atomic import atomic_write

SOLID, EMPTY = 0.9, 0.05
"""Pixels of more alpha show a surface, those of less show that there is nothing; between them nothing is known."""
MOST_VOXELS = 256
"""Along an edge of the object's box, by default."""
VOXEL_LIMIT = 100_000_000
"""In all: what fits into a gigabyte."""
TRUNCATION = 4.0
"""Voxels before and behind a surface in which the distance is kept."""
SMALLEST_PART = 0.02
"""Pieces with fewer vertices than this share of the largest piece's are left out."""
SLAB = 8
"""Layers of voxels that are worked on at a time: temporary arrays stay small."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A coloured surface in the frame of the splats."""

    vertices: NDArray[np.float32]
    """[V, 3]"""
    normals: NDArray[np.float32]
    """[V, 3], unit length, outward."""
    colors: NDArray[np.uint8]
    """[V, 3] sRGB."""
    triangles: NDArray[np.int64]
    """[T, 3], counter-clockwise from outside."""
    voxel: float
    """Edge of a voxel, in the frame's units: details below it are lost."""


@dataclass(frozen=True, eq=False)
class _DepthMap:
    """What one view shows."""

    view: TrainingCamera
    depth: Tensor
    """[H, W] along the axis; inf = nothing there, NaN = not known."""
    color: Tensor
    """[H, W, 3] in 0..1."""

    def look_up(self, x: Tensor, y: Tensor, z: Tensor, maps: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return values of maps where points in the camera's axes are seen, and whether they are in the picture."""
        k = self.view.intrinsics
        column = (k[0, 0] * x / z + k[0, 2]).floor().nan_to_num(-1.0)
        row = (k[1, 1] * y / z + k[1, 2]).floor().nan_to_num(-1.0)
        seen = (z > 0) & (column >= 0) & (row >= 0) & (column < self.view.width) & (row < self.view.height)
        index = torch.where(seen, row * self.view.width + column, 0.0).long()
        return [m.flatten(0, 1)[index] for m in maps], seen


def fuse_surface(
    gaussians: Gaussians,
    views: Sequence[TrainingCamera],
    *,
    near: float,
    antialiased: bool,
    voxel: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Surface:
    """Fuse the depth maps of all views into truncated signed distances (Curless and Levoy, SIGGRAPH 1996).

    A splat is drawn at the depth of its centre, nearer ones first, so that the surface lies up to one standard
    deviation of the splats outside the true one.

    Args:
        gaussians, views: in the same frame.
        near: nearest depth that is shown. antialiased: see `Gaussians.render`.
        voxel: edge of a voxel in the frame's units; None = what a pixel covers at the object, but no more than
            `MOST_VOXELS` along an edge of its box.
        progress: called with the steps done and their number.

    Raises:
        MacroSplatError: no view shows a solid surface; the voxel is impossible.
    """
    if voxel is not None and not 0 < voxel < math.inf:
        raise MacroSplatError(f"a voxel of {voxel:g} is impossible; give a positive length")
    low, high = _box(gaussians)
    if voxel is None:
        voxel = max(_pixel_size(gaussians, views), float((high - low).max()) / MOST_VOXELS)
    margin = (TRUNCATION + 1) * voxel
    low, size = low - margin, [int(n) for n in ((high - low + 2 * margin) / voxel).ceil().tolist()]
    if math.prod(size) > VOXEL_LIMIT:
        least = voxel * (math.prod(size) / VOXEL_LIMIT) ** (1 / 3)
        raise MacroSplatError(f"a voxel of {voxel:g} makes {math.prod(size):,} of them; give at least {least:.2g}")
    starts = range(0, size[0], SLAB)
    steps, maps = len(views) + len(starts), []
    for view in views:
        maps.append(_depth_map(gaussians, view, near, antialiased))
        progress(len(maps), steps)
    distance, known = np.empty(size, np.float32), np.empty(size, bool)
    for done, start in enumerate(starts):
        part = slice(start, min(start + SLAB, size[0]))
        axes = [torch.arange(n) * voxel + low[i] for i, n in enumerate(size)]
        axes[0] = axes[0][part]
        distance[part], known[part] = _fuse(maps, axes, TRUNCATION * voxel)
        progress(len(views) + done + 1, steps)
    surface = _extract(distance, known, low.numpy(), voxel)
    if surface is None:
        raise MacroSplatError("the splats show no solid surface: train longer, or take off less")
    vertices, normals, triangles = surface
    colors = _vertex_colors(maps, torch.from_numpy(vertices), torch.from_numpy(normals), TRUNCATION * voxel)
    return Surface(vertices, normals, colors, triangles, voxel)


def _box(gaussians: Gaussians) -> tuple[Tensor, Tensor]:
    """Corners of a box around all splats, for thin parts have few; of strays, which an export may have left, it goes no
    farther out than all but a hundredth of the splats are wide: they would cost the rest its detail.
    """
    sample = gaussians.means[:: max(1, len(gaussians) // 100_000)]
    low, high = (torch.quantile(sample, q, dim=0) for q in (0.005, 0.995))
    reach = (high - low).max()
    low, high = gaussians.means.amin(dim=0).maximum(low - reach), gaussians.means.amax(dim=0).minimum(high + reach)
    return low - 0.02 * (high - low), high + 0.02 * (high - low)


def _pixel_size(gaussians: Gaussians, views: Sequence[TrainingCamera]) -> float:
    """Return what a pixel covers at the middle of the object: the median over the views."""
    middle = gaussians.means.median(dim=0).values.double()
    depths = [float(view.world_to_camera[2, :3] @ middle + view.world_to_camera[2, 3]) for view in views]
    return float(np.median([abs(z) / float(view.intrinsics[0, 0]) for z, view in zip(depths, views, strict=True)]))


def _depth_map(gaussians: Gaussians, view: TrainingCamera, near: float, antialiased: bool) -> _DepthMap:
    color, depth, alpha = gaussians.render(
        view.world_to_camera, view.intrinsics, view.width, view.height, near, antialiased
    )
    depth = torch.where(alpha > SOLID, depth, torch.where(alpha < EMPTY, math.inf, math.nan))
    return _DepthMap(view, depth, (color / alpha[..., None].clamp(min=SOLID)).clamp(0, 1))


def _fuse(maps: Sequence[_DepthMap], axes: Sequence[Tensor], truncation: float) -> tuple[NDArray, NDArray]:
    """Mean signed distance, as a share of the truncation and positive outside, and where any view knows it.

    Args:
        axes: the grid's coordinates along x, y and z.
    """
    shape = [len(axis) for axis in axes]
    total, count = torch.zeros(shape), torch.zeros(shape)
    for seen_by in maps:
        m = seen_by.view.world_to_camera.float()
        x, y, z = (
            (m[i, 0] * axes[0] + m[i, 3])[:, None, None] + (m[i, 1] * axes[1])[:, None] + m[i, 2] * axes[2]
            for i in range(3)
        )
        (depth,), seen = seen_by.look_up(x, y, z, [seen_by.depth])
        signed = ((depth - z) / truncation).clamp(max=1.0)
        known = seen & (signed > -1.0)  # false where the depth is NaN
        total += torch.where(known, signed, 0.0)
        count += known
    return (total / count.clamp(min=1.0)).numpy(), (count > 0).numpy()


def _extract(
    distance: NDArray, known: NDArray, low: NDArray, voxel: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]] | None:
    """Vertices, normals and triangles of the surface of distance 0, without the crumbs that single views leave."""
    if not (known & (distance < 0)).any() or not (known & (distance > 0)).any():
        return None
    try:
        vertices, triangles, _, _ = marching_cubes(distance, 0.0, mask=known)
    except RuntimeError:  # of scikit-image: there is a change of sign, but not between known neighbours
        return None
    mesh = trimesh.Trimesh(vertices * voxel + low, triangles, process=False)
    labels = connected_component_labels(mesh.edges_unique, node_count=len(vertices))
    sizes = np.bincount(labels)
    mesh.update_faces((sizes >= SMALLEST_PART * sizes.max())[labels[triangles[:, 0]]])
    mesh.remove_unreferenced_vertices()
    normals = np.array(mesh.vertex_normals, dtype=np.float32)
    return np.array(mesh.vertices, np.float32), normals, np.array(mesh.faces, np.int64)


def _vertex_colors(maps: Sequence[_DepthMap], points: Tensor, normals: Tensor, reach: float) -> NDArray[np.uint8]:
    """Return the mean colour [V, 3] over the views that see a point; those that look straight at it weigh more.

    Where the views disagree the surface lies between what they see, and none sees it: it takes the colour beside it.
    """
    total, weight = torch.zeros(len(points), 3), torch.zeros(len(points), 1)
    for seen_by in maps:
        m = seen_by.view.world_to_camera.float()
        in_camera = points @ m[:3, :3].T + m[:3, 3]
        x, y, z = in_camera.unbind(1)
        (depth, color), seen = seen_by.look_up(x, y, z, [seen_by.depth, seen_by.color])
        cosine = -(in_camera * (normals @ m[:3, :3].T)).sum(dim=1) / in_camera.norm(dim=1)
        visible = seen & ((depth - z).abs() < reach)
        share = torch.where(visible, cosine.clamp(min=0.01), 0.0)[:, None]
        total += share * color
        weight += share
    colors = (255 * total / weight.clamp(min=1e-6)).round().clamp(0, 255).byte().numpy()
    known = weight[:, 0].numpy() > 0
    if known.any() and not known.all():
        places = points.numpy()
        colors[~known] = colors[known][cKDTree(places[known]).query(places[~known])[1]]
    return colors


def write_points(path: Path, surface: Surface, comments: Sequence[str] = ()) -> None:
    """Write the surface's points with normals and colours as binary .ply, whole or not at all.

    Raises:
        MacroSplatError: another ending.
    """
    if path.suffix.lower() != ".ply":
        raise MacroSplatError(f"{path}: no format for points; the file must end in .ply")
    columns = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    columns += [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.empty(len(surface.vertices), columns)
    values = (*surface.vertices.T, *surface.normals.T, *surface.colors.T)
    for (name, _), column in zip(columns, values, strict=True):
        vertices[name] = column
    content = PlyData([PlyElement.describe(vertices, "vertex")], byte_order="<", comments=list(comments))
    with atomic_write(path) as file:
        content.write(file)


def write_mesh(path: Path, surface: Surface, comments: Sequence[str] = ()) -> None:
    """Write a mesh with vertex colours and normals as .ply or .obj, comments in its head, whole or not at all.

    Raises:
        MacroSplatError: another ending.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS["mesh"]:
        raise MacroSplatError(f"{path}: no format for a mesh; the file must end in {' or '.join(ENDINGS['mesh'])}")
    mesh = trimesh.Trimesh(
        surface.vertices,
        surface.triangles,
        vertex_normals=surface.normals,
        vertex_colors=surface.colors,
        process=False,
    )
    content = io.BytesIO()
    mesh.export(content, file_type=ending[1:])
    data = content.getvalue()
    start, mark = (data.index(b"element"), "comment") if ending == ".ply" else (0, "#")  # a .ply names its format first
    lines = "".join(f"{mark} {comment}\n" for comment in comments).encode()
    with atomic_write(path) as file:
        file.write(data[:start] + lines + data[start:])
