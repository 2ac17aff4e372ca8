"""The budget of the densification, with gradients set by hand."""

import pytest
import torch

from macro_splat.training.densify import BudgetStrategy

COUNT = 40


def grow(gradients: torch.Tensor, max_gaussians: int, threshold: float = 0.1) -> torch.Tensor:
    """Means after one round; each Gaussian's mean is its number in x, and all are small, so that they are doubled."""
    means = torch.zeros(COUNT, 3)
    means[:, 0] = torch.arange(COUNT)
    values = {
        "means": means,
        "scales": torch.full((COUNT, 3), -8.0),
        "quats": torch.tensor([[1.0, 0, 0, 0]]).repeat(COUNT, 1),
        "opacities": torch.zeros(COUNT),
    }
    params = torch.nn.ParameterDict({k: torch.nn.Parameter(v) for k, v in values.items()})
    optimizers = {k: torch.optim.Adam([v]) for k, v in params.items()}
    strategy = BudgetStrategy(max_gaussians=max_gaussians, grow_grad2d=threshold)
    state = strategy.initialize_state(scene_scale=1.0)
    state["grad2d"], state["count"] = 2 * gradients, torch.full((COUNT,), 2.0)
    strategy._grow_gs(params, optimizers, state, step=1000)
    assert strategy.grow_grad2d == threshold
    return params["means"].detach()[COUNT:, 0].sort().values


GRADIENTS = torch.linspace(1.0, 0.0, COUNT)


def test_without_a_limit_all_above_the_threshold_are_doubled() -> None:
    expected = torch.arange(COUNT)[GRADIENTS > 0.1].float()
    assert torch.equal(grow(GRADIENTS, 10_000), expected)


@pytest.mark.parametrize("room", [1, 7, 30])
def test_within_the_budget_the_largest_gradients_come_first(room: int) -> None:
    assert torch.equal(grow(GRADIENTS, COUNT + room), torch.arange(room).float())


@pytest.mark.parametrize("limit", [COUNT, COUNT - 10])
def test_no_room(limit: int) -> None:
    assert len(grow(GRADIENTS, limit)) == 0


def test_the_limit_holds_with_equal_gradients() -> None:
    assert len(grow(torch.ones(COUNT), COUNT + 5)) <= 5
