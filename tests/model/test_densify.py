"""The budget of the densification, with gradients set by hand."""

import pytest
import torch

from macro_splat.model.densify import BudgetStrategy

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
    strategy = BudgetStrategy(max_gaussians=max_gaussians, grow_grad2d=threshold, refine_stop_iter=1000)
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


def test_the_budget_grows_evenly_from_round_to_round() -> None:
    strategy = BudgetStrategy(max_gaussians=1000, refine_start_iter=500, refine_stop_iter=1500, refine_every=100)
    assert [strategy.budget(step, 200) for step in (300, 500, 600, 1000, 1400, 2000)] == [
        200,
        280,
        360,
        680,
        1000,
        1000,
    ]


def test_rounds_before_the_last_leave_room_for_those_after() -> None:
    means = grow(GRADIENTS, COUNT + 30)
    early = BudgetStrategy(max_gaussians=COUNT + 30, refine_start_iter=1000, refine_stop_iter=2000, refine_every=100)
    assert len(means) == 30
    assert early.budget(1000, COUNT) == COUNT + 3


@pytest.mark.parametrize(("step", "expected"), [(0, 0.5), (1, 0.5), (10, 0.01)])
def test_opacities_are_not_reset_before_they_have_learnt(step: int, expected: float) -> None:
    params = torch.nn.ParameterDict(
        {"opacities": torch.nn.Parameter(torch.zeros(COUNT)), "means": torch.zeros(COUNT, 3)}
    )
    optimizers = {"opacities": torch.optim.Adam([params["opacities"]])}
    strategy = BudgetStrategy(reset_every=10)
    screen = torch.zeros(1, COUNT, 2, requires_grad=True)
    screen.sum().backward()
    info = {
        "means2d": screen,
        "width": 8,
        "height": 6,
        "n_cameras": 1,
        "radii": torch.ones(1, COUNT),
        "gaussian_ids": None,
    }
    state = strategy.initialize_state()
    strategy.step_post_backward(params, optimizers, state, step, info)
    assert torch.allclose(torch.sigmoid(params["opacities"]), torch.tensor(expected))
    assert float(state["count"].sum()) == COUNT
