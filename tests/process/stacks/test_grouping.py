"""Grouping by names, folders, focus distances and times: what must be found, and what must not be taken for a stack."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.exif import Exif
from macro_splat.photographs.load import Photograph
from macro_splat.process.config import Grouping
from macro_splat.process.stacks.grouping import Stack, choose_grouping, group_stacks

GROUPINGS: tuple[Grouping, ...] = ("auto", "folder", "name", "time", "focus", "none")
START = datetime(2024, 5, 1, 12, 0, 0)


def photograph(name: str, **tags: Any) -> Photograph:
    return Photograph(path=Path("/card") / name, name=name, width=60, height=40, exif=Exif(**tags))


def named(*names: str) -> list[Photograph]:
    return [photograph(name) for name in names]


def contents(stacks: list[Stack]) -> dict[str, list[str]]:
    return {stack.id: [photograph.name for photograph in stack.photographs] for stack in stacks}


def sizes(stacks: list[Stack]) -> list[int]:
    return [len(stack.photographs) for stack in stacks]


# --- names --------------------------------------------------------------------------------------------------------


def test_scant_names_are_poses_of_two_axes_and_a_slice() -> None:
    names = [
        f"_x_{x:05d}_y_{y:05d}_z_{z:05d}_.tif" for x in (190, 240) for y in (0, 1080) for z in (10000, 500, -500, 1500)
    ]
    stacks = group_stacks(named(*names))
    assert [stack.id for stack in stacks] == [
        "x_00190_y_00000",
        "x_00190_y_01080",
        "x_00240_y_00000",
        "x_00240_y_01080",
    ]
    assert [p.name[-11:-5] for p in stacks[0].photographs] == ["_-0500", "_00500", "_01500", "_10000"]


def test_words_before_the_numbers_tell_pose_and_slice() -> None:
    stacks = group_stacks(named("pose03_s10.jpg", "pose03_s9.jpg", "pose10_s1.jpg", "pose10_s2.jpg", "pose3_s1.jpg"))
    assert contents(stacks) == {
        "pose03": ["pose03_s9.jpg", "pose03_s10.jpg"],
        "pose3_s1": ["pose3_s1.jpg"],
        "pose10": ["pose10_s1.jpg", "pose10_s2.jpg"],
    }


def test_two_bare_numbers_are_many_poses_of_few_slices() -> None:
    names = [f"images/{pose:03d}_{k}.png" for pose in range(6) for k in range(5)]
    stacks = group_stacks(named(*reversed(names)), motion="ring")
    assert [stack.id for stack in stacks] == [f"images/{pose:03d}" for pose in range(6)]
    assert contents(stacks)["images/004"] == [f"images/004_{k}.png" for k in range(5)]
    assert {stack.motion for stack in stacks} == {"ring"}


@pytest.mark.parametrize(
    "names",
    [
        [f"IMG_{i:04d}.jpg" for i in range(1, 41)],
        [f"{i:03d}.png" for i in range(24)],
        [f"im_{i:02d}.png" for i in range(1, 31)],
        [f"_DSC{i}.png" for i in range(1618, 1668)],
        [f"IMG_20240501_{120000 + 7 * i}.jpg" for i in range(30)],
        [f"IMG_202405{day:02d}_{i + 40 * day:04d}.jpg" for day in range(1, 6) for i in range(5)],
        [f"row{row}_{i:02d}.jpg" for row in range(3) for i in range(36)],
        [f"{row}_{i:02d}.jpg" for row in range(3) for i in range(36)],
        [f"cam{c}_{i:02d}.jpg" for c in range(20) for i in range(4)],
        [f"tilt{t}_pose{i:02d}.jpg" for t in range(20) for i in range(4)],
        [f"pose{i:02d}.jpg" for i in range(36)],
        [f"IMG_1234 ({i}).jpg" for i in range(2, 22)],
        [f"10{i}CANON/IMG_{40 * i + k:04d}.JPG" for i in range(3) for k in range(40)],
        [f"row_{i}/IMG_{k:04d}.JPG" for i in range(3) for k in range(36)],
        ["left.jpg", "right.jpg", "top.jpg"],
    ],
)
def test_auto_does_not_take_views_for_slices(names: list[str]) -> None:
    assert choose_grouping(named(*names)) == "none"
    assert sizes(group_stacks(named(*names))) == [1] * len(names)


@pytest.mark.parametrize(
    ("names", "by", "expected"),
    [
        ([f"slice_{k:03d}.tif" for k in range(12)], "name", [12]),
        ([f"view{v}_slice{k}.tif" for v in range(3) for k in range(3 + v)], "name", [3, 4, 5]),
        ([f"P{p:02d}_F{k:03d}.jpg" for p in range(8) for k in range(20)], "name", [20] * 8),
        ([f"pose{p}_IMG_{1000 + 9 * p + k}.jpg" for p in range(4) for k in range(9)], "name", [9] * 4),
        ([f"stack_{p:03d}/IMG_{1000 + 9 * p + k}.jpg" for p in range(4) for k in range(9)], "folder", [9] * 4),
        ([f"pose{p}/images/a{k}.jpg" for p in range(2) for k in range(9)], "folder", [9] * 2),
        ([f"{p:02d}/DSC{1000 + 5 * p + k}.jpg" for p in range(12) for k in range(5)], "folder", [5] * 12),
    ],
)
def test_auto_finds_what_is_evident(names: list[str], by: str, expected: list[int]) -> None:
    assert choose_grouping(named(*names)) == by
    assert sizes(group_stacks(named(*names))) == expected


def test_no_stack_s_name_leads_out_of_a_folder() -> None:
    """Previews are written under it."""
    up = group_stacks(named("a.._0.png", "a.._1.png"), pattern=r"a(?P<pose>.+)_(?P<slice>\d)")
    deep = group_stacks(named("a/tmp/x_0.png", "a/tmp/x_1.png"), pattern=r"a(?P<pose>/tmp/x)_(?P<slice>\d)")
    assert [stack.id for stack in (*up, *deep)] == ["stack", "tmp/x"]


def test_photographs_outside_the_pattern_stay_single() -> None:
    names = [f"{pose:03d}_{k}.png" for pose in range(4) for k in range(3)]
    stacks = group_stacks(named(*names, "cover.png"))
    assert sizes(stacks) == [3, 3, 3, 3, 1]
    assert stacks[-1].id == "cover"
    assert stacks[-1].motion is None


def test_names_on_request_need_no_evidence() -> None:
    names = [f"{pose}_{k:02d}.png" for pose in range(2) for k in range(30)]
    assert sizes(group_stacks(named(*names))) == [1] * 60
    assert sizes(group_stacks(named(*names), by="name")) == [30, 30]
    with pytest.raises(MacroSplatError, match=r"IMG_1\.jpg.*pattern"):
        group_stacks(named("IMG_1.jpg", "IMG_2.jpg"), by="name")


def test_alike_counts_of_two_folders_are_not_mixed() -> None:
    stacks = group_stacks(named(*[f"{day}/pose{p}_s{k}.jpg" for day in "ab" for p in range(2) for k in range(3)]))
    assert [stack.id for stack in stacks] == ["a/pose0", "a/pose1", "b/pose0", "b/pose1"]


# --- pattern ------------------------------------------------------------------------------------------------------


def test_a_pattern_names_pose_and_slice() -> None:
    names = ["z10/bug-A.jpg", "z9/bug-A.jpg", "z9/bug-B.jpg", "z10/bug-B.jpg", "notes.jpg"]
    stacks = group_stacks(named(*names), pattern=r"z(?P<slice>\d+)/bug-(?P<pose>.)")
    assert contents(stacks) == {
        "notes": ["notes.jpg"],
        "A": ["z9/bug-A.jpg", "z10/bug-A.jpg"],
        "B": ["z9/bug-B.jpg", "z10/bug-B.jpg"],
    }
    in_folders = group_stacks(named("a/1_1.png", "a/1_2.png", "b/1_1.png"), pattern=r"(?P<pose>\d)_(?P<slice>\d)")
    assert [stack.id for stack in in_folders] == ["a/1", "b/1"]


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        (r"(?P<pose>\d+", "no regular expression"),
        (r"(?P<pose>\d+)_(\d)", "lacks the group `slice`"),
        (r"(?P<slice>\d+)", "lacks the group `pose`"),
        (r"(?P<pose>x)(?P<slice>y)", "fits none of 2 names such as '000_1.png'"),
    ],
)
def test_a_bad_pattern_is_told(pattern: str, complaint: str) -> None:
    with pytest.raises(MacroSplatError, match="stack pattern") as caught:
        group_stacks(named("000_1.png", "000_2.png"), pattern=pattern)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


# --- folders, focus, time -----------------------------------------------------------------------------------------


def test_a_folder_is_a_stack_on_request() -> None:
    stacks = group_stacks(named(*[f"pcb_{i:03d}.png" for i in range(10)], "a/1.png", "a/2.png"), by="folder")
    assert sorted(contents(stacks)) == ["a", "card"]
    assert sizes(stacks) == [2, 10]


def test_sweeps_of_the_focus_distance_are_stacks() -> None:
    photographs = [
        photograph(f"IMG_{10 * p + k:04d}.jpg", focus_distance_mm=120.0 + 0.5 * k) for p in range(3) for k in range(10)
    ]
    assert choose_grouping(photographs) == "focus"
    assert sizes(group_stacks(photographs)) == [10, 10, 10]
    single = photographs[:10]
    assert sizes(group_stacks(single)) == [10]


def test_an_autofocus_that_wavers_is_no_sweep() -> None:
    distances = [120, 121, 119, 122, 120.5, 121.5, 118, 121, 122, 119, 120, 117]
    photographs = [photograph(f"IMG_{i}.jpg", focus_distance_mm=d) for i, d in enumerate(distances)]
    assert choose_grouping(photographs) == "none"
    with pytest.raises(MacroSplatError, match="12 of 12"):
        group_stacks(photographs, by="focus")
    fixed = [photograph(f"IMG_{i}.jpg", focus_distance_mm=120) for i in range(20)]
    assert choose_grouping(fixed) == "none"


def test_pauses_separate_stacks_in_time() -> None:
    """Five stacks of 4 with 1.5 s between slices and 20 s between stacks, one long rest, names in another order."""
    times = [30 * p + 1.5 * k + (4000 if p > 2 else 0) for p in range(5) for k in range(4)]
    photographs = [
        photograph(f"IMG_{99 - i}.jpg", taken=START + timedelta(seconds=time)) for i, time in enumerate(times)
    ]
    assert choose_grouping(photographs) == "none"
    stacks = group_stacks([*photographs, photograph("scan.png")], by="time")
    assert sizes(stacks) == [4, 4, 4, 4, 4, 1]
    assert [p.name for p in stacks[0].photographs] == ["IMG_99.jpg", "IMG_98.jpg", "IMG_97.jpg", "IMG_96.jpg"]
    assert stacks[-1].id == "scan"


def test_even_times_have_no_pause() -> None:
    photographs = [photograph(f"{i}.jpg", taken=START + timedelta(seconds=5 * i + i % 3)) for i in range(30)]
    with pytest.raises(MacroSplatError, match="no pause stands out among the 30 capture times"):
        group_stacks(photographs, by="time")


# --- any input ----------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["pose", "s", "slice", "_", "-", " ", "/", "z", "1", "02", "٣", "é", ".", "IMG_"])
NAMES = (
    st.one_of(
        st.lists(WORDS, min_size=1, max_size=8).map("".join),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30),
        st.from_regex(r"\A[ab]?/?(pose|IMG|)_?[0-9]{1,3}[_-]s?[0-9]{1,2}\.(jpg|png)\Z"),
    )
    .map(lambda name: "/".join(part for part in name.split("/") if part not in ("", ".", "..")))
    .filter(bool)
)
TAGS = st.fixed_dictionaries(
    {},
    optional={
        "taken": st.datetimes(timezones=st.sampled_from([None, START.astimezone().tzinfo])),
        "focus_distance_mm": st.floats(1, 1e4),
    },
)


@given(
    named_tags=st.lists(st.tuples(NAMES, TAGS), max_size=30, unique_by=lambda pair: pair[0]),
    by=st.sampled_from(GROUPINGS),
)
def test_every_photograph_is_in_one_stack(named_tags: list[tuple[str, dict[str, Any]]], by: Grouping) -> None:
    photographs = [photograph(name, **tags) for name, tags in named_tags]
    try:
        stacks = group_stacks(photographs, by=by)
    except MacroSplatError as error:
        complaint = str(error)
    else:
        complaint = ""
    if complaint:
        assert by in ("name", "time", "focus")
        assert len(complaint.splitlines()) == 1
        return
    grouped = [p.name for stack in stacks for p in stack.photographs]
    assert sorted(grouped) == sorted(name for name, _ in named_tags)
    assert len({stack.id for stack in stacks}) == len(stacks)
    assert all(stack.id and stack.photographs for stack in stacks)


@given(names=st.lists(NAMES, min_size=1, unique=True), pattern=st.text(max_size=12))
def test_any_pattern_groups_or_complains(names: list[str], pattern: str) -> None:
    for regex in (pattern, f"(?P<pose>.*)(?P<slice>{pattern})"):
        try:
            stacks = group_stacks(named(*names), pattern=regex)
        except MacroSplatError:
            continue
        assert sorted(p.name for stack in stacks for p in stack.photographs) == sorted(names)
