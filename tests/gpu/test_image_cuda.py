"""The image operator on an NVIDIA card, in torch's functions, against the kernels of the CPU."""

import pytest
import torch

from macro_splat.defocus.image_blur import defocus_picture

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


def step_scene(height: int = 60, width: int = 90) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A surface before another and nothing beside them, each with a radius that grows across it."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(height, width, 3, generator=generator)
    circle = torch.linspace(2.0, 6.0, width).repeat(height, 1)
    circle[:, 30:50] = -3.0
    alpha = torch.ones(height, width)
    alpha[:, 75:] = 0.0
    return picture, circle[..., None], alpha[..., None]


def blurred(device: str, depth_edges: bool) -> list[torch.Tensor]:
    picture, circle, alpha = (tensor.to(device) for tensor in step_scene())
    picture.requires_grad_()
    circle.requires_grad_()
    result = defocus_picture(picture, circle, alpha, depth_edges=depth_edges)
    weights = torch.linspace(0.5, 1.5, result.numel(), device=device).reshape(result.shape)
    (result * weights).sum().backward()
    assert picture.grad is not None
    assert circle.grad is not None
    return [tensor.detach().cpu() for tensor in (result, picture.grad, circle.grad)]


@pytest.mark.parametrize("depth_edges", [False, True])
def test_picture_and_gradients(depth_edges: bool) -> None:
    pytest.importorskip("numba", reason="the kernels of the CPU need numba")
    for got, want in zip(blurred("cuda", depth_edges), blurred("cpu", depth_edges), strict=True):
        assert (got - want).norm() < 2e-3 * want.norm()
