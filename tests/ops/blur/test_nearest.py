"""The nearest known pixel against scipy's exact distances."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from macro_splat.ops.blur.nearest import _jump_flood, carry_to_nearest


def blobs(seed: int, share: float, shape: tuple[int, int] = (61, 83)) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0 if share > 0.01 else 0.0)
    return noise > np.quantile(noise, 1 - share)


@pytest.mark.parametrize("share", [0.0005, 0.05, 0.4, 0.95])
def test_distances(share: float) -> None:
    known = blobs(0, share)
    values = torch.rand(known.shape)
    carried, distance = carry_to_nearest(values, torch.from_numpy(known))
    exact = ndimage.distance_transform_edt(~known)
    np.testing.assert_allclose(distance.numpy(), exact, rtol=1e-6)
    assert torch.equal(carried[torch.from_numpy(known)], values[torch.from_numpy(known)])
    # What was carried comes from a known pixel.
    assert np.isin(carried.numpy(), values.numpy()[known]).all()


@pytest.mark.parametrize("limit", [1.0, 5.0, 17.5])
def test_a_limit_only_ends_the_search(limit: float) -> None:
    known, values = torch.from_numpy(blobs(2, 0.01)), torch.rand(61, 83)
    carried, distance = carry_to_nearest(values, known)
    limited, limited_distance = carry_to_nearest(values, known, limit)
    near = distance <= math.floor(limit)
    assert torch.equal(limited[near], carried[near])
    assert torch.equal(limited_distance[near], distance[near])
    assert (limited[~near] == 0).all()
    assert torch.isinf(limited_distance[~near]).all()


@pytest.mark.parametrize("share", [0.0005, 0.05, 0.4])
def test_jump_flooding(share: float) -> None:
    known = blobs(1, share)
    row, column = (t.numpy() for t in _jump_flood(torch.from_numpy(known)))
    assert known[row, column].all()
    rows, columns = np.indices(known.shape)
    distance = np.hypot(row - rows, column - columns)
    exact = ndimage.distance_transform_edt(~known)
    assert np.abs(distance - exact).max() < 0.5
    assert (np.abs(distance - exact) < 1e-5).mean() > 0.99


def test_nothing_known() -> None:
    values, distance = carry_to_nearest(torch.ones(4, 5), torch.zeros(4, 5, dtype=torch.bool))
    assert (values == 0).all()
    assert torch.isinf(distance).all()


def test_everything_known() -> None:
    values, distance = carry_to_nearest(torch.rand(4, 5), torch.ones(4, 5, dtype=torch.bool))
    assert (distance == 0).all()
    assert ((values >= 0) & (values < 1)).all()
