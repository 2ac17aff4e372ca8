"""The rasterizer on an NVIDIA card, through gsplat's kernels, against the reference. Needs the card and its compiler.

gsplat ends a splat at 3σ (1.4), the reference where its alpha falls under 1/255; opacities up to 0.35 make the first
lie outside the second. gsplat uses fast approximations of exp, hence looser tolerances than on the CPU.
"""

import pytest
import torch

from macro_splat.ops.rasterizer import rasterization, rasterization_reference
from tests.ops.rasterizer.splat_scenes import Scene, assert_agree, loss_weights, outputs_and_gradients, random_scene

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


def on_cuda(**arguments):
    moved = {k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in arguments.items()}
    render, alphas, info = rasterization(**moved)
    return render.cpu(), alphas.cpu(), info


def scene_of(seed: int, **options) -> Scene:
    scene = random_scene(seed, n_cameras=2, opacity=(0.05, 0.35), **options)
    return scene.with_tensors(means=scene.tensors["means"].clamp(-0.8, 0.8))


@pytest.mark.parametrize("blur", [False, True])
@pytest.mark.parametrize("rasterize_mode", ["classic", "antialiased"])
@pytest.mark.parametrize(
    ("render_mode", "sh_degree"), [("RGB", None), ("RGB", 3), ("D", None), ("ED", 1), ("RGB+D", 2), ("RGB+ED", 3)]
)
def test_images_and_gradients(render_mode, sh_degree, rasterize_mode, blur):
    scene = scene_of(1, sh_degree=sh_degree, blur=blur)
    scene = scene.with_options(render_mode=render_mode, rasterize_mode=rasterize_mode)
    weights = loss_weights(scene, rasterization_reference)
    want = outputs_and_gradients(rasterization_reference, scene, torch.float64, weights)
    got = outputs_and_gradients(on_cuda, scene, torch.float32, weights)
    assert_agree({k: v.cpu() for k, v in got.items()}, want, 2e-3)


def test_a_blur_of_zero_is_gsplats_own_rasterization():
    import gsplat

    scene = scene_of(2, sh_degree=2)
    arguments = {k: v.float().cuda() for k, v in scene.tensors.items()} | {"width": 45, "height": 37, "sh_degree": 2}
    want, want_alphas, want_info = gsplat.rasterization(**arguments, packed=False, render_mode="RGB+ED")
    for blur in (None, torch.zeros(2, 80, device="cuda")):
        got, alphas, info = rasterization(**arguments, render_mode="RGB+ED", blur_variance=blur)
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alphas, want_alphas, rtol=1e-4, atol=1e-5)
        assert info["radii"].shape == want_info["radii"].shape


def test_the_processor_and_the_card_agree():
    scene = scene_of(3, sh_degree=3, blur=True).with_options(render_mode="RGB+ED")
    weights = loss_weights(scene, rasterization_reference)
    on_cpu = outputs_and_gradients(rasterization, scene, torch.float32, weights)
    got = outputs_and_gradients(on_cuda, scene, torch.float32, weights)
    assert_agree({k: v.cpu() for k, v in got.items()}, on_cpu, 2e-3)


def test_the_installed_gsplats_densification_takes_our_info():
    from gsplat.strategy import DefaultStrategy

    scene = scene_of(4, blur=True)
    leaves = {k: v.detach().float().cuda().requires_grad_(k != "Ks") for k, v in scene.tensors.items()}
    params = {k: leaves[k] for k in ("means", "quats", "scales", "opacities")}
    optimizers = {k: torch.optim.Adam([v]) for k, v in params.items()}
    strategy = DefaultStrategy(absgrad=True)
    state = strategy.initialize_state()
    render, _, info = rasterization(**leaves, width=45, height=37, absgrad=True)
    strategy.step_pre_backward(params, optimizers, state, 1, info)
    render.sum().backward()
    strategy.step_post_backward(params, optimizers, state, 1, info, packed=False)
    assert state["grad2d"].isfinite().all()
    assert (state["grad2d"] > 0).any()
