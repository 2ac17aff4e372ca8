"""A gradient that is no finite number is left out, counted and told, and nothing else notices it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from macro_splat.training.finite_gradients import LeftOut, report_left_out, zero_nonfinite_rows
from macro_splat.training.record import write_record
from macro_splat.training.trainer import MacroSplatTrainer
from tests.captures import write_capture
from tests.model.trainers import build_trainer, do_step

BAD = (float("nan"), float("inf"), float("-inf"), 1e30)


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_capture(tmp_path_factory.mktemp("ball"), views=4, test_views=0, width=32, height=24, points=200)


def inject(trainer: MacroSplatTrainer, value: float, rows: Callable[[Tensor], Tensor]) -> list[int]:
    """Put a value into these rows of the gradients of the Gaussians and of the lens; how many each time."""
    counts = []

    def hook(gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        gradient[rows(gradient)] = value
        counts.append(int(rows(gradient).sum()))
        return gradient

    model = trainer.pipeline.model
    for parameter in [*model.gauss_params.values(), model.lens.focus_offset_px]:
        parameter.register_hook(hook)
    return counts


def parameters(trainer: MacroSplatTrainer) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in trainer.pipeline.model.named_parameters()}


def every_third(gradient: Tensor) -> Tensor:
    return torch.arange(len(gradient)) % 3 == 0


@pytest.mark.slow
@pytest.mark.parametrize("value", BAD)
def test_bad_gradients_train_like_zeros_in_their_place(ball: Path, tmp_path: Path, value: float) -> None:
    """So the rows beside them learn as ever, and no moment of Adam is spoilt."""
    trainers = [build_trainer(ball, tmp_path, mode="image") for _ in range(2)]
    injected = inject(trainers[0], value, every_third)
    inject(trainers[1], 0.0, every_third)
    for trainer in trainers:
        torch.manual_seed(1)
        for step in range(5):
            do_step(trainer, step)
    results = [parameters(trainer) for trainer in trainers]
    for name, result in results[0].items():
        assert result.isfinite().all(), name
        assert torch.equal(result, results[1][name]), name
    assert trainers[0].optimizers.left_out.steps == 5
    assert trainers[0].optimizers.left_out.rows == sum(injected) > 5000
    assert trainers[1].optimizers.left_out == LeftOut()


@pytest.mark.slow
def test_a_training_recovers_from_a_step_whose_loss_is_nan(ball: Path, tmp_path: Path) -> None:
    trainer = build_trainer(ball, tmp_path, mode="image")
    model = trainer.pipeline.model
    losses = [do_step(trainer, step) for step in range(3)]
    means = model.means.detach().clone()
    get_loss_dict = model.get_loss_dict
    model.get_loss_dict = lambda *a, **k: {n: loss * torch.nan for n, loss in get_loss_dict(*a, **k).items()}
    assert do_step(trainer, 3) != do_step(trainer, 3), "no NaN was injected"
    model.get_loss_dict = get_loss_dict
    losses += [do_step(trainer, step) for step in range(4, 24)]
    assert all(value.isfinite().all() for value in parameters(trainer).values())
    assert not torch.equal(model.means, means)
    assert sum(losses[-4:]) < sum(losses[:4])
    assert trainer.optimizers.left_out.steps == 2


def test_the_growth_of_gaussians_does_not_stop(ball: Path, tmp_path: Path) -> None:
    """A NaN on screen would stay in the sums from which the Gaussians to be split are chosen."""
    trainer = build_trainer(ball, tmp_path, refine_every=4, warmup_length=2, stop_split_at=100, max_gaussians=900)
    model, strategy = trainer.pipeline.model, trainer.pipeline.model.strategy
    update = strategy._update_state

    def spoil(params, state, info, packed=False):
        screen = info[strategy.key_for_gradient]
        (screen.absgrad if strategy.absgrad else screen.grad)[:, ::2] = torch.nan
        update(params, state, info, packed)

    # What the strategy takes over is spoilt before its own method sees it.
    strategy._update_state = spoil
    before = model.num_points
    for step in range(9):
        do_step(trainer, step)
    assert model.num_points > before
    assert model.strategy_state["grad2d"].isfinite().all()


def test_finite_gradients_are_not_touched() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(7, 3, generator=generator), torch.full((), 1e17), torch.zeros(0, 3), torch.full((9,), 1e9)]
    before = [gradient.clone() for gradient in gradients]
    assert zero_nonfinite_rows(gradients) == 0
    assert zero_nonfinite_rows([]) == 0
    assert all(torch.equal(a, b) for a, b in zip(gradients, before, strict=True))


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("shape", [(), (5,), (5, 1), (5, 8, 3)])
def test_only_bad_rows_are_zeroed(shape: tuple[int, ...], value: float) -> None:
    gradient = torch.ones(shape)
    expected = torch.ones(shape)
    gradient[(3, *(0,) * (len(shape) - 1)) if shape else ()] = value
    expected[3 if shape else ()] = 0
    assert zero_nonfinite_rows([gradient]) == 1
    assert torch.equal(gradient, expected)


def test_gradients_that_are_no_block_of_memory() -> None:
    gradient = torch.ones(4, 6).T
    gradient[2, 1] = torch.nan
    assert zero_nonfinite_rows([gradient]) == 1
    assert gradient.sum() == 20


def test_it_is_told_and_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_left_out(LeftOut(), 100)
    assert capsys.readouterr().out == ""
    report_left_out(LeftOut(3, 40), 100)
    assert "In 3 of 100 steps some gradients (40 rows in all)" in " ".join(capsys.readouterr().out.split())
    write_record(tmp_path, seconds=1, steps=100, gaussians=5, device="cpu", left_out=LeftOut(3, 40))
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["nonfinite_gradients"] == {"steps": 3, "rows": 40}


def test_adam_survives_gradients_at_the_limit() -> None:
    """What passes the guard must not spoil Adam: its second moment is the square."""
    from macro_splat.training.finite_gradients import LIMIT

    parameter = Parameter(torch.zeros(2))
    optimizer = torch.optim.Adam([parameter], lr=0.1, fused=True)
    parameter.grad = torch.tensor([0.99 * LIMIT, -1.0])
    assert zero_nonfinite_rows([parameter.grad]) == 0
    optimizer.step()
    moments = optimizer.state[parameter]
    assert moments["exp_avg_sq"].isfinite().all()
    torch.testing.assert_close(parameter.detach(), torch.tensor([-0.1, 0.1]))
