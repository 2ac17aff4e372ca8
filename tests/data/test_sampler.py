"""The order of training views."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from macro_splat.data.sampler import PoseSampler, order_by_gain

POSES = [0, 0, 0, 1, 2, 2]


@settings(max_examples=50, deadline=None)
@given(poses=st.lists(st.integers(0, 5), min_size=1, max_size=12), seed=st.integers(0, 2**31))
def test_each_round_has_every_pose_once(poses: list[int], seed: int) -> None:
    sampler = PoseSampler(poses, seed)
    for _ in range(4):
        assert sorted(poses[i] for i in sampler.next_round()) == sorted(set(poses))


def test_the_slices_of_a_pose_take_turns() -> None:
    sampler = PoseSampler(POSES, seed=1)
    count = Counter(i for _ in range(6) for i in sampler.next_round())
    assert count == {0: 2, 1: 2, 2: 2, 3: 6, 4: 3, 5: 3}


def test_the_seed_decides_and_the_global_generator_does_not() -> None:
    torch.manual_seed(0)
    rounds = [PoseSampler(POSES, seed=7).next_round() for _ in range(2)]
    before = torch.get_rng_state()
    PoseSampler(POSES, seed=7).next_round()
    assert torch.equal(torch.get_rng_state(), before)
    assert rounds[0] == rounds[1]
    many = {tuple(PoseSampler(list(range(8)), seed).next_round()) for seed in range(10)}
    assert len(many) > 5


def test_a_restored_sampler_goes_on_with_the_same_sequence() -> None:
    sampler = PoseSampler(POSES, seed=3)
    for _ in range(5):
        sampler.next_round()
    state = sampler.state()
    expected = [sampler.next_round() for _ in range(9)]
    other = PoseSampler(POSES, seed=99)
    other.restore(state)
    assert [other.next_round() for _ in range(9)] == expected
    assert expected != [PoseSampler(POSES, seed=3).next_round() for _ in range(9)]


def test_the_state_of_other_photographs_is_refused() -> None:
    sampler = PoseSampler(POSES, seed=3)
    sampler.next_round()
    for poses in ([0, 1], [0, 1, 2, 2, 2, 2, 3], [0, 1, 1, 1, 1, 2]):
        with pytest.raises(ValueError, match="other photographs"):
            PoseSampler(poses, seed=3).restore(sampler.state())


def test_a_given_order_comes_first_and_all_slices_equally_often() -> None:
    sampler = PoseSampler(POSES, seed=1, first={0: [2, 0, 1], 2: [5, 4]})
    rounds = [sampler.next_round() for _ in range(6)]
    assert [next(i for i in r if POSES[i] == 0) for r in rounds[:3]] == [2, 0, 1]
    assert [next(i for i in r if POSES[i] == 2) for r in rounds[:2]] == [5, 4]
    assert Counter(i for r in rounds for i in r) == {0: 2, 1: 2, 2: 2, 3: 6, 4: 3, 5: 3}


def test_an_order_that_has_begun_is_resumed_by_a_new_sampler() -> None:
    sampler = PoseSampler(POSES, seed=1, first={0: [2, 0, 1]})
    sampler.next_round()
    other = PoseSampler(POSES, seed=1)
    other.restore(sampler.state())
    assert [other.next_round() for _ in range(9)] == [sampler.next_round() for _ in range(9)]


def test_each_slice_adds_the_most_to_those_before_it() -> None:
    sharp = np.zeros((4, 4, 6), np.float32)
    sharp[0, :, :2] = 1.0  # 8 cells
    sharp[1, :, 1:4] = 1.0  # 12 cells
    sharp[2, :, 4:] = 0.8  # 6.4, but all new
    sharp[3, :, 1:4] = 0.9  # next to slice 1 nothing new
    assert order_by_gain(list(sharp)) == [1, 2, 0, 3]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 5), width=st.integers(1, 4), seed=st.integers(0, 99))
def test_greedy_gains_diminish_and_reach_what_all_slices_hold(count: int, width: int, seed: int) -> None:
    maps = np.random.default_rng(seed).random((count, 3, width)).astype(np.float32)
    order = order_by_gain(list(maps))
    assert sorted(order) == list(range(count))
    totals = [0.0] + [float(maps[order[: n + 1]].max(axis=0).sum()) for n in range(count)]
    gains = np.diff(totals)
    assert (np.diff(gains) <= 1e-5).all()
    assert gains[0] == pytest.approx(maps.sum(axis=(1, 2)).max(), rel=1e-5)


def test_maps_of_different_size_are_compared_where_both_are() -> None:
    assert order_by_gain([np.zeros((3, 4), np.float32), np.ones((2, 5), np.float32)]) == [1, 0]
