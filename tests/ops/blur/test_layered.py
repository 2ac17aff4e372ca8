"""The fused layered blur against the same one layer after the other, in float64, with and without edges.

The scene has every kind of pixel: one surface, edges of either layer and of none, soft shares, places at which the
back layer cannot be seen, discs of no size, of a fraction of a pixel and larger than the image.
"""

import pytest
import torch

from macro_splat.ops.blur.layered import Layers, _layered_blur_by_parts, layered_blur
from macro_splat.simd import set_num_threads

HEIGHT, WIDTH = 37, 53


def scene(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, Layers]:
    generator = torch.Generator().manual_seed(seed)

    def noise(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=generator)

    radius = 6 * noise(HEIGHT, WIDTH)
    radius[:5] = 0.0
    radius[5:9] = 20.0
    radius[9:12] *= 0.1
    radius[20, 20] = 100.0
    own = torch.where(noise(HEIGHT, WIDTH) < 0.5, 1.0, noise(HEIGHT, WIDTH))
    edge = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    edge[8:30, 10:45] = True
    share = torch.zeros(HEIGHT, WIDTH)
    share[:, 25:] = 1.0  # most discs of the right part see nothing of the back layer
    share[:, 23:27] = noise(HEIGHT, 4)
    share = share * edge
    in_front = share > 0.5
    behind = ~in_front & (noise(HEIGHT, WIDTH) < 0.8)
    layers = Layers(edge, share, in_front, behind, 5 * noise(HEIGHT, WIDTH), 3 * noise(HEIGHT, WIDTH))
    return noise(HEIGHT, WIDTH, 3), radius, own, 4 * noise(HEIGHT, WIDTH), layers


def in_double(layers: Layers | None) -> Layers | None:
    if layers is None:
        return None
    return Layers(*(t.double() if t.is_floating_point() else t for t in vars(layers).values()))


@pytest.mark.slow
@pytest.mark.parametrize("with_edges", [True, False])
def test_fused_against_float64(with_edges: bool) -> None:
    light, radius, own, carried, every = scene()
    layers = every if with_edges else None
    upstream = torch.rand_like(light) - 0.3
    upstream[:, :3] = 0.0
    x, r = light.requires_grad_(), radius.requires_grad_()
    blurred = layered_blur(x, r, own, carried, layers)
    blurred.backward(upstream)
    x64, r64 = (t.detach().double().requires_grad_() for t in (light, radius))
    expected = _layered_blur_by_parts(x64, r64, own.double(), carried.double(), in_double(layers))
    expected.backward(upstream.double())
    assert x.grad is not None
    assert r.grad is not None
    assert x64.grad is not None
    assert r64.grad is not None
    assert (blurred - expected).abs().max() < 1e-3  # the table of half-widths
    assert (x.grad - x64.grad).abs().max() < 1e-3 * x64.grad.abs().max()
    # The slope by the radius jumps where the disc's border enters a pixel; the table is a step off at most.
    assert (r.grad - r64.grad).abs().median() < 1e-4 * r64.grad.abs().max()
    assert (r.grad - r64.grad).abs().quantile(0.99) < 5e-3 * r64.grad.abs().max()


def test_the_scene_has_every_kind_of_pixel() -> None:
    light, radius, own, carried, layers = scene()
    split = layered_blur(light, radius, own, carried, layers)
    whole = layered_blur(light, radius, own, carried, None)
    two = (split - whole).abs().amax(dim=-1) > 1e-6
    assert not two[~layers.edge].any()
    assert 0.2 < two[layers.edge].float().mean() < 0.9
    for kind in (layers.in_front, layers.behind, ~layers.in_front & ~layers.behind):
        assert two[kind].any()


def test_two_layers_of_one_surface_are_one() -> None:
    light, _, own, _, layers = scene()
    radius = torch.full((HEIGHT, WIDTH), 3.3)
    layers.front_radius[:] = layers.back_radius[:] = 3.3
    plain = torch.full_like(light, 0.4)
    assert torch.allclose(layered_blur(plain, radius, own, radius, layers), plain, atol=1e-5)


def test_any_number_of_threads_gives_the_same() -> None:
    light, radius, own, carried, layers = scene()
    results = []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            x, r = light.clone().requires_grad_(), radius.clone().requires_grad_()
            blurred = layered_blur(x, r, own, carried, layers)
            blurred.square().sum().backward()
            results.append((blurred, x.grad, r.grad))
    finally:
        set_num_threads(None)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_radii_that_are_no_numbers_do_no_harm() -> None:
    light, radius, own, carried, layers = scene()
    radius[3, 4], radius[12, 30], carried[20, 21] = torch.nan, torch.inf, torch.inf
    x, r = light.requires_grad_(), radius.requires_grad_()
    blurred = layered_blur(x, r, own, carried, layers)
    blurred.sum().backward()
    assert torch.isfinite(blurred).all()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
