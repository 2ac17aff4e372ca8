"""Splats that no formula likes: the images and all gradients stay finite, and the healthy neighbours unharmed."""

import pytest
import torch

from macro_splat.ops.rasterizer import rasterization
from tests.ops.rasterizer.splat_scenes import random_scene

N = 40
SICK = slice(0, 8)
AILMENTS = {
    "zero scale": ("scales", 0.0),
    "tiny scale": ("scales", 1e-20),
    "huge scale": ("scales", 1e8),
    "zero quaternion": ("quats", 0.0),
    "tiny quaternion": ("quats", 1e-22),
    "opacity 0": ("opacities", 0.0),
    "opacity 1": ("opacities", 1.0),
    "far away": ("means", 1e12),
    "no blur": ("blur_variance", 0.0),
    "huge blur": ("blur_variance", 1e9),
}


def render_and_back(scene, **options):
    leaves = scene.leaves(torch.float32)
    render, alphas, info = rasterization(
        **leaves, width=scene.width, height=scene.height, absgrad=True, **scene.options, **options
    )
    (render.square().sum() + alphas.sum()).backward()
    return render, alphas, info, {k: v.grad for k, v in leaves.items() if v.grad is not None}


@pytest.mark.parametrize("rasterize_mode", ["classic", "antialiased"])
@pytest.mark.parametrize("eps2d", [0.3, 0.0])
@pytest.mark.parametrize("ailment", AILMENTS)
def test_everything_stays_finite(ailment, eps2d, rasterize_mode):
    scene = random_scene(1, n=N, n_cameras=2, sh_degree=1, blur=True)
    name, value = AILMENTS[ailment]
    sick = scene.tensors[name].clone()
    sick[(slice(None), SICK) if name == "blur_variance" else SICK] = value
    options = {"eps2d": eps2d, "rasterize_mode": rasterize_mode, "render_mode": "RGB+ED"}
    render, alphas, info, gradients = render_and_back(scene.with_tensors(**{name: sick}), **options)
    assert render.isfinite().all()
    assert alphas.isfinite().all()
    assert ((alphas >= 0) & (alphas <= 1)).all()
    assert info["means2d"].absgrad.isfinite().all()
    for key, gradient in gradients.items():
        assert gradient.isfinite().all(), key
    assert (gradients["means"][SICK.stop :].abs().sum(-1) > 0).any()


def test_a_gaussian_at_the_camera_itself():
    scene = random_scene(2, n=N, sh_degree=3)
    means = scene.tensors["means"].clone()
    means[0] = torch.linalg.inv(scene.tensors["viewmats"])[0, :3, 3]
    render, _, info, gradients = render_and_back(scene.with_tensors(means=means))
    assert info["radii"][0, 0] == 0
    assert render.isfinite().all()
    for key, gradient in gradients.items():
        assert gradient.isfinite().all(), key


def test_sick_splats_leave_the_others_alone():
    """Invisible splats (opacity 0, behind the camera, without extent or eps2d) change no pixel."""
    scene = random_scene(3, n=N).with_options(eps2d=0.0)
    healthy = scene.with_tensors(
        **{k: scene.tensors[k][8:] for k in ("means", "quats", "scales", "opacities", "colors")}
    )
    opacities, scales, means = (scene.tensors[k].clone() for k in ("opacities", "scales", "means"))
    opacities[:3] = 0.0
    scales[3:6] = 0.0
    means[6:8] = 2 * torch.linalg.inv(scene.tensors["viewmats"])[0, :3, 3]
    sick = scene.with_tensors(opacities=opacities, scales=scales, means=means)
    assert torch.equal(render_and_back(sick)[0], render_and_back(healthy)[0])


def test_identical_splats_keep_their_order():
    """At equal depth the first comes first, as in gsplat: its colour is on top."""
    scene = random_scene(4, n=2)
    both = {
        k: scene.tensors[k][:1].repeat(2, *[1] * (scene.tensors[k].dim() - 1)) for k in ("means", "quats", "scales")
    }
    both["means"] = torch.zeros(2, 3, dtype=torch.float64)
    both["opacities"] = torch.tensor([0.9, 0.9], dtype=torch.float64)
    both["colors"] = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    both["backgrounds"] = torch.zeros(1, 3, dtype=torch.float64)
    render, alphas, _ = scene.with_tensors(**both).render(rasterization)
    strongest = alphas.flatten().argmax()
    assert render[..., 0].flatten()[strongest] > 5 * render[..., 1].flatten()[strongest]
