"""Slices that are missing, doubled or left out leave the others where they were taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.exif import Exif
from macro_splat.photographs.load import Photograph
from macro_splat.process.findings import find_problems
from macro_splat.process.rig.format import Rig, read_rig
from macro_splat.process.rig.poses import poses_from_rig, slice_offsets
from macro_splat.process.stacks.grouping import Stack, group_stacks
from macro_splat.process.stacks.places import slice_places
from tests.report.outputs import photograph, process_of

LENS = "lens: {focal_length_mm: 50, f_number: 4, focus_distance_mm: 150, sensor_width_mm: 36}\n"


def named(*names: str) -> list[Photograph]:
    return [Photograph(Path("/card") / name, name, 600, 400, Exif()) for name in names]


def rig_of(folder: Path, stack: str, poses: int = 0) -> Rig:
    path = folder / "rig.yaml"
    table = f"turntable: {{direction: ccw, steps: {poses}, radius_mm: 150}}\n" if poses else ""
    path.write_text(f"{LENS}{table}stack: {stack}\n")
    return read_rig(path)


def grid(poses: int, numbers: Any, form: str = "pose{p}_slice{k:02d}.jpg") -> list[str]:
    return [form.format(p=p, k=k) for p in range(poses) for k in numbers]


@pytest.mark.parametrize("missing", [0, 2, 4])
def test_a_missing_slice_moves_no_other(tmp_path: Path, missing: int) -> None:
    """Focused at 150 mm in the middle of five, 2 mm further with each."""
    rig = rig_of(tmp_path, "{motion: ring, step_mm: 2}", poses=3)
    names = [name for name in grid(3, range(5)) if name != f"pose1_slice{missing:02d}.jpg"]
    frames = poses_from_rig(rig, group_stacks(named(*names), motion="ring")).photographs
    for name, frame in frames.items():
        assert frame.optics.focus_distance == pytest.approx(146 + 2 * int(name[11:13])), name


def test_step_counts_of_a_motor_are_places_too(tmp_path: Path) -> None:
    rig = rig_of(tmp_path, "{motion: rail, step_mm: 0.5}")
    names = [f"_x_{x}_y_0_z_{z:05d}_.tif" for x in (1, 2, 3) for z in range(500, 3000, 500) if (x, z) != (2, 1000)]
    stacks = group_stacks(named(*names), motion="rail")
    offsets = [slice_offsets(rig, stack) for stack in stacks]
    np.testing.assert_allclose(offsets[0], [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_allclose(offsets[1], [-1, 0, 0.5, 1])


def test_listed_distances_belong_to_the_numbers(tmp_path: Path) -> None:
    rig = rig_of(tmp_path, "{motion: ring, focus_distances_mm: [140, 145, 160, 171]}", poses=3)
    names = [name for name in grid(3, range(1, 5)) if name != "pose2_slice02.jpg"]
    frames = poses_from_rig(rig, group_stacks(named(*names), motion="ring")).photographs
    found = [frame.optics.focus_distance for name, frame in frames.items() if name.startswith("pose2")]
    assert found == pytest.approx([140, 160, 171])
    extra = group_stacks(named(*grid(3, range(1, 5)), "pose1_slice05.jpg"), motion="ring")
    with pytest.raises(MacroSplatError, match=r"4 slices, but 'pose1_slice05\.jpg' is number 5 of 'pose1'"):
        poses_from_rig(rig, extra)


def test_two_photographs_of_one_number_are_one_slice(tmp_path: Path) -> None:
    rig = rig_of(tmp_path, "{motion: ring, step_mm: 2}", poses=2)
    stacks = group_stacks(named(*grid(2, range(3)), "pose0_slice1.jpg"), motion="ring")
    offsets = slice_offsets(rig, stacks[0])
    np.testing.assert_allclose(offsets, [-2, 0, 0, 2])
    assert stacks[0].slices.doubled == (1,)


def test_photographs_that_are_left_out_move_no_other(tmp_path: Path) -> None:
    rig = rig_of(tmp_path, "{motion: rail, step_mm: 1}")
    for stacks in (
        group_stacks(named(*grid(2, range(4))), motion="rail"),
        [Stack("a", tuple(named("a", "b", "c", "d")), "rail")],  # by capture times: nothing but an order
    ):
        first = stacks[0].photographs[0].name
        offsets = slice_offsets(rig, stacks[0].without([first]))
        np.testing.assert_allclose(offsets, [-0.5, 0.5, 1.5])


def test_a_running_count_in_folders_shows_gaps_within_a_stack() -> None:
    names = [f"stack_{p}/IMG_{1000 + 6 * p + k}.jpg" for p in range(4) for k in range(6) if (p, k) != (2, 3)]
    stacks = group_stacks(named(*names))
    assert [stack.slices.missing for stack in stacks] == [(), (), (1015,), ()]
    assert stacks[2].slices.at == (0, 1, 2, 4, 5)


@pytest.mark.parametrize(
    "stacks",
    [
        [[120003, 120103, 120159], [121003, 121111]],
        [None, [7, 7]],
        [[0, 1, 1000], None],
        [],
    ],
)
def test_numbers_that_count_no_slices_tell_no_places(stacks: list[list[int] | None]) -> None:
    assert slice_places(stacks) == [None] * len(stacks)


def test_the_time_of_day_counts_no_slices() -> None:
    stacks = group_stacks(named(*[f"stack_{p}/IMG_20240501_12{p}0{k}.jpg" for p in range(3) for k in (100, 102, 106)]))
    assert [len(stack.photographs) for stack in stacks] == [3, 3, 3]
    assert [stack.places for stack in stacks] == [None] * 3


def test_focus_distances_are_none_of_a_rail(tmp_path: Path) -> None:
    rig = rig_of(tmp_path, "{focus_distances_mm: [140, 145]}")
    (stack,) = group_stacks(named(*grid(1, range(4))), motion="rail")
    with pytest.raises(MacroSplatError, match=r"rig\.yaml: `stack\.focus_distances_mm` is of ring stacks, but 'pose0'"):
        slice_offsets(rig, stack)


def stacks_of(**slices: list[int]) -> dict[str, Any]:
    photographs = [photograph(f"{key}_{k}_{i}.png", key, i) for key, ks in slices.items() for i, k in enumerate(ks)]
    record = process_of(photographs)
    found = slice_places(list(slices.values()))
    for stack, places in zip(record["stacks"], found, strict=True):
        assert places is not None
        stack |= {"slices": places.numbers, "missing": places.missing, "doubled": places.doubled}
    return record


def told(record: dict[str, Any]) -> list[str]:
    return [problem["what"] for problem in find_problems(record) if "pose" not in problem["what"]]


def test_the_report_names_what_is_wrong_with_stacks() -> None:
    assert told(stacks_of(a=[0, 1, 2], b=[0, 1, 2], c=[0, 1, 2])) == []
    (missing,) = told(stacks_of(a=[0, 1, 2], b=[0, 2], c=[0, 1, 2]))
    assert missing.endswith("slices are missing in 1 focus stack: b (number 1).")
    (doubled,) = told(stacks_of(a=[0, 1, 2], b=[0, 1, 1, 2], c=[0, 1, 2]))
    assert doubled == "Several photographs have the same number in 1 focus stack: b (number 1)."
    (unequal,) = told(stacks_of(a=[0, 1, 2], b=[3, 4, 5], c=[6, 7]))
    assert unequal == "Focus stacks of different lengths: mostly 3 slices, but c (2)."
