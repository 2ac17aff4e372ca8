"""The processor's kernels against the float64 reference: the images and every gradient.

Scenes are random balls of splats, sharp and blurred, partly outside the image, whose size is not a multiple of the
tile. Pixels within rounding of a step of the rasterizer are left out of the loss (see `splat_scenes`). Tolerances are
relative to the largest magnitude of each tensor: float32 has 6e-8 per operation, and some dozens of operations and
up to a thousand summands lie between a parameter and the loss.
"""

import itertools

import pytest
import torch
from gsplat.strategy import DefaultStrategy

from macro_splat.ops.rasterizer import rasterization, rasterization_reference
from tests.ops.rasterizer.splat_scenes import (
    Scene,
    assert_agree,
    flat_scene,
    loss_weights,
    outputs_and_gradients,
    random_scene,
)

TOLERANCE = 2e-5
# Expected depth divides by alpha, down to 1/255, where float32's 1 − T has lost two digits.
EXPECTED_DEPTH_TOLERANCE = 1e-4
COLOURS = [{"sh_degree": d} for d in range(4)] + [{}, {"colors_per_camera": True}, {"channels": 7}]
RENDER_MODES = ["RGB", "D", "ED", "RGB+D", "RGB+ED"]


def check(scene: Scene, tolerance: float = TOLERANCE, least_steady: float = 0.98) -> dict[str, torch.Tensor]:
    weights = loss_weights(scene, rasterization_reference, least_steady)
    want = outputs_and_gradients(rasterization_reference, scene, torch.float64, weights)
    got = outputs_and_gradients(rasterization, scene, torch.float32, weights)
    assert_agree(got, want, tolerance)
    return got


@pytest.mark.slow
@pytest.mark.parametrize("blur", [False, True], ids=["sharp", "blurred"])
@pytest.mark.parametrize("rasterize_mode", ["classic", "antialiased"])
@pytest.mark.parametrize("render_mode", RENDER_MODES)
@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: "-".join(f"{k}={v}" for k, v in c.items()) or "plain")
def test_random_scenes(colour, render_mode, rasterize_mode, blur):
    cases = itertools.product(range(len(COLOURS)), RENDER_MODES, ["classic", "antialiased"], [False, True])
    seed = list(cases).index((COLOURS.index(colour), render_mode, rasterize_mode, blur))
    scene = random_scene(seed, n_cameras=1 + seed % 3, blur=blur, background=seed % 4 != 0, **colour)
    tolerance = EXPECTED_DEPTH_TOLERANCE if "ED" in render_mode else TOLERANCE
    check(scene.with_options(render_mode=render_mode, rasterize_mode=rasterize_mode), tolerance)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (17, 15), (3, 50), (64, 8), (33, 32)])
def test_image_sizes(width, height):
    check(random_scene(width + height, n_cameras=2, sh_degree=1, width=width, height=height, blur=True))


@pytest.mark.parametrize(
    "options",
    [
        {"near_plane": 2.8},
        {"far_plane": 3.1},
        {"radius_clip": 5.0},
        {"eps2d": 0.0},
        {"eps2d": 2.0, "rasterize_mode": "antialiased"},
    ],
)
def test_options(options):
    check(random_scene(11, n_cameras=2, blur="radius_clip" in options).with_options(**options))


def test_at_the_image_borders():
    """Centres on, just inside and just outside every border and corner; the image is 45 x 37 at 40 px focal length."""
    z = 2.0
    xs, ys = (-24.0, -23.4, 0.0, 21.6, 40.0), (-18.0, -17.4, 0.0, 19.6, 35.0)
    means = [[x * z / 40, y * z / 41.2, z + 0.01 * k] for k, (x, y) in enumerate(itertools.product(xs, ys))]
    check(flat_scene(means, scales=0.25))
    check(flat_scene(means, scales=0.25).with_tensors(blur_variance=torch.full((1, 25), 9.0, dtype=torch.float64)))


def test_outside_the_margin_where_the_projection_is_linearised():
    """Large splats centred far outside the image, where the Jacobian is that of the margin."""
    means = [[x, y, 1.0 + 0.1 * k] for k, (x, y) in enumerate(itertools.product((-1.6, 0.1, 1.5), (-1.4, 0.2, 1.3)))]
    check(flat_scene(means, scales=0.6))


