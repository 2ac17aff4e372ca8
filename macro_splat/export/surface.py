"""The surface that the splats show: their depth maps fused into a signed distance field, as mesh and as points."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from plyfile import PlyData, PlyElement

from macro_splat.atomic import atomic_write
from macro_splat.errors import MacroSplatError
from macro_splat.export.gaussians import Gaussians
from macro_splat.export.views import View

MESH_ENDINGS = (".ply", ".obj")
SOLID = 0.6
"""Pixels of less alpha than this show no surface."""
MOST_VOXELS = 512
"""Across the object, by default."""
TRUNCATION = 4.0
"""Voxels before and behind a surface in which the distance is kept."""
SMALLEST_PART = 0.02
"""Pieces with fewer triangles than this share of the largest piece's are left out."""


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


def fuse_surface(
    gaussians: Gaussians,
    views: Sequence[View],
    *,
    near: float,
    antialiased: bool,
    voxel: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Surface:
    """Fuse the depth maps of all views (truncated signed distances: Curless and Levoy, SIGGRAPH 1996; Open3D's).

    Args:
        gaussians, views: in the same frame.
        near: nearest depth that is shown. antialiased: see `Gaussians.render`.
        voxel: edge of a voxel in the frame's units; None = what a pixel covers at the object, but no more than
            `MOST_VOXELS` across it.
        progress: called with the views done and their number.

    Raises:
        MacroSplatError: no view shows a solid surface; the voxel is not positive.
    """
    import open3d as o3d  # heavy, and needed nowhere else

    open3d: Any = o3d  # its stubs know no numpy arrays
    if voxel is not None and not 0 < voxel < float("inf"):
        raise MacroSplatError(f"a voxel of {voxel:g} is impossible; give a positive length")
    if voxel is None:
        voxel = _choose_voxel(gaussians, views)
    volume = open3d.pipelines.integration.ScalableTSDFVolume(
        voxel, TRUNCATION * voxel, open3d.pipelines.integration.TSDFVolumeColorType.RGB8
    )
    for done, view in enumerate(views):
        color, depth, alpha = gaussians.render(
            view.world_to_camera, view.intrinsics, view.width, view.height, near, antialiased
        )
        depth = torch.where(alpha > SOLID, depth, 0.0)
        color = 255 * (color / alpha[..., None].clamp(min=SOLID)).clamp(0, 1)
        k = view.intrinsics.tolist()
        # Open3D's pixel centres are whole numbers, ours lie half a pixel further.
        pinhole = open3d.camera.PinholeCameraIntrinsic(
            view.width, view.height, k[0][0], k[1][1], k[0][2] - 0.5, k[1][2] - 0.5
        )
        image = open3d.geometry.RGBDImage.create_from_color_and_depth(
            open3d.geometry.Image(np.ascontiguousarray(color.round().byte().numpy())),
            open3d.geometry.Image(np.ascontiguousarray(depth.numpy())),
            depth_scale=1.0,
            depth_trunc=float(depth.max()) + 1.0,
            convert_rgb_to_intensity=False,
        )
        volume.integrate(image, pinhole, view.world_to_camera.numpy())
        progress(done + 1, len(views))
    surface = _largest_parts(volume.extract_triangle_mesh(), voxel)
    if len(surface.vertices) == 0:
        raise MacroSplatError("the splats show no solid surface: train longer, or take off less with --clean options")
    return surface


def _choose_voxel(gaussians: Gaussians, views: Sequence[View]) -> float:
    solid = gaussians.means[gaussians.opacities > 0.5] if (gaussians.opacities > 0.5).any() else gaussians.means
    middle = solid.median(dim=0).values.double()
    pixels = [
        float((view.world_to_camera[:3, :3] @ middle + view.world_to_camera[:3, 3])[2] / view.intrinsics[0, 0])
        for view in views
    ]
    low, high = (torch.quantile(solid[:: max(1, len(solid) // 100_000)], q, dim=0) for q in (0.01, 0.99))
    return max(float(np.median(np.abs(pixels))), float((high - low).max()) / MOST_VOXELS)


def _largest_parts(mesh: Any, voxel: float) -> Surface:
    """Without the crumbs that single depth maps leave."""
    labels, sizes, _ = mesh.cluster_connected_triangles()
    sizes = np.asarray(sizes)
    if len(sizes):
        mesh.remove_triangles_by_mask(sizes[np.asarray(labels)] < SMALLEST_PART * sizes.max())
        mesh.remove_unreferenced_vertices()
    mesh.compute_vertex_normals()
    return Surface(
        vertices=np.asarray(mesh.vertices).astype(np.float32),
        normals=np.asarray(mesh.vertex_normals).astype(np.float32),
        colors=np.round(255 * np.asarray(mesh.vertex_colors)).clip(0, 255).astype(np.uint8),
        triangles=np.asarray(mesh.triangles).astype(np.int64),
        voxel=voxel,
    )


def write_points(path: Path, surface: Surface, comments: Sequence[str] = ()) -> None:
    """The surface's points with normals and colours as binary .ply, whole or not at all.

    Raises:
        MacroSplatError: another ending.
    """
    if path.suffix != ".ply":
        raise MacroSplatError(f"{path}: no format for points; the file must end in .ply")
    columns = [*((name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")), *_COLORS]
    vertices = np.empty(len(surface.vertices), columns)
    for names, values in (("xyz", surface.vertices), (("nx", "ny", "nz"), surface.normals)):
        for name, column in zip(names, values.T, strict=True):
            vertices[name] = column
    for (name, _), column in zip(_COLORS, surface.colors.T, strict=True):
        vertices[name] = column
    content = PlyData([PlyElement.describe(vertices, "vertex")], byte_order="<", comments=list(comments))
    with atomic_write(path) as file:
        content.write(file)


_COLORS = [(name, "u1") for name in ("red", "green", "blue")]


def write_mesh(path: Path, surface: Surface) -> None:
    """A mesh with vertex colours and normals as .ply or .obj, whole or not at all.

    Raises:
        MacroSplatError: another ending.
    """
    if path.suffix not in MESH_ENDINGS:
        raise MacroSplatError(f"{path}: no format for a mesh; the file must end in {' or '.join(MESH_ENDINGS)}")
    mesh = trimesh.Trimesh(
        surface.vertices,
        surface.triangles,
        vertex_normals=surface.normals,
        vertex_colors=surface.colors,
        process=False,
    )
    content = io.BytesIO()
    mesh.export(content, file_type=path.suffix[1:])
    with atomic_write(path) as file:
        file.write(content.getvalue())
