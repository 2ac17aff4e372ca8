"""The schedule: enough for every view, never endless, its parts in order."""

from __future__ import annotations

import itertools

import pytest

from macro_splat.model.schedule import Schedule, choose_iterations

SMALL = 300 * 225
LARGE = 1500 * 1125
CAPTURES = list(itertools.product([12, 100], [SMALL, LARGE], [False, True]))


@pytest.mark.parametrize(("views", "pixels", "gpu"), CAPTURES)
def test_sane_for_small_and_large_captures(views: int, pixels: int, gpu: bool) -> None:
    iterations = choose_iterations(views, pixels, gpu)
    assert isinstance(iterations, int)
    assert 2500 <= iterations <= 30_000
    assert iterations % 100 == 0
    assert iterations >= 100 * views
    schedule = Schedule(iterations)
    assert 100 <= schedule.refine_start < schedule.refine_stop < iterations
    # A third of the training at most goes by before anything is refined; all degrees of colour are learnt in it.
    assert schedule.refine_start <= iterations / 3
    assert 3 * schedule.sh_interval < iterations


def test_figures() -> None:
    assert choose_iterations(12, SMALL, on_gpu=False) == 2500
    assert choose_iterations(100, SMALL, on_gpu=False) == 12_500
    # Sixteen times the pixels, twice the steps.
    assert choose_iterations(40, 16 * 76_800, on_gpu=False) == 2 * choose_iterations(40, 76_800, on_gpu=False) == 10_000
    assert choose_iterations(40, 76_800, on_gpu=True) == 10_000


def test_more_of_anything_never_means_fewer_steps() -> None:
    views, sizes = [1, 2, 12, 24, 50, 100, 300, 5000], [100, SMALL, 320 * 240, 640 * 480, LARGE, 4000 * 3000]
    table = {(v, s, g): choose_iterations(v, s, g) for v in views for s in sizes for g in (False, True)}
    for (v, s, g), iterations in table.items():
        assert all(iterations <= table[w, s, g] for w in views if w >= v)
        assert all(iterations <= table[v, t, g] for t in sizes if t >= s)
        assert iterations <= table[v, s, True]
    assert max(table.values()) == 30_000


@pytest.mark.parametrize("iterations", [1, 5, 60, 100, 170])
def test_very_short_trainings_have_a_schedule_too(iterations: int) -> None:
    schedule = Schedule(iterations)
    assert schedule.sh_interval >= 1
    assert schedule.refine_start >= 100
    assert 0 <= schedule.refine_stop < iterations


def test_everything_moves_with_the_length() -> None:
    lengths = range(1, 40_000, 37)
    for name in ("refine_start", "refine_stop", "sh_interval"):
        values = [getattr(Schedule(length), name) for length in lengths]
        assert values == sorted(values), name
        assert values[-1] > values[0]