def test_behind_the_camera_and_across_the_near_plane():
    depths = [-5.0, -1.0, -0.02, 0.005, 0.011, 0.02, 0.2, 1.0]
    scene = flat_scene([[0.001 * k, -0.002 * k, z] for k, z in enumerate(depths)], scales=0.05)
    got = check(scene)
    assert (got["d means"][:4] == 0).all()
    assert (got["d means"][6:] != 0).all()


def test_one_gaussian():
    check(flat_scene([[0.1, -0.1, 2.0]]).with_options(render_mode="RGB+D"))


@pytest.mark.parametrize("render_mode", RENDER_MODES)
def test_no_gaussian_leaves_the_background(render_mode):
    scene = random_scene(0, n=0, n_cameras=2, blur=True).with_options(render_mode=render_mode)
    leaves = scene.leaves(torch.float32)
    render, alphas, info = rasterization(
        **leaves, width=scene.width, height=scene.height, absgrad=True, **scene.options
    )
    assert render.shape == (2, 37, 45, {"RGB": 3, "D": 1, "ED": 1}.get(render_mode, 4))
    assert (alphas == 0).all()
    assert info["means2d"].shape == (2, 0, 2)
    assert info["radii"].shape == (2, 0)
    if "RGB" in render_mode:
        colours = scene.tensors["backgrounds"].float()[:, None, None]
        assert torch.equal(render[..., :3], colours.expand(2, 37, 45, 3))
        (render.sum() + alphas.sum()).backward()
        assert torch.equal(leaves["backgrounds"].grad, torch.full((2, 3), 37.0 * 45.0))
    assert (render[..., 3:] == 0).all()


def test_nothing_in_view_has_zero_gradients():
    scene = flat_scene([[0.0, 0.0, -2.0], [100.0, 0.0, 1.0]])
    leaves = scene.leaves(torch.float32)
    render, alphas, info = rasterization(**leaves, width=scene.width, height=scene.height)
    assert (info["radii"] == 0).all()
    assert (render == 0).all()
    (render.sum() + alphas.sum()).backward()
    for name in ("means", "quats", "scales", "opacities", "colors", "viewmats"):
        assert (leaves[name].grad == 0).all(), name


@pytest.mark.slow
def test_far_more_intersections_than_gaussians():
    """Every splat covers every pixel of 30 tiles: 4,800 tile entries of 160 splats. Faint, so that no pixel ends."""
    scene = random_scene(4, n=160, width=96, height=80, scale=(2.0, 5.0), opacity=(0.01, 0.03))
    got = check(scene, 1e-4)
    assert (got["alphas"] != 0).double().mean() > 0.95


def test_deep_and_opaque():
    """Two thousand splats over one small image: almost every pixel ends early."""
    # With some hundred splats over each pixel, many more pixels lie near one of the steps.
    check(random_scene(6, n=2000, width=33, height=20, opacity=(0.3, 0.99)), 1e-4, least_steady=0.8)


def test_needles_and_pancakes():
    """Axes of very unequal length, some of them far below a pixel."""
    scene = random_scene(8, sh_degree=0, blur=True)
    scales = scene.tensors["scales"].clone()
    scales[::3, 0] = 1e-5
    scales[1::3, :2] = 1e-4
    check(scene.with_tensors(scales=scales))
    check(scene.with_tensors(scales=scales).with_options(rasterize_mode="antialiased"), 1e-4)


def test_quaternions_need_no_normalisation():
    scene = random_scene(9)
    quats = scene.tensors["quats"] * torch.logspace(-2, 2, 80, base=2.0).round()[:, None].clamp_min(0.25).double()
    check(scene.with_tensors(quats=quats))


def test_arguments_need_not_be_contiguous():
    scene = random_scene(10, n_cameras=2, sh_degree=2, blur=True)
    plain = scene.render(rasterization)

    def spread(tensor):
        wide = torch.zeros(*tensor.shape[:-1], 2 * tensor.shape[-1])
        wide[..., ::2] = tensor
        return wide[..., ::2]

    def with_spread_arguments(**arguments):
        strided = {k: spread(v) if isinstance(v, torch.Tensor) else v for k, v in arguments.items()}
        assert not strided["means"].is_contiguous()
        return rasterization(**strided)

    for got, want in zip(scene.render(with_spread_arguments)[:2], plain[:2], strict=True):
        assert torch.equal(got, want)


