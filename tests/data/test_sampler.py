"""The order of training views."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from macro_splat.data.sampler import PoseSampler

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
