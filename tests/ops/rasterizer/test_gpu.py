"""What is put around gsplat's kernels on CUDA, on any machine: the kernels are replaced by torch on the CPU.

Projection and spherical harmonics are gsplat's own torch formulas; sorting into tiles and compositing are written
here, tile by tile, so that a splat that was sorted into too few tiles shows. As in the kernels, what a projected
splat outside the image holds is garbage (here NaN). All in float64, against the dense reference; opacities are low
enough for 3σ, where gsplat 1.4 ends a splat, to lie outside alpha = 1/255, where the reference does.
The kernels themselves are tested in `tests/gpu`.
"""

import math
from dataclasses import fields

import gsplat
import pytest
import torch
from gsplat.cuda import _torch_impl

from macro_splat.ops.rasterizer import rasterization_reference
from macro_splat.ops.rasterizer.gpu import blur_margin, dilate, rasterization_gsplat
from macro_splat.ops.rasterizer.options import RasterizeInputs, RasterizeOptions
from macro_splat.ops.rasterizer.reference import Projection, composite
from tests.ops.rasterizer.splat_scenes import Scene, assert_agree, loss_weights, outputs_and_gradients, random_scene

TILE = 16


def fake_projection(version):
    def project(means, covars, quats, scales, viewmats, Ks, width, height, *, eps2d, near_plane, far_plane, packed,
                calc_compensations):  # fmt: skip
        assert covars is None
        assert not packed
        covariances, _ = _torch_impl._quat_scale_to_covar_preci(quats, scales, True, False)
        radii, means2d, depths, conics, compensations = _torch_impl._fully_fused_projection(
            means, covariances, viewmats, Ks, width, height, eps2d, near_plane, far_plane, calc_compensations
        )
        seen = radii > 0
        means2d, conics = (torch.where(seen[..., None], t, torch.nan) for t in (means2d, conics))
        depths = torch.where(seen, depths, torch.nan)
        if compensations is not None:
            compensations = torch.where(seen, compensations, 0.0)
        radii = radii[..., None].expand(*radii.shape, 2) if version == "1.5" else radii
        return radii, means2d, depths, conics, compensations

    return project


def fake_spherical_harmonics(degree, directions, coefficients, masks):
    return torch.where(masks[..., None], _torch_impl._spherical_harmonics(degree, directions, coefficients), torch.nan)


def fake_isect_tiles(version):
    def sort_into_tiles(means2d, radii, depths, tile_size, tile_width, tile_height, *, packed):
        assert radii.shape == (means2d.shape if version == "1.5" else means2d.shape[:2])
        assert radii.dtype == torch.int32
        lists = []
        for camera in range(len(means2d)):
            for tile_y in range(tile_height):
                for tile_x in range(tile_width):
                    corner = torch.tensor([tile_x, tile_y]) * tile_size
                    reach = radii[camera] if version == "1.5" else radii[camera, :, None]
                    low = torch.floor((means2d[camera] - reach) / tile_size) * tile_size
                    high = torch.ceil((means2d[camera] + reach) / tile_size) * tile_size
                    held = ((low <= corner) & (corner < high) & (reach > 0)).all(-1).nonzero()[:, 0]
                    lists.append(held[depths[camera, held].argsort(stable=True)])
        return torch.zeros(means2d.shape[:2]), lists, torch.cat(lists)

    return sort_into_tiles


def fake_isect_offset_encode(lists, n_cameras, tile_width, tile_height):
    counts = torch.tensor([len(held) for held in lists])
    return (counts.cumsum(0) - counts).view(n_cameras, tile_height, tile_width)