def test_gradient_of_one_output_only():
    """Autograd hands None or zeros for an output that the loss does not use; both must work."""
    scene = random_scene(12, blur=True)
    for which in (0, 1):
        leaves, exact = scene.leaves(torch.float32), scene.leaves(torch.float64)
        rasterization(**leaves, width=45, height=37)[which].mean().backward()
        rasterization_reference(**exact, width=45, height=37)[which].mean().backward()
        for name in ("means", "opacities", "blur_variance"):
            error = (leaves[name].grad - exact[name].grad).abs().max() / exact[name].grad.abs().max()
            assert error < 1e-3, (which, name)  # all pixels count here, those near a step as well


@pytest.mark.parametrize("frozen", ["means", "quats", "scales", "opacities", "colors", "viewmats", "blur_variance"])
def test_frozen_arguments_change_no_other_gradient(frozen):
    scene = random_scene(13, n_cameras=2, sh_degree=1, blur=True)
    found = []
    for freeze in (False, True):
        leaves = scene.leaves(torch.float32)
        leaves[frozen].requires_grad_(not freeze)
        render, alphas, _ = rasterization(**leaves, width=45, height=37, sh_degree=1)
        (render.square().sum() + alphas.sum()).backward()
        assert (leaves[frozen].grad is None) == freeze
        found.append({k: v.grad for k, v in leaves.items() if k not in (frozen, "Ks")})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=0, atol=0)


def test_info_serves_the_densification():
    scene = random_scene(14, n_cameras=2)
    render, alphas, info = rasterization(**scene.leaves(torch.float32), width=45, height=37)
    _, _, want = rasterization_reference(**scene.leaves(torch.float64), width=45, height=37)
    assert (info["width"], info["height"], info["n_cameras"], info["tile_size"]) == (45, 37, 2, 16)
    assert info["gaussian_ids"] is None
    assert info["camera_ids"] is None
    assert info["radii"].dtype == torch.int32
    assert torch.equal(info["radii"], want["radii"])
    seen = want["radii"] > 0
    for key in ("means2d", "depths", "conics", "opacities"):
        torch.testing.assert_close(info[key][seen].double(), want[key][seen], rtol=1e-4, atol=1e-4)
    info["means2d"].retain_grad()
    (render.sum() + alphas.sum()).backward()
    assert info["means2d"].grad.shape == (2, 80, 2)
    assert not hasattr(info["means2d"], "absgrad")


@pytest.mark.parametrize("absgrad", [False, True])
def test_gsplats_densification_runs_on_the_info(absgrad):
    """The strategy's running mean of screen gradients, as it computes it from info, equals the reference's."""
    scene = random_scene(15, n_cameras=2)
    weights = loss_weights(scene, rasterization_reference)
    found = []
    for function, dtype in ((rasterization, torch.float32), (rasterization_reference, torch.float64)):
        leaves = scene.leaves(dtype)
        params = {k: leaves[k] for k in ("means", "quats", "scales", "opacities")}
        optimizers = {k: torch.optim.Adam([v]) for k, v in params.items()}
        strategy = DefaultStrategy(absgrad=absgrad)
        state = strategy.initialize_state()
        render, alphas, info = function(**leaves, width=45, height=37, absgrad=absgrad)
        strategy.step_pre_backward(params, optimizers, state, 1, info)
        ((render * weights[0].to(dtype)).sum() + (alphas * weights[1].to(dtype)).sum()).backward()
        # The strategy adds up in float32; only these entries are read after the backward pass.
        means2d = torch.zeros_like(info["means2d"], dtype=torch.float32)
        means2d.grad = info["means2d"].grad.float()
        if absgrad:
            means2d.absgrad = info["means2d"].absgrad.float()
        strategy.step_post_backward(params, optimizers, state, 1, {**info, "means2d": means2d}, packed=False)
        found.append(state)
    assert torch.equal(found[0]["count"], found[1]["count"])
    assert found[0]["grad2d"].max() > 0
    error = (found[0]["grad2d"] - found[1]["grad2d"]).abs().max()
    assert error <= TOLERANCE * found[1]["grad2d"].max()
