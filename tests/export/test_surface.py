"""The surface of a ball of splats is that ball."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from plyfile import PlyData

from macro_splat.errors import MacroSplatError
from macro_splat.export.surface import Surface, _depth_map, _vertex_colors, fuse_surface, write_mesh, write_points
from macro_splat.runs.gaussians import Gaussians
from tests.runs.splats import ball, random_splats, views_around

RADIUS = 10.0
SPLAT = 0.17
"""Standard deviation of the ball's round splats: by that much their surface may lie outside their centres."""


@pytest.fixture(scope="module")
def surface() -> Surface:
    return fuse_surface(
        ball(RADIUS, 40_000, SPLAT), views_around(100, 600.0, 160), near=1.0, antialiased=False, voxel=0.5
    )


@pytest.mark.slow
def test_it_is_the_ball(surface: Surface) -> None:
    radius = np.linalg.norm(surface.vertices, axis=1)
    assert abs(np.median(radius) - RADIUS) < 0.02 * RADIUS
    assert np.quantile(np.abs(radius - RADIUS), 0.95) < 0.04 * RADIUS
    mesh = trimesh.Trimesh(surface.vertices, surface.triangles, process=False)
    assert mesh.is_watertight
    least, most = (4 / 3 * np.pi * r**3 for r in (RADIUS, RADIUS + SPLAT))
    assert 0.99 * least < mesh.volume < 1.01 * most  # negative if it were inside out


@pytest.mark.slow
def test_normals_and_colours(surface: Surface) -> None:
    outward = (surface.normals * surface.vertices).sum(axis=1) / np.linalg.norm(surface.vertices, axis=1)
    assert np.quantile(outward, 0.05) > 0.9
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-4)
    above, below = surface.vertices[:, 2] > 2, surface.vertices[:, 2] < -2
    for side, color in ((above, [230, 26, 26]), (below, [26, 26, 230])):
        assert np.abs(np.median(surface.colors[side], axis=0) - color).max() < 12


def test_points_that_no_view_sees_take_the_colour_beside_them() -> None:
    maps = [_depth_map(ball(RADIUS), view, 1.0, False) for view in views_around(100)]
    above, below = (RADIUS * torch.tensor([[0.8, 0.0, height]]) for height in (0.6, -0.6))
    points = torch.cat([above, below, 0.5 * above, 0.5 * below])
    colors = _vertex_colors(maps, points, torch.nn.functional.normalize(points, dim=1), 1.0)
    assert colors[0, 0] > 150 > 80 > colors[0, 2]  # red above, blue below
    assert colors[1, 2] > 150 > 80 > colors[1, 0]
    np.testing.assert_array_equal(colors[2:], colors[:2])


@pytest.mark.slow
def test_crumbs_are_left_out() -> None:
    scene = ball(RADIUS)
    crumb = ball(0.6, 200, 0.1).moved(1.0, torch.eye(3).double(), torch.tensor([0.0, 0.0, 13.5]).double())
    surface = fuse_surface(joined(scene, crumb), views_around(110), near=1.0, antialiased=False, voxel=0.5)
    assert surface.vertices[:, 2].max() < 11


def joined(*parts: Gaussians) -> Gaussians:
    return Gaussians(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(Gaussians)})


@pytest.mark.slow
def test_a_thin_part_is_there_to_its_end() -> None:
    """A spine of so few splats that they are no hundredth of all."""
    spine = ball(1.0, 150, 0.4)
    spine = dataclasses.replace(spine, means=torch.tensor([1.0, 1.0, 4.0]) * spine.means + torch.tensor([0, 0, 12.0]))
    splats, views = joined(ball(RADIUS, 40_000, SPLAT), spine), views_around(110, 600.0, 200)
    surface = fuse_surface(splats, views, near=1.0, antialiased=False, voxel=0.5)
    assert surface.vertices[:, 2].max() == pytest.approx(16, abs=1)
    assert surface.vertices[:, 2].min() == pytest.approx(-RADIUS, abs=0.5)


@pytest.mark.slow
def test_a_stray_splat_costs_no_detail() -> None:
    """Such as an export with --keep-all has."""
    stray = ball(1.0, 1).moved(1.0, torch.eye(3).double(), torch.tensor([0.0, 0.0, 5000.0]).double())
    views = views_around(100, 3000.0, 80, count=2)
    voxels = [fuse_surface(g, views, near=1.0, antialiased=False).voxel for g in (ball(), joined(ball(), stray))]
    assert voxels[1] < 2.1 * voxels[0]


@pytest.mark.slow
def test_files(surface: Surface, tmp_path: Path) -> None:
    write_points(tmp_path / "points.ply", surface, ["units: mm"])
    ply = PlyData.read(str(tmp_path / "points.ply"))
    assert ply.comments == ["units: mm"]
    vertex = ply["vertex"]
    np.testing.assert_array_equal(np.stack([vertex[n] for n in "xyz"], 1), surface.vertices)
    np.testing.assert_array_equal(np.stack([vertex[n] for n in ("nx", "ny", "nz")], 1), surface.normals)
    np.testing.assert_array_equal(np.stack([vertex[n] for n in ("red", "green", "blue")], 1), surface.colors)
    for name in ("mesh.ply", "mesh.obj", "MESH.PLY"):
        write_mesh(tmp_path / name, surface, ["units: mm", "frame: world"])
        head = (tmp_path / name).read_bytes()[:200].splitlines()
        mark = b"#" if name == "mesh.obj" else b"comment"
        assert {mark + b" units: mm", mark + b" frame: world"} <= set(head)
        mesh = trimesh.load(tmp_path / name, process=False)
        np.testing.assert_allclose(mesh.vertices, surface.vertices, atol=1e-5)
        np.testing.assert_array_equal(mesh.faces, surface.triangles)
        np.testing.assert_allclose(mesh.visual.vertex_colors[:, :3], surface.colors, atol=1)


@pytest.mark.slow
def test_refusals(surface: Surface, tmp_path: Path) -> None:
    views = views_around(100, count=2)
    for voxel in (0.0, -1.0, float("nan")):
        with pytest.raises(MacroSplatError, match="is impossible"):
            fuse_surface(ball(), views, near=1.0, antialiased=False, voxel=voxel)
    with pytest.raises(MacroSplatError, match="give at least"):
        fuse_surface(ball(), views, near=1.0, antialiased=False, voxel=1e-3)
    haze = random_splats(20)
    haze = type(haze)(haze.means, haze.quats, haze.scales, 0.02 * haze.opacities, haze.sh)
    with pytest.raises(MacroSplatError, match="no solid surface"):
        fuse_surface(haze, views_around(5), near=0.1, antialiased=False)
    with pytest.raises(MacroSplatError, match=r"must end in \.ply"):
        write_points(tmp_path / "points.xyz", surface)
    with pytest.raises(MacroSplatError, match=r"\.ply or \.obj"):
        write_mesh(tmp_path / "mesh.stl", surface)
    assert list(tmp_path.iterdir()) == []