def fake_rasterize_to_pixels(
    means2d, conics, colors, opacities, width, height, tile_size, offsets, ids, *, backgrounds, packed, absgrad
):
    images = []
    ends = [*offsets.flatten().tolist()[1:], len(ids)]
    for camera in range(len(means2d)):
        rows = []
        for tile_y in range(offsets.shape[1]):
            row = []
            for tile_x in range(offsets.shape[2]):
                flat = (camera * offsets.shape[1] + tile_y) * offsets.shape[2] + tile_x
                held = ids[offsets[camera, tile_y, tile_x] : ends[flat]]
                x, y = tile_x * tile_size, tile_y * tile_size
                tile = Projection(
                    torch.ones(1, len(held), dtype=torch.int32),
                    means2d[camera, held][None] - torch.tensor([x, y]),
                    torch.arange(len(held), dtype=means2d.dtype)[None],  # sorted already
                    conics[camera, held][None],
                    torch.ones(1, len(held)),
                )
                behind = None if backgrounds is None else backgrounds[camera : camera + 1]
                sizes = min(tile_size, width - x), min(tile_size, height - y)
                features = colors[camera, held][None]
                row.append(torch.cat(composite(tile, opacities[camera, held][None], features, behind, *sizes,
                                               absgrad=False), dim=-1)[0])  # fmt: skip
            rows.append(torch.cat(row, dim=1))
        images.append(torch.cat(rows, dim=0))
    image = torch.stack(images)
    return image[..., :-1], image[..., -1:]


@pytest.fixture(params=["1.4", "1.5"])
def gsplat_on_cpu(request, monkeypatch):
    monkeypatch.setattr(gsplat, "fully_fused_projection", fake_projection(request.param))
    monkeypatch.setattr(gsplat, "spherical_harmonics", fake_spherical_harmonics)
    monkeypatch.setattr(gsplat, "isect_tiles", fake_isect_tiles(request.param))
    monkeypatch.setattr(gsplat, "isect_offset_encode", fake_isect_offset_encode)
    monkeypatch.setattr(gsplat, "rasterize_to_pixels", fake_rasterize_to_pixels)
    return request.param


def on_gsplat(**arguments):
    tensors = {field.name: arguments.pop(field.name, None) for field in fields(RasterizeInputs)}
    return rasterization_gsplat(RasterizeInputs(**tensors), RasterizeOptions(**arguments))


def blurred_scene(seed: int, **options) -> Scene:
    scene = random_scene(seed, n=40, n_cameras=2, blur=True, opacity=(0.05, 0.3), **options)
    # Nearer to the middle than the margin within which the projection is linearised where it is.
    return scene.with_tensors(means=scene.tensors["means"].clamp(-0.8, 0.8))


@pytest.mark.slow
@pytest.mark.parametrize("rasterize_mode", ["classic", "antialiased"])
@pytest.mark.parametrize(("render_mode", "sh_degree"), [("RGB", None), ("RGB+ED", 2), ("D", None), ("ED", 1)])
def test_blurred_images_and_gradients_equal_the_reference(gsplat_on_cpu, render_mode, rasterize_mode, sh_degree):
    scene = blurred_scene(2, sh_degree=sh_degree).with_options(render_mode=render_mode, rasterize_mode=rasterize_mode)
    weights = loss_weights(scene, rasterization_reference)
    want = outputs_and_gradients(rasterization_reference, scene, torch.float64, weights, absgrad=False)
    got = outputs_and_gradients(on_gsplat, scene, torch.float64, weights, absgrad=False)
    assert_agree(got, want, 1e-9)


@pytest.mark.slow
def test_splats_that_only_their_blur_brings_into_the_image(gsplat_on_cpu):
    scene = blurred_scene(3, scale=(0.02, 0.05))
    means, scales, opacities = (scene.tensors[k].clone() for k in ("means", "scales", "opacities"))
    inverse = torch.linalg.inv(scene.tensors["viewmats"][0])
    outside = torch.tensor([-0.60 * 3, 0.0, 3.0, 1.0], dtype=torch.float64)  # 30 px left of the middle: 6 outside
    means[:5], scales[:5], opacities[:5] = (inverse @ outside)[:3], 0.09, 0.35
    blur = torch.full((2, 40), 16.0, dtype=torch.float64)
    scene = scene.with_tensors(means=means, scales=scales, opacities=opacities, blur_variance=blur)
    alone = scene.with_tensors(opacities=opacities * (torch.arange(40) < 5))
    assert alone.render(rasterization_reference, torch.float64)[1][0].max() > 0.01
    assert alone.with_tensors(blur_variance=blur * 0).render(rasterization_reference, torch.float64)[1][0].max() == 0
    weights = loss_weights(scene, rasterization_reference)
    want = outputs_and_gradients(rasterization_reference, scene, torch.float64, weights, absgrad=False)
    got = outputs_and_gradients(on_gsplat, scene, torch.float64, weights, absgrad=False)
    assert_agree(got, want, 1e-9)


