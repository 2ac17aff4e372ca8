"""Which photographs train and which are held out: whole poses, never a slice of a stack that trains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from macro_splat.capture import Capture, Frame
from macro_splat.errors import MacroSplatError

SAME_POSE_TOLERANCE = 1e-6
"""Largest difference of rotation entries, and of positions relative to the extent of the cameras, in one pose."""
FEWEST_POSES_TO_HOLD_OUT = 5
"""With fewer poses every photograph is needed for training."""


def group_by_pose(frames: Sequence[Frame]) -> list[int]:
    """The pose of each frame: consecutive numbers from 0, the same for frames of one stack or of one camera pose."""
    poses = np.stack([frame.camera_to_world[:3] for frame in frames])
    extent = np.ptp(poses[:, :, 3], axis=0).max()
    poses[:, :, 3] /= extent if extent > 0 else 1.0
    group = list(range(len(frames)))
    first_of_stack: dict[str, int] = {}
    for i, frame in enumerate(frames):
        same = int(np.flatnonzero(np.abs(poses[: i + 1] - poses[i]).max(axis=(1, 2)) <= SAME_POSE_TOLERANCE)[0])
        group[i] = group[same]
        if frame.stack_id is not None:
            first = first_of_stack.setdefault(frame.stack_id, group[i])
            # Two poses that a stack joins (a rail moves the camera) become one group.
            group[: i + 1] = [group[first] if g == group[i] else g for g in group[: i + 1]]
    number = {g: n for n, g in enumerate(dict.fromkeys(group))}
    return [number[g] for g in group]


def split_frames(capture: Capture, split: str, eval_interval: int) -> list[int]:
    """Indices into `capture.frames` of one split.

    Args:
        split: "train", "val" or "test". The capture's own lists decide where it has any; a missing list of val or
            test is taken from the other one, and a missing list of train is all that neither of them holds.
        eval_interval: without lists one pose in so many is held out, evenly spread; 0 holds out none.

    Nothing held out means that evaluation runs on the training photographs.

    Raises:
        MacroSplatError: no view is left for training, or the lists divide a stack.
    """
    train, held_out = _listed(capture, split) if capture.splits else _interval(capture, eval_interval)
    trained = {capture.frames[i].stack_id: capture.frames[i].name for i in train}
    for i in set(held_out) - set(train):
        frame = capture.frames[i]
        if frame.stack_id is not None and frame.stack_id in trained:
            raise MacroSplatError(
                f"{capture.path}: stack '{frame.stack_id}' is divided: {trained[frame.stack_id]} is for training and "
                f"{frame.name} for evaluation, which would measure what was learnt by heart; move one of them in "
                "`train_filenames`, `val_filenames` and `test_filenames`"
            )
    if not train:
        raise MacroSplatError(
            f"{capture.path}: no view is left for training: all {len(capture.frames)} are held out for evaluation; "
            "shorten `val_filenames` and `test_filenames`"
        )
    return train if split == "train" or not held_out else held_out


def _listed(capture: Capture, split: str) -> tuple[list[int], list[int]]:
    splits = capture.splits
    other = {"val": "test", "test": "val"}
    held_out = splits.get(split) or splits.get(other.get(split, ""), ())
    if "train" in splits:
        train = splits["train"]
    else:
        evaluated = {*splits.get("val", ()), *splits.get("test", ())}
        train = tuple(frame.name for frame in capture.frames if frame.name not in evaluated)
    if not held_out and split != "train" and "val" not in splits and "test" not in splits:
        held_out = tuple(frame.name for frame in capture.frames if frame.name not in train)
    index = {frame.name: i for i, frame in enumerate(capture.frames)}
    return sorted({index[name] for name in train}), sorted({index[name] for name in held_out})


def _interval(capture: Capture, eval_interval: int) -> tuple[list[int], list[int]]:
    group = group_by_pose(capture.frames)
    poses = max(group) + 1
    count = 0
    if eval_interval > 0 and poses >= FEWEST_POSES_TO_HOLD_OUT:
        count = min(max(1, round(poses / eval_interval)), poses - 1)
    chosen = {int((i + 0.5) * poses / count) for i in range(count)}
    train = [i for i, g in enumerate(group) if g not in chosen]
    return train, [i for i, g in enumerate(group) if g in chosen]
