"""Splits go by pose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from macro_splat.capture import Capture, Frame, Intrinsics
from macro_splat.data.split import group_by_pose, split_frames
from macro_splat.errors import MacroSplatError


def _capture(poses: int, slices: int = 1, *, named: bool = True, rail: bool = False, **splits: list[str]) -> Capture:
    """`poses` cameras on a line; the slices of each share a pose (or, on a rail, move along the axis)."""
    frames = []
    for i in range(poses):
        for j in range(slices):
            c2w = np.eye(4)
            c2w[:3, 3] = [i, 0, 0.01 * j if rail else 0]
            name = f"{i:03d}_{j}"
            frames.append(
                Frame(
                    name,
                    Path(name),
                    c2w,
                    Intrinsics(1, 1, 1, 1, 2, 2),
                    stack_id=str(i) if named and slices > 1 else None,
                )
            )
    return Capture(Path("c.json"), tuple(frames), splits={k: tuple(v) for k, v in splits.items()})


@pytest.mark.parametrize(("named", "rail"), [(True, False), (False, False), (True, True)])
def test_slices_are_grouped_by_stack_or_by_pose(named: bool, rail: bool) -> None:
    groups = group_by_pose(_capture(3, 4, named=named, rail=rail).frames)
    assert groups == [0] * 4 + [1] * 4 + [2] * 4


def test_rail_cameras_without_stack_ids_are_separate_poses() -> None:
    assert group_by_pose(_capture(2, 2, named=False, rail=True).frames) == [0, 1, 2, 3]


def test_a_stack_and_a_photograph_of_one_pose_belong_together() -> None:
    stack = _capture(2, 2).frames
    alone = Frame("z", Path("z"), stack[2].camera_to_world, stack[2].intrinsics)
    assert group_by_pose([*stack, alone]) == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("spacing", [1e-8, 1.0, 1e8])
def test_what_counts_as_one_pose_depends_on_the_cameras_extent(spacing: float) -> None:
    frames = []
    for i, x in enumerate([0.0, 1e-7, 1.0, 1.0 + 1e-7, 2.0]):
        c2w = np.eye(4)
        c2w[0, 3] = x * spacing
        frames.append(Frame(str(i), Path(str(i)), c2w, Intrinsics(1, 1, 1, 1, 2, 2)))
    assert group_by_pose(frames) == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(("poses", "held_out"), [(1, 0), (4, 0), (5, 1), (8, 1), (12, 2), (16, 2), (24, 3), (80, 10)])
@pytest.mark.parametrize("slices", [1, 3])
def test_every_eighth_pose_is_held_out_with_all_its_slices(poses: int, held_out: int, slices: int) -> None:
    capture = _capture(poses, slices)
    train, test = (split_frames(capture, split, 8) for split in ("train", "test"))
    if held_out == 0:
        assert train == test == list(range(poses * slices))
        return
    assert sorted(train + test) == list(range(poses * slices))
    groups = group_by_pose(capture.frames)
    assert len(test) == held_out * slices
    assert not {groups[i] for i in train} & {groups[i] for i in test}
    assert split_frames(capture, "val", 8) == test


def test_held_out_poses_are_spread_evenly() -> None:
    assert split_frames(_capture(24), "test", 8) == [4, 12, 20]


def test_nothing_is_held_out_where_the_user_says_so() -> None:
    assert split_frames(_capture(24), "test", 0) == split_frames(_capture(24), "train", 0) == list(range(24))


def test_an_interval_of_one_leaves_a_pose_for_training() -> None:
    assert len(split_frames(_capture(6), "train", 1)) == 1


@pytest.mark.parametrize(
    ("lists", "train", "val", "test"),
    [
        ({"train": ["001_0", "000_0"], "val": ["002_0"], "test": ["003_0"]}, [0, 1], [2], [3]),
        ({"train": ["000_0"], "val": ["002_0"]}, [0], [2], [2]),
        ({"test": ["003_0"]}, [0, 1, 2], [3], [3]),
        ({"val": ["001_0"], "test": ["003_0"]}, [0, 2], [1], [3]),
        ({"train": ["000_0", "002_0"]}, [0, 2], [1, 3], [1, 3]),
        ({"train": ["000_0"], "val": [], "test": []}, [0], [0], [0]),
        ({"train": [f"{i:03d}_0" for i in range(4)]}, [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]),
    ],
)
def test_the_captures_own_lists_decide(lists: dict, train: list[int], val: list[int], test: list[int]) -> None:
    capture = _capture(4, **lists)
    assert [split_frames(capture, split, 8) for split in ("train", "val", "test")] == [train, val, test]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_no_view_left_for_training(split: str) -> None:
    with pytest.raises(MacroSplatError, match=r"c\.json: no view is left for training: all 4 are held out"):
        split_frames(_capture(4, test=[f"{i:03d}_0" for i in range(4)]), split, 8)


@pytest.mark.parametrize("split", ["train", "val"])
def test_lists_that_divide_a_stack_are_refused(split: str) -> None:
    capture = _capture(3, 2, train=["000_0", "000_1", "001_0"], val=["001_1", "002_0", "002_1"])
    if split == "train":
        capture = _capture(3, 2, val=["001_1"])
    with pytest.raises(MacroSplatError, match=r"c\.json: stack '1' is divided: 001_0 is for training and 001_1 for"):
        split_frames(capture, "val", 8)


def test_a_photograph_that_is_listed_twice_may_be() -> None:
    names = ["000_0", "000_1"]
    assert split_frames(_capture(1, 2, train=names, val=names), "val", 8) == [0, 1]
