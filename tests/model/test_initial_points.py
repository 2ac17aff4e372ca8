"""Seeds: as many as asked for, on the surface that the given points span, the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from macro_splat.model.initial_points import NEIGHBOURS, densify_initial_points


def sheet(edge: int = 12, seed: int = 0) -> np.ndarray:
    """Points [edge², 3] in the plane z = 1, about 1 apart."""
    x, y = np.meshgrid(np.arange(edge), np.arange(edge))
    flat = np.stack([x.ravel(), y.ravel(), np.ones(edge**2)], axis=1)
    flat[:, :2] += np.random.default_rng(seed).uniform(-0.2, 0.2, (edge**2, 2))
    return flat.astype(np.float32)


def colors_of(points: np.ndarray) -> np.ndarray:
    """Colours that are linear in the position, so that a mixture's colour is known."""
    return points @ np.array([[3.0, 0, 1], [0, 5, 1], [0, 0, 7]], np.float32)


@pytest.mark.parametrize("target", [145, 200, 5000])
def test_as_many_as_asked_for_the_given_ones_first(target: int) -> None:
    points = sheet()
    colors = colors_of(points)
    more, more_colors = densify_initial_points(points, colors, target)
    assert more.shape == more_colors.shape == (target, 3)
    assert more.dtype == more_colors.dtype == np.float32
    np.testing.assert_array_equal(more[:144], points)
    np.testing.assert_array_equal(more_colors[:144], colors)


def test_new_points_and_colours_lie_between_neighbours() -> None:
    points = sheet()
    more, colors = densify_initial_points(points, colors_of(points), 2000)
    new = more[144:]
    np.testing.assert_allclose(new[:, 2], 1.0, atol=1e-6)
    assert (new >= points.min(axis=0) - 1e-5).all()
    assert (new <= points.max(axis=0) + 1e-5).all()
    np.testing.assert_allclose(colors, colors_of(more), atol=1e-3)
    # Pairs of neighbours are at most 2.8 long here, and a mixture is nearer than half of that to one of the two.
    assert np.linalg.norm(new[:, None] - points, axis=2).min(axis=1).max() < 1.4


def test_the_surface_is_covered_more_densely() -> None:
    points = sheet()
    more, _ = densify_initial_points(points, colors_of(points), 3000)
    inside = np.random.default_rng(1).uniform(1, 10, (500, 2))
    gap_before = np.linalg.norm(inside[:, None] - points[:, :2], axis=2).min(axis=1)
    gap_after = np.linalg.norm(inside[:, None] - more[:, :2], axis=2).min(axis=1)
    assert gap_after.mean() < 0.5 * gap_before.mean()


def test_gaps_are_not_bridged() -> None:
    # Neighbours of the strays are all in the sheet or the other stray, many times farther than usual.
    strays = np.array([[5.0, 5.0, 40.0], [-60.0, 5.0, 1.0]], np.float32)
    points = np.concatenate([sheet(), strays])
    more, _ = densify_initial_points(points, colors_of(points), 6000)
    assert len(more) == 6000
    new = more[len(points) :]
    np.testing.assert_allclose(new[:, 2], 1.0, atol=1e-6)
    assert new[:, 0].min() > -1.0


def test_longer_pairs_get_more() -> None:
    # Two sheets of equally many pairs, one twice as wide: it gets twice as many of the new points.
    narrow = sheet(seed=3)
    points = np.concatenate([narrow, 2 * narrow + np.array([1000.0, 0, 0], np.float32)])
    more, _ = densify_initial_points(points, colors_of(points), 30_000)
    new = more[len(points) :]
    assert (new[:, 0] > 500).sum() / (new[:, 0] < 500).sum() == pytest.approx(2.0, rel=0.05)


def test_the_same_each_time_and_another_for_another_seed() -> None:
    points = sheet()
    colors = colors_of(points)
    np.random.seed(5)  # noqa: NPY002 (the generator that must be left alone)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = densify_initial_points(points, colors, 1000)
    second = densify_initial_points(points.copy(), colors.copy(), 1000)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], densify_initial_points(points, colors, 1000, seed=1)[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("target", [0, 10, 144])
def test_enough_points_are_left_as_they_are(target: int) -> None:
    points = sheet()
    more, colors = densify_initial_points(points, colors_of(points), target)
    np.testing.assert_array_equal(more, points)
    np.testing.assert_array_equal(colors, colors_of(points))


@pytest.mark.parametrize("count", [0, 1, NEIGHBOURS])
def test_too_few_to_have_neighbours(count: int) -> None:
    points = sheet()[:count]
    more, colors = densify_initial_points(points, colors_of(points), 100)
    np.testing.assert_array_equal(more, points)
    assert colors.shape == (count, 3)


def test_one_more_than_the_neighbours_is_enough() -> None:
    points = sheet()[: NEIGHBOURS + 1]
    assert len(densify_initial_points(points, colors_of(points), 100)[0]) == 100


def test_points_all_in_one_place() -> None:
    points = np.full((20, 3), 3.0, np.float32)
    more, colors = densify_initial_points(points, colors_of(points), 100)
    np.testing.assert_array_equal(more, points[:1])
    np.testing.assert_array_equal(colors, colors_of(points)[:1])


def test_doubled_points_do_no_harm() -> None:
    points = np.repeat(sheet(), 2, axis=0)
    more, colors = densify_initial_points(points, colors_of(points), 1000)
    assert len(more) == 1000
    assert np.isfinite(more).all()
    assert np.isfinite(colors).all()
    # What is added lies between two places, not once more upon one.
    assert np.linalg.norm(more[len(points) :, None] - points, axis=2).min() > 0.05
