"""The float64 reference itself: against finite differences, closed forms, and gsplat's own torch formulas.

The finite differences step 1e-6: the seeds are such that no pixel crosses a step of the rasterizer on the way.
"""

import math

import pytest
import torch
from gsplat.cuda import _torch_impl as gsplat_torch

from macro_splat.ops.rasterizer import rasterization_reference
from macro_splat.ops.rasterizer.options import RasterizeInputs, RasterizeOptions
from macro_splat.ops.rasterizer.reference import project, rotation_matrices, spherical_harmonics
from tests.ops.rasterizer.splat_scenes import DIFFERENTIABLE, flat_scene, random_scene


@pytest.mark.slow
@pytest.mark.parametrize("render_mode", ["RGB", "RGB+ED"])
@pytest.mark.parametrize("rasterize_mode", ["classic", "antialiased"])
@pytest.mark.parametrize(("blur", "sh_degree"), [(False, None), (True, 3)])
def test_gradients_against_finite_differences(render_mode, rasterize_mode, blur, sh_degree):
    scene = random_scene(3, n=4, sh_degree=sh_degree, blur=blur, width=7, height=6, scale=(0.2, 0.6))
    leaves = scene.leaves(torch.float64)
    names = [name for name in DIFFERENTIABLE if name in leaves]

    def images(*values):
        arguments = {**leaves, **dict(zip(names, values, strict=True))}
        render, alphas, _ = rasterization_reference(
            **arguments, width=7, height=6, render_mode=render_mode, rasterize_mode=rasterize_mode, **scene.options
        )
        return render, alphas

    assert torch.autograd.gradcheck(images, [leaves[name] for name in names], eps=1e-6, atol=1e-6, rtol=1e-5)


def test_absgrad_is_the_sum_over_pixels_of_magnitudes():
    scene = random_scene(5, n=12, n_cameras=2, width=9, height=7, scale=(0.1, 0.5))
    leaves = scene.leaves(torch.float64)
    render, _, info = rasterization_reference(**leaves, width=9, height=7, absgrad=True)
    weights = torch.randn(render.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = torch.zeros_like(info["means2d"])
    for per_pixel in (render * weights).sum(-1).flatten():
        expected += torch.autograd.grad(per_pixel, info["means2d"], retain_graph=True)[0].abs()
    (render * weights).sum().backward()
    torch.testing.assert_close(info["means2d"].absgrad, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_projection_equals_gsplats_torch_formulas(seed):
    tensors = random_scene(seed, n=300, n_cameras=3).tensors
    ours = project(RasterizeInputs(**tensors), RasterizeOptions(45, 37, rasterize_mode="antialiased"))
    covariances, _ = gsplat_torch._quat_scale_to_covar_preci(tensors["quats"], tensors["scales"], True, False)
    radii, means2d, depths, conics, compensations = gsplat_torch._fully_fused_projection(
        tensors["means"], covariances, tensors["viewmats"], tensors["Ks"], 45, 37, calc_compensations=True
    )
    assert torch.equal(ours.radii, radii)
    seen = radii > 0
    assert 0.3 < seen.double().mean() < 1.0
    for got, want in (
        (ours.means2d, means2d),
        (ours.depths, depths),
        (ours.conics, conics),
        (ours.opacity_factors, compensations),
    ):
        torch.testing.assert_close(got[seen], want[seen], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("degree", range(4))
def test_spherical_harmonics_equal_gsplats_torch_formulas(degree):
    g = torch.Generator().manual_seed(degree)
    directions = torch.randn(100, 3, dtype=torch.float64, generator=g)
    coefficients = torch.randn(100, 16, 3, dtype=torch.float64, generator=g)
    torch.testing.assert_close(
        spherical_harmonics(directions, coefficients, degree),
        gsplat_torch._spherical_harmonics(degree, directions, coefficients),
        rtol=1e-10,
        atol=1e-10,
    )


def test_quaternions_are_rotations_and_zero_is_the_identity():
    quats = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    quats[0] = 0
    R = rotation_matrices(quats)
    identity = torch.eye(3, dtype=torch.float64)
    assert torch.equal(R[0], identity)
    torch.testing.assert_close(R @ R.mT, identity.expand_as(R), rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(50, dtype=torch.float64))


def test_one_round_gaussian_is_the_formula():
    """40 px focal length, σ = 0.1 at depth 2: 2 px, plus eps2d."""
    scene = flat_scene([[0.0, 0.0, 2.0]], axes=(1.0, 1.0, 1.0), opacities=0.5)
    render, alphas, info = scene.render(rasterization_reference, torch.float64)
    variance_x, variance_y = 2.0**2 + 0.3, (2.0 * 1.03) ** 2 + 0.3
    cx, cy = 0.52 * 45, 0.47 * 37
    for row, column in ((17, 23), (15, 20), (20, 25)):
        exponent = (column + 0.5 - cx) ** 2 / variance_x + (row + 0.5 - cy) ** 2 / variance_y
        assert alphas[0, row, column, 0].item() == pytest.approx(0.5 * math.exp(-0.5 * exponent), rel=1e-6)
    torch.testing.assert_close(render, alphas * scene.tensors["colors"][0])
    assert info["radii"].item() == math.ceil(3 * math.sqrt(variance_y))
    assert alphas[0, 0, 0, 0] == 0  # far below 1/255


def test_a_pixel_ends_before_the_gaussian_that_would_exhaust_it():
    """Wide Gaussians of alpha 0.8: five leave 3.2e-4 of the light, the sixth would leave 6.4e-5."""
    n = 8
    scene = flat_scene([[0.0, 0.0, 2.0 + k] for k in range(n)], scales=1e4, opacities=0.8)
    _, alphas, _ = scene.render(rasterization_reference, torch.float64)
    torch.testing.assert_close(alphas, torch.full_like(alphas, 1 - 0.2**5), rtol=1e-6, atol=0)
    scene = scene.with_tensors(opacities=torch.full((n,), 1.0, dtype=torch.float64))
    _, alphas, _ = scene.render(rasterization_reference, torch.float64)
    torch.testing.assert_close(alphas, torch.full_like(alphas, 0.999), rtol=1e-6, atol=0)  # the clamp, once


def test_depth_modes_are_weighted_means_of_depth():
    scene = flat_scene([[0.0, 0.0, 2.0], [0.05, 0.0, 3.0]], scales=0.3)
    summed, alphas, _ = scene.with_options(render_mode="D").render(rasterization_reference, torch.float64)
    expected, _, _ = scene.with_options(render_mode="ED").render(rasterization_reference, torch.float64)
    both, _, _ = scene.with_options(render_mode="RGB+ED").render(rasterization_reference, torch.float64)
    covered = alphas > 0
    torch.testing.assert_close(expected[covered], (summed / alphas)[covered])
    assert expected[covered].min() >= 2 - 1e-9
    assert expected[covered].max() <= 3 + 1e-9
    assert torch.equal(both[..., 3:], expected)
