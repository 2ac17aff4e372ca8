"""Fused Adam: torch's plain Adam to the last digits, also after densification has rewritten its state."""

from __future__ import annotations

import pytest
import torch
from gsplat.strategy.ops import duplicate, remove, reset_opa
from torch.nn import Parameter, ParameterDict

from macro_splat.method import macro_splat
from macro_splat.training.optimizers import FusedAdamConfig

SHAPES = {"means": (200, 3), "features_rest": (200, 15, 3), "opacities": (200, 1)}


def parameters(seed: int = 0) -> ParameterDict:
    generator = torch.Generator().manual_seed(seed)
    return ParameterDict({name: Parameter(torch.randn(shape, generator=generator)) for name, shape in SHAPES.items()})


def plain(params: ParameterDict, **options) -> dict[str, torch.optim.Optimizer]:
    """The reference: torch's loop over single tensors."""
    return {name: torch.optim.Adam([p], foreach=False, fused=False, **options) for name, p in params.items()}


def fused(params: ParameterDict, **options) -> dict[str, torch.optim.Optimizer]:
    return {name: FusedAdamConfig(**options).setup([p]) for name, p in params.items()}


def steps(params: ParameterDict, optimizers: dict[str, torch.optim.Optimizer], count: int, seed: int) -> None:
    """Steps along the same gradients for the same seed, of very different sizes, some of them zero."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        for name, p in params.items():
            size = 10.0 ** (10 * torch.rand(p.shape, generator=generator) - 8)
            some = torch.rand(p.shape, generator=generator) > 0.3
            p.grad = size * some * torch.randn(p.shape, generator=generator)
            optimizers[name].step()


def assert_same(one: ParameterDict, two: ParameterDict) -> None:
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{"lr": 0.02, "eps": 1e-15}, {"lr": 1e-3, "eps": 1e-8, "betas": (0.8, 0.99), "weight_decay": 0.1}]
)
def test_equals_plain_adam(options: dict) -> None:
    one, two = parameters(), parameters()
    optimizers = plain(one, **options), fused(two, **options)
    for params, group in zip((one, two), optimizers, strict=True):
        steps(params, group, 12, seed=1)
    assert (one["means"] - parameters()["means"]).abs().max() > 5 * options["lr"]
    assert_same(one, two)


def test_equals_plain_adam_through_densification() -> None:
    one, two = parameters(), parameters()
    options = {"lr": 0.02, "eps": 1e-15}
    for params, group in ((one, plain(one, **options)), (two, fused(two, **options))):
        steps(params, group, 5, seed=1)
        chosen = torch.arange(200) % 7 == 0
        duplicate(params, group, {}, chosen)
        steps(params, group, 5, seed=2)
        remove(params, group, {}, torch.arange(229) % 5 == 0)
        steps(params, group, 5, seed=3)
        reset_opa(params, group, {}, value=0.1)
        steps(params, group, 5, seed=4)
    assert one["means"].shape == two["means"].shape == (183, 3)
    assert_same(one, two)


def test_the_first_step_has_the_length_of_the_learning_rate() -> None:
    # Kingma & Ba 2015: with the corrected moments, g / √(g²) = ±1 for any g.
    parameter = Parameter(torch.zeros(4))
    optimizer = FusedAdamConfig(lr=0.3, eps=1e-15).setup([parameter])
    parameter.grad = torch.tensor([1e-6, -3.0, 500.0, 0.0])
    optimizer.step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([-0.3, 0.3, -0.3, 0.0]))


def test_every_group_of_the_method_is_fused() -> None:
    for name, group in macro_splat.config.optimizers.items():
        optimizer = group["optimizer"].setup([Parameter(torch.zeros(2))])
        assert optimizer.defaults["fused"] is True, name
        assert optimizer.defaults["lr"] == group["optimizer"].lr > 0