def test_info_has_the_layout_of_the_installed_gsplat(gsplat_on_cpu):
    scene = blurred_scene(4).with_options(radius_clip=9.0)
    _, _, info = scene.render(on_gsplat, torch.float64)
    _, _, want = scene.render(rasterization_reference, torch.float64)
    assert (info["width"], info["height"], info["n_cameras"], info["tile_size"]) == (45, 37, 2, 16)
    if gsplat_on_cpu == "1.4":
        assert torch.equal(info["radii"], want["radii"])
        seen = want["radii"] > 0
    else:
        assert info["radii"].shape == (2, 40, 2)
        seen = (info["radii"] > 0).all(-1)
    assert 0 < seen.sum() < 80
    for key in ("means2d", "conics", "opacities", "depths"):
        torch.testing.assert_close(info[key][seen], want[key][seen], rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_more_channels_than_are_rendered_at_once(gsplat_on_cpu):
    scene = blurred_scene(5, channels=7).with_options(render_mode="RGB+D")
    whole, alphas, _ = scene.render(on_gsplat, torch.float64)
    parts, part_alphas, _ = scene.with_options(channel_chunk=3).render(on_gsplat, torch.float64)
    assert whole.shape[-1] == 8
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(part_alphas, alphas, rtol=1e-12, atol=1e-12)


def test_without_blur_it_is_gsplats_own_function(monkeypatch):
    found = {}

    def record(**arguments):
        found.update(arguments)
        return "result"

    monkeypatch.setattr(gsplat, "rasterization", record)
    scene = random_scene(0, n=5)
    result = on_gsplat(**scene.tensors, width=45, height=37, absgrad=True, render_mode="RGB+ED", eps2d=0.1)
    assert result == "result"
    for name in ("means", "quats", "scales", "opacities", "colors", "viewmats", "Ks"):
        assert found[name] is scene.tensors[name]
    assert (found["width"], found["height"]) == (45, 37)
    assert "blur_variance" not in found
    assert not found["packed"]
    assert found["absgrad"]
    assert (found["render_mode"], found["eps2d"], found["tile_size"]) == ("RGB+ED", 0.1, 16)
    assert found["backgrounds"] is scene.tensors["backgrounds"]


def test_dilation_is_adding_to_the_covariance():
    g = torch.Generator().manual_seed(0)
    axes = torch.randn(50, 2, 2, dtype=torch.float64, generator=g)
    covariance = axes @ axes.mT + 0.3 * torch.eye(2, dtype=torch.float64)
    variance = torch.rand(50, dtype=torch.float64, generator=g) * 20

    def conic(matrix):
        inverse = torch.linalg.inv(matrix)
        return torch.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], dim=-1)

    widened = covariance + variance[:, None, None] * torch.eye(2, dtype=torch.float64)
    conics, factors = dilate(conic(covariance), variance)
    torch.testing.assert_close(conics, conic(widened), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(factors, (torch.linalg.det(covariance) / torch.linalg.det(widened)).sqrt())


def test_the_margin_is_three_sigma_and_bounded():
    assert blur_margin(torch.zeros(2, 5), 300, 200) == 0
    assert blur_margin(torch.zeros(2, 0), 300, 200) == 0
    assert blur_margin(torch.tensor([[1.0, 16.0]]), 300, 200) == 12
    assert blur_margin(torch.tensor([[1e9]]), 301, 200) == math.ceil(301 / 2)
