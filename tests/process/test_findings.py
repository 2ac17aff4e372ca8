"""Every finding shows up on the data that calls for it, and on no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from macro_splat.capture.read import read_capture
from macro_splat.process.findings import find_problems
from tests.captures import edit_transforms, write_capture
from tests.report.outputs import photograph, process_of, singles


def findings(process: dict[str, Any], *, like: str) -> list[dict[str, str]]:
    found = find_problems(process)
    return [problem for problem in found if like in problem["what"]]


def test_nothing_is_said_about_a_good_capture() -> None:
    assert find_problems(process_of(singles(12))) == []


@pytest.mark.parametrize(("source", "severity"), [("sfm", "warning"), ("rig", "hint")])
def test_few_poses(source: str, severity: str) -> None:
    poses = {"source": source, "reprojection_error_px": 0.5, "points": 10, "unregistered": []}
    (problem,) = find_problems(process_of(singles(7), poses=poses))
    assert problem["severity"] == severity
    assert problem["what"].startswith("7 poses only")
    assert find_problems(process_of(singles(8), poses=poses)) == []


def test_poses_are_counted_without_what_was_left_out() -> None:
    process = process_of([*singles(7), photograph("x.png", "x", used=False, image=None, why_not="motion blur")])
    assert findings(process, like="7 poses only")


def test_slices_are_no_poses() -> None:
    stack = [photograph(f"a{i}.png", "a", i) for i in range(20)]
    assert findings(process_of(stack), like="1 pose only")


def test_missing_poses_are_the_error_and_scale_is_not_asked_for() -> None:
    nothing = {"source": None, "reprojection_error_px": None, "points": 0, "unregistered": []}
    unused = singles(9, used=False, image=None, why_not="there are no poses", pose=None)
    problems = find_problems(process_of(unused, poses=nothing, scale=None))
    assert [problem["severity"] for problem in problems] == ["error"]
    told = [{"severity": "error", "what": "No photograph registered.", "do": "Take others."}]
    assert find_problems(process_of(unused, poses=nothing, scale=None, problems=told)) == []
    assert find_problems(process_of(unused[:1], poses=nothing, scale=None, problems=told)) == []


def test_unregistered_photographs_are_named() -> None:
    poses = {"source": "sfm", "reprojection_error_px": 0.5, "points": 10, "unregistered": ["lost.png"]}
    (problem,) = find_problems(process_of(singles(9), poses=poses))
    assert "1 photograph found no place" in problem["what"]
    assert "lost.png" in problem["what"]


@pytest.mark.parametrize(("error", "count"), [(None, 0), (0.7, 0), (3.4, 1)])
def test_reprojection_error(error: float | None, count: int) -> None:
    poses = {"source": "sfm", "reprojection_error_px": error, "points": 10, "unregistered": []}
    assert len(findings(process_of(singles(9), poses=poses), like="3.4 px")) == count


def test_ends_of_a_stack_may_be_blurred_but_not_all_of_it() -> None:
    verdicts = {"a": ["out of focus", "sharp"], "b": ["out of focus", "motion blur", "motion blur"]}
    photographs = [
        photograph(f"{stack}{i}.png", stack, i, verdict=verdict)
        for stack, found in verdicts.items()
        for i, verdict in enumerate(found)
    ]
    (problem,) = findings(process_of(photographs), like="Nothing is sharp")
    assert problem["what"].endswith("of 1 of 2 poses: b.")
    assert "motion" in problem["do"]


def test_strays_beside_stacks() -> None:
    stacks = [photograph(f"{s}{i}.png", s, i) for s in "abcdefgh" for i in range(3)]
    (problem,) = find_problems(process_of([*stacks, photograph("stray.png", "stray")]))
    assert "stray.png" in problem["what"]
    assert find_problems(process_of(stacks)) == []


def test_mixed_cameras_focal_lengths_and_sizes() -> None:
    other = photograph("x.png", "x", exif={"camera": "Maker M2", "focal_length_mm": 60.0}, width=36, height=40)
    whats = " ".join(problem["what"] for problem in find_problems(process_of([*singles(9), other])))
    assert "Maker M1 (9), Maker M2 (1)" in whats
    assert "60 to 90 mm" in whats
    assert "48 × 36 (9), 40 × 36 (1)" in whats
    breathing = photograph("x.png", "x", exif={"focal_length_mm": 90.5}, width=36, height=48)  # and held upright
    assert find_problems(process_of([*singles(9), breathing])) == []


@pytest.mark.parametrize(
    ("scale", "like"),
    [
        (None, "scale is unknown"),
        ({"source": "markers", "mm_per_unit": 20.0, "deviation": 0.6}, "unsure by 3.0%"),
        ({"source": "markers", "mm_per_unit": 20.0, "deviation": 0.01}, None),
        ({"source": "factor", "mm_per_unit": 20.0, "deviation": None}, None),
    ],
)
def test_scale(scale: dict[str, Any] | None, like: str | None) -> None:
    problems = find_problems(process_of(singles(9), scale=scale))
    assert len(problems) == (like is not None)
    if like is not None:
        assert like in problems[0]["what"]


def test_missing_exif() -> None:
    bare = {"focal_length_mm": None, "f_number": None}
    assert findings(process_of(singles(9, exif=bare)), like="No photograph says")
    some = process_of([*singles(3), *(photograph(f"x{i}.png", f"x{i}", exif=bare) for i in range(6))])
    assert findings(some, like="Only 3 of 9 photographs say")


@pytest.mark.parametrize(("focus", "told"), [(89.0, True), (90.0, True), (310.0, False), (None, False)])
def test_a_focus_that_cannot_be(focus: float | None, told: bool) -> None:
    process = process_of([*singles(9), photograph("x.png", "x", exif={"focus_distance_mm": focus})])
    assert bool(findings(process, like=f"where no lens focuses: x.png ({focus or 0:g} mm)")) is told


def test_known_problems_are_not_repeated() -> None:
    process = process_of(singles(3))
    process["problems"] = find_problems(process)
    assert process["problems"]
    assert find_problems(process) == []


# --- from the poses -----------------------------------------------------------------------------------------------


def capture_and_process(folder: Path, keep: int = 8) -> tuple[Any, dict[str, Any]]:
    """The first `keep` of eight views 45° apart."""
    write_capture(folder, views=8, test_views=0, sharp=False, depth=False, split_lists=False)
    edit_transforms(folder, lambda t: t.update(frames=t["frames"][:keep]))
    return read_capture(folder), process_of(singles(keep))


def test_views_all_around_leave_no_gap(tmp_path: Path) -> None:
    capture, process = capture_and_process(tmp_path)
    assert find_problems(process, capture) == []


def test_a_side_without_photographs_is_told(tmp_path: Path) -> None:
    capture, process = capture_and_process(tmp_path, keep=5)
    whats = [problem["what"] for problem in find_problems(process, capture)]
    assert any("No photograph over 180°" in what and "180° to 0°" in what for what in whats), whats


def test_one_ring_is_told(tmp_path: Path) -> None:
    capture_and_process(tmp_path)
    edit_transforms(tmp_path, lambda t: t.update(frames=t["frames"][::2]))
    process = process_of(singles(8)[::2])
    problems = [p for p in find_problems(process, read_capture(tmp_path)) if "one height" in p["what"]]
    assert [problem["what"] for problem in problems] == [
        "All photographs are from one height (20° to 20° above the object)."
    ]


@pytest.mark.parametrize(("focus", "beside"), [(120.0, False), (136.0, True), (100.0, True), (None, False)])
def test_focus_beside_the_object_is_told_of_a_rig(tmp_path: Path, focus: float | None, beside: bool) -> None:
    """The ball reaches from 110 to 130 mm before the cameras."""
    write_capture(tmp_path, views=8, test_views=0, sharp=False, depth=False)
    edit_transforms(tmp_path, lambda t: [frame.update(focus_distance=focus) for frame in t["frames"]])
    process = process_of(singles(8))
    capture = read_capture(tmp_path)
    assert any("planes of focus" in p["what"] for p in find_problems(process, capture)) == beside
    process["poses"]["source"] = "sfm"  # then the distances are the camera's, and coarse
    assert not any("planes of focus" in p["what"] for p in find_problems(process, capture))


@pytest.mark.parametrize(("focus", "told"), [(40.0, True), (120.0, False), (None, False)])
def test_exif_that_is_focused_before_the_object(tmp_path: Path, focus: float | None, told: bool) -> None:
    """The ball begins 110 mm before the cameras; a slice that reaches it clears its stack."""
    write_capture(tmp_path, views=4, slices=2, test_views=0, sharp=False, depth=False)
    names = [(f"{i:03d}_{j}.png", f"{i:03d}", j) for i in range(4) for j in range(2)]
    exif = [{"focus_distance_mm": 40.0 if stack == "001" else focus, "focal_length_mm": 10.0} for _, stack, _ in names]
    exif[3]["focus_distance_mm"] = 125.0  # 001_1.png
    process = process_of([photograph(*name, exif=tags) for name, tags in zip(names, exif, strict=True)])
    found = [p["what"] for p in find_problems(process, read_capture(tmp_path)) if "EXIF" in p["what"]]
    assert len(found) == told
    if told:
        assert found[0].startswith(
            "By their EXIF data 6 photographs are focused clearly before the object, as 000_0.png at"
        )
    edit_transforms(tmp_path, lambda t: t.pop("scene_unit"))
    found = [p["what"] for p in find_problems(process, read_capture(tmp_path)) if "EXIF" in p["what"]]
    assert found == [], "without a scale nothing can be said"


def test_one_slice_on_the_object_is_enough(tmp_path: Path) -> None:
    write_capture(tmp_path, views=8, slices=2, test_views=0, sharp=False, depth=False)

    def defocus(transforms: dict[str, Any]) -> None:
        for frame in transforms["frames"]:
            frame["focus_distance"] = 120.0 if frame["stack_index"] == 0 else 140.0

    edit_transforms(tmp_path, defocus)
    process = process_of([photograph(f"{i:03d}_{j}.png", f"{i:03d}", j) for i in range(8) for j in range(2)])
    assert find_problems(process, read_capture(tmp_path)) == []


def test_a_lens_that_the_rig_describes_needs_no_exif(tmp_path: Path) -> None:
    capture, _ = capture_and_process(tmp_path)
    process = process_of(singles(8, exif={"focal_length_mm": None, "f_number": None}))
    assert find_problems(process, capture) == []
    edit_transforms(tmp_path, lambda t: [frame.update(f_number=None) for frame in t["frames"]])
    assert len(find_problems(process, read_capture(tmp_path))) == 1


def test_cameras_in_a_row_are_told(tmp_path: Path) -> None:
    _, process = capture_and_process(tmp_path)

    def row(transforms: dict[str, Any]) -> None:
        first = np.array(transforms["frames"][0]["transform_matrix"])
        for i, frame in enumerate(transforms["frames"]):
            first[:3, 3] += first[:3, 0] * i
            frame["transform_matrix"] = first.tolist()

    edit_transforms(tmp_path, row)
    assert any("look the same way" in p["what"] for p in find_problems(process, read_capture(tmp_path)))
