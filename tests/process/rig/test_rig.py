"""rig.yaml: the geometry against rotated objects and the thin-lens equation, and every mistake told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macro_splat.errors import MacroSplatError
from macro_splat.photographs.exif import Exif
from macro_splat.photographs.load import Photograph
from macro_splat.process.config import Motion
from macro_splat.process.geometry import look_at_pose
from macro_splat.process.poses import PosedPhotograph
from macro_splat.process.rig import format as rig_format
from macro_splat.process.rig.format import read_rig
from macro_splat.process.rig.poses import poses_from_rig
from macro_splat.process.stacks.grouping import Stack

DATA = Path(__file__).parent / "data"
LENS = "lens: {focal_length_mm: 50, f_number: 4, focus_distance_mm: 150, sensor_width_mm: 36}\n"


def stack_of(identity: str, names: list[str], motion: Motion | None = None, **tags: Any) -> Stack:
    photographs = [
        Photograph(path=Path("/card") / name, name=name, width=600, height=400, exif=Exif(**tags)) for name in names
    ]
    return Stack(identity, tuple(photographs), motion)


def singles(count: int, **tags: Any) -> list[Stack]:
    return [stack_of(f"{i:03d}", [f"{i:03d}.jpg"], **tags) for i in range(count)]


def frames_of(folder: Path, text: str, stacks: list[Stack]) -> list[PosedPhotograph]:
    path = folder / "rig.yaml"
    path.write_text(text)
    frames = poses_from_rig(read_rig(path), stacks).photographs
    assert list(frames) == [photograph.name for stack in stacks for photograph in stack.photographs]
    return list(frames.values())


def turned(axis: np.ndarray, degrees: float, points: np.ndarray) -> np.ndarray:
    """Points [N, 3] turned ccw about the axis (Rodrigues)."""
    a, t = axis / np.linalg.norm(axis), np.radians(degrees)
    return points * np.cos(t) + np.cross(a, points) * np.sin(t) + np.outer(points @ a, a) * (1 - np.cos(t))


def seen(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """World points [N, 3] in the camera's own frame."""
    return (points - pose[:3, 3]) @ pose[:3, :3]


# --- geometry -----------------------------------------------------------------------------------------------------


def test_the_camera_looks_at_its_point_with_z_up() -> None:
    target = np.array([1.0, -2.0, 3.0])
    pose = look_at_pose(30.0, 40.0, 150.0, target)
    np.testing.assert_allclose(seen(pose, target[None]), [[0, 0, -150]], atol=1e-12)
    offset = pose[:3, 3] - target
    assert np.degrees(np.arctan2(offset[1], offset[0])) == pytest.approx(30)
    assert offset[2] == pytest.approx(150 * np.sin(np.radians(40)))
    assert seen(pose, target[None] + [[0, 0, 1]])[0] == pytest.approx([0, np.cos(np.radians(40)), -150 + 0.6427876097])
    np.testing.assert_allclose(np.linalg.det(pose[:3, :3]), 1)


def test_roll_turns_the_camera_ccw_so_that_the_scene_turns_cw() -> None:
    above = np.array([[0.0, 0.0, 1.0]])
    assert seen(look_at_pose(0, 0, 150, roll=90), above)[0] == pytest.approx([1, 0, -150], abs=1e-12)


@pytest.mark.parametrize("axis", [(0, 0, 1), (0, 0, -1), (1, 0, 0), (0.2, -0.3, 0.9)])
@pytest.mark.parametrize("direction", ["ccw", "cw"])
def test_a_turntable_turns_the_object_before_a_resting_camera(
    tmp_path: Path, axis: tuple[float, float, float], direction: str
) -> None:
    points = np.random.default_rng(0).normal(size=(5, 3)) * 10
    text = LENS + (
        f"turntable: {{radius_mm: 150, direction: {direction}, angles: [0, 25, 110], start: 15, height_mm: 4,"
        f" axis: {list(axis)}, tilts: [0, 35], roll: 5}}"
    )
    frames = frames_of(tmp_path, text, singles(6))
    for tilt in range(2):
        resting = frames[3 * tilt].camera_to_world
        for k, angle in enumerate((0, 25, 110)):
            moved = turned(np.array(axis, dtype=float), angle if direction == "ccw" else -angle, points)
            np.testing.assert_allclose(
                seen(frames[3 * tilt + k].camera_to_world, points), seen(resting, moved), atol=1e-9
            )


def test_a_dome_moves_the_camera_instead(tmp_path: Path) -> None:
    table = frames_of(tmp_path, LENS + "turntable: {radius_mm: 150, direction: cw, steps: 8}", singles(8))
    dome = frames_of(tmp_path, LENS + "dome: {radius_mm: 150, direction: ccw, steps: 8}", singles(8))
    for a, b in zip(table, dome, strict=True):
        np.testing.assert_array_equal(a.camera_to_world, b.camera_to_world)
    np.testing.assert_allclose(dome[2].camera_to_world[:3, 3], [0, 150, 0], atol=1e-12)


def test_tilts_within_angles(tmp_path: Path) -> None:
    text = LENS + "dome: {radius_mm: 100, direction: ccw, steps: 4, sweep: 180, tilts: [0, 90], order: by_angle}"
    centres = np.array([frame.camera_to_world[:3, 3] for frame in frames_of(tmp_path, text, singles(8))])
    np.testing.assert_allclose(centres[1::2], [[0, 0, 100]] * 4, atol=1e-12)
    np.testing.assert_allclose(centres[4], [0, 100, 0], atol=1e-12)


def test_scant_names_tell_the_angles(tmp_path: Path) -> None:
    counts = [(190, 0), (190, 400), (390, 1200)]
    stacks = [stack_of(f"{x}", [f"_x_{x:05d}_y_{y:05d}_z_{z:05d}_.tif" for z in (0, 500)]) for x, y in counts]
    text = LENS + (
        "dome: {radius_mm: 200, direction: ccw}\nstack: {motion: rail, step_mm: 0.5}\n"
        "names: {tilt: {degrees_per_count: 0.45, zero: 190}, angle: {degrees_per_count: 0.225}}"
    )
    frames = frames_of(tmp_path, text, stacks)
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose([frame.camera_to_world[:3, 2] for frame in frames[::2]], expected, atol=1e-12)


def test_poses_are_paired_by_name_or_order(tmp_path: Path) -> None:
    poses = "poses:\n  - {name: '001', azimuth: 0, elevation: 90, radius_mm: 70}\n  - {name: '000', matrix: %s}\n"
    matrix = look_at_pose(77, 11, 120, (1, 2, 3))
    frames = frames_of(tmp_path, LENS + poses % matrix.tolist(), singles(2))
    np.testing.assert_allclose(frames[0].camera_to_world, matrix, atol=1e-12)
    assert frames[1].camera_to_world[2, 3] == pytest.approx(70)
    listed = frames_of(tmp_path, LENS + f"poses: [{matrix.tolist()}, {{azimuth: 0, elevation: 0}}]", singles(2))
    np.testing.assert_allclose(listed[0].camera_to_world, matrix, atol=1e-12)
    assert listed[1].camera_to_world[0, 3] == pytest.approx(150), "no radius: the distance in focus"


# --- optics -------------------------------------------------------------------------------------------------------


def test_a_ring_stack_keeps_its_place_and_breathes(tmp_path: Path) -> None:
    stacks = [stack_of("a", [f"a{k}.jpg" for k in range(5)])]
    text = LENS + "poses: [{azimuth: 0, elevation: 0}]\nstack: {motion: ring, step_mm: 2, first: far, slices: 5}"
    frames = frames_of(tmp_path, text, stacks)
    assert [frame.optics.focus_distance for frame in frames] == [154, 152, 150, 148, 146]
    for frame in frames:
        np.testing.assert_array_equal(frame.camera_to_world, look_at_pose(0, 0, 150))
        image_distance = frame.intrinsics.fl_x * 36 / 600
        assert 1 / image_distance + 1 / (frame.optics.focus_distance or 0) == pytest.approx(1 / 50)
        assert (frame.intrinsics.cx, frame.intrinsics.cy, frame.intrinsics.width) == (300, 200, 600)
        assert frame.optics.aperture_radius == pytest.approx(50 / 8)
        assert (frame.optics.f_number, frame.optics.focal_length_mm, frame.optics.stack_motion) == (4, 50, "ring")
    still = frames_of(tmp_path, text.replace("36}", "36, breathing: false}"), stacks)
    assert {frame.intrinsics.fl_x for frame in still} == {frames[2].intrinsics.fl_x}
    listed = frames_of(
        tmp_path, text.replace("step_mm: 2, first: far", "focus_distances_mm: [90, 91, 95, 100, 104]"), stacks
    )
    assert [frame.optics.focus_distance for frame in listed] == pytest.approx([90, 91, 95, 100, 104])


def test_a_rail_stack_slides_towards_the_object(tmp_path: Path) -> None:
    stacks = [stack_of("a", ["a0.jpg", "a1.jpg", "a2.jpg"], motion="rail"), stack_of("b", ["b.jpg"])]
    text = LENS + "poses: [{azimuth: 30, elevation: 20}, {azimuth: 0, elevation: 0}]\nstack: {step_mm: 0.5}"
    frames = frames_of(tmp_path, text, stacks)
    distances = [np.linalg.norm(frame.camera_to_world[:3, 3]) for frame in frames]
    assert distances == pytest.approx([150.5, 150, 149.5, 150])
    assert {frame.optics.focus_distance for frame in frames} == {150}
    assert len({frame.intrinsics.fl_x for frame in frames}) == 1
    assert [frame.optics.stack_motion for frame in frames] == ["rail", "rail", "rail", None]


def test_magnification_and_pixel_pitch(tmp_path: Path) -> None:
    text = "lens: {focal_length_mm: 60, magnification: 0.5, pixel_pitch_um: 6}\nposes: [{azimuth: 0, elevation: 0}]"
    (frame,) = frames_of(tmp_path, text, singles(1))
    assert frame.optics.focus_distance == pytest.approx(180)
    assert frame.intrinsics.fl_x == pytest.approx(90 / 0.006)
    assert frame.optics.aperture_radius is None


def test_what_the_rig_leaves_open_comes_from_exif(tmp_path: Path) -> None:
    tags = {"focal_length_mm": 100.0, "f_number": 8.0, "pixel_pitch_mm": 0.005, "magnification": 0.25}
    (frame,) = frames_of(tmp_path, "poses: [{azimuth: 0, elevation: 0}]", singles(1, **tags))
    assert np.linalg.norm(frame.camera_to_world[:3, 3]) == pytest.approx(500)
    assert frame.intrinsics.fl_x == pytest.approx(125 / 0.005)
    assert frame.optics.aperture_radius == pytest.approx(100 / 16)
    assert frame.optics.focus_distance is None, "EXIF's distance is too coarse to be called known"


def test_a_synthetic_stack_capture_described_by_hand() -> None:
    """The rig of pod_stack_6x5 against the poses and lenses that its pictures were ray-traced with."""
    truth = json.loads((DATA / "pod_stack_6x5_frames.json").read_text())
    stacks = [
        Stack(
            name,
            tuple(Photograph(Path(f"{name}_{k}.png"), f"{name}_{k}.png", 320, 240, Exif()) for k in range(5)),
        )
        for name in truth["stacks"]
    ]
    frames = poses_from_rig(read_rig(DATA / "pod_stack_6x5_rig.yaml"), stacks).photographs
    assert len(frames) == 30
    for name, expected in truth["stacks"].items():
        for k, focus_distance in enumerate(expected["focus_distances_mm"]):
            frame = frames[f"{name}_{k}.png"]
            np.testing.assert_allclose(frame.camera_to_world, expected["camera_to_world"], rtol=0, atol=1e-8)
            assert frame.intrinsics.fl_x == pytest.approx(truth["fl_x"], rel=1e-12)
            assert (frame.intrinsics.cx, frame.intrinsics.cy) == (160, 120)
            assert frame.optics.focus_distance == pytest.approx(focus_distance, abs=1e-6)
            assert frame.optics.aperture_radius == pytest.approx(truth["aperture_radius_mm"], rel=1e-12)


# --- mistakes -----------------------------------------------------------------------------------------------------

ORBIT = "turntable: {direction: ccw, steps: 3, radius_mm: 150}\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("turntable: [", "is no valid YAML"),
        ("stack: {step_mm: 1, motion: rail, step_mm: 2}", "'step_mm' is there twice; keep one"),
        ("stack: {motion: rail}\nstack: {motion: ring}", "'stack' is there twice; keep one"),
        ("!!timestamp x", "is no valid YAML"),
        ("", "holds None; it must be a mapping of turntable"),
        ("turntabel: {}", "`turntabel` is unknown (did you mean 'turntable'?)"),
        ("turntable: {radius: 3, direction: cw}", "`turntable.radius` is unknown (did you mean 'radius_mm'?)"),
        ("turntable: {direction: cw}", "`turntable.steps` is missing"),
        ("turntable: {steps: 3}", "`turntable.direction` is missing"),
        ("turntable: {steps: 3.5, direction: cw}", "`turntable.steps` is 3.5; it must be a whole number"),
        ("turntable: {steps: 1.0e8, direction: cw}", "`turntable.steps` is '1.0e8'; it must be the number"),
        ("turntable: {steps: 3, angles: [1], direction: cw}", "`turntable.steps` and `turntable.angles` exclude"),
        ("turntable: {angles: 10, direction: cw}", "`turntable.angles` is 10; it must be a list of numbers"),
        ("turntable: {steps: 3, direction: left}", "`turntable.direction` is 'left'; it must be ccw or cw"),
        ("turntable: {steps: 3, direction: cw, axis: [0, 0, 0]}", "`turntable.axis` is [0, 0, 0]"),
        ("turntable: {steps: 3, direction: cw, radius_mm: -1}", "`turntable.radius_mm` is -1; it must be a positive"),
        (ORBIT + "poses: [{azimuth: 0, elevation: 0}]", "`turntable` and `poses` exclude each other"),
        ("poses: []", "`poses` is []; it must be a list of cameras"),
        ("poses: [{azimuth: 3}]", "`poses[0].azimuth` or `elevation` is missing"),
        ("poses: [[[1, 0], [0, 1]]]", "`poses[0].matrix` is [[1, 0], [0, 1]]; it must be 4 rows"),
        (f"poses: [{np.diag([1, 1, 2, 1]).tolist()}]", "it must be rigid"),
        ("poses: [{name: a, azimuth: 0, elevation: 0}, {azimuth: 0, elevation: 0}]", "`poses[1].name` is missing"),
        ("poses: [{name: a, azimuth: 0, elevation: 0}, {name: a, azimuth: 0, elevation: 0}]", "'a' more than once"),
        ("lens: {focal_length_mm: .nan}", "`lens.focal_length_mm` is nan; it must be a positive number"),
        ("lens: {focal_length_mm: 50, focus_distance_mm: 40}", "beyond the focal length, 50 mm"),
        ("lens: {magnification: 1, focus_distance_mm: 40}", "exclude each other"),
        ("lens: {breathing: maybe}", "`lens.breathing` is 'maybe'; it must be true or false"),
        ("stack: {motion: slide}", "`stack.motion` is 'slide'; it must be ring or rail"),
        ("stack: {motion: rail, focus_distances_mm: [1, 2]}", "on a rail the focus stays"),
        ("names: {}", "`names` tells the angles of a `turntable`"),
        (ORBIT + "names: {pattern: '('}", "`names.pattern` is '('; it must be a regular expression"),
        (ORBIT + "names: {pattern: 'x'}", "with the groups `angle` and `tilt`"),
        ("scale_bar: {}", "`scale_bar.length_mm` is missing"),
        ("scale_bar: {length_mm: 3}", "`scale_bar.markers` is missing: the identities of the two markers"),
        ("scale_bar: {length_mm: 3, markers: [1, 1]}", "the identities of two markers"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(text)
    with pytest.raises(MacroSplatError) as caught:
        read_rig(path)
    assert str(path) in str(caught.value)
    assert complaint in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (LENS, "describes no poses; add a `turntable`"),
        (LENS + "turntable: {direction: ccw, steps: 4}", "describes 4 poses, but the photographs form 3 stacks"),
        (LENS + "poses: [{name: '00', azimuth: 0, elevation: 0}]", "has the name '000' (3 stacks lack one)"),
        (ORBIT, "`lens.focal_length_mm` is missing and '000.jpg' has no EXIF"),
        ("turntable: {direction: ccw, steps: 3}\nlens: {focal_length_mm: 50}", "`lens.focus_distance_mm` is missing"),
        (ORBIT + "lens: {focal_length_mm: 50}", "`lens.sensor_width_mm` is missing"),
        (ORBIT + "lens: {focal_length_mm: 200, sensor_width_mm: 36}", "focused at 150 mm, within the focal length"),
        (LENS + ORBIT + "names: {}", "does not fit '000.jpg'"),
        (LENS + ORBIT + r"names: {pattern: '(?P<angle>\w)'}" + "\nstack: {slices: 4}", "4 slices, but '000' has 1"),
        (LENS + ORBIT + r"names: {pattern: '(?P<tilt>0)'}", "finds no angle in '000.jpg' and the rig has 3 of them"),
        (LENS + ORBIT + r"names: {pattern: '(?P<angle>j)'}", "takes 'j' of '000.jpg' for the angle"),
    ],
)
def test_a_rig_that_does_not_fit_the_photographs_is_told(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(MacroSplatError) as caught:
        frames_of(tmp_path, text, singles(3))
    assert complaint in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("section", "complaint"),
    [("stack: {step_mm: 1}", "`stack.motion` is missing"), ("stack: {motion: rail}", "`stack.step_mm` is missing")],
)
def test_a_stack_without_its_motion_or_step_is_told(tmp_path: Path, section: str, complaint: str) -> None:
    with pytest.raises(MacroSplatError, match=complaint):
        frames_of(tmp_path, LENS + "poses: [{azimuth: 0, elevation: 0}]\n" + section, [stack_of("a", ["0", "1"])])


def test_the_documented_example_has_every_key_and_reads(tmp_path: Path) -> None:
    text = (rig_format.__doc__ or "").split("```yaml")[1].split("```")[0]
    example = yaml.safe_load(text)
    assert {*example, "dome"} == set(rig_format._TOP_KEYS)
    documented = {key for section in example.values() if isinstance(section, dict) for key in section}
    documented |= {key for pose in example["poses"] for key in pose}
    known = (rig_format._ORBIT_KEYS, rig_format._POSE_KEYS, rig_format._LENS_KEYS, rig_format._STACK_KEYS)
    also = {"angles", "magnification", "pixel_pitch_um"}
    for key in also:
        assert f"`{key}: " in text
    assert {key for keys in known for key in keys} <= documented | also
    for left_out in ("turntable", "poses"):
        sections = {key: value for key, value in example.items() if key not in (left_out, "dome", "names")}
        sections["stack"] = {key: value for key, value in example["stack"].items() if key != "focus_distances_mm"}
        path = tmp_path / "rig.yaml"
        if left_out == "turntable":
            for i, pose in enumerate(sections["poses"]):
                pose["name"] = f"{i:03d}"
        path.write_text(yaml.safe_dump(sections))
        assert read_rig(path).has_poses


# --- any input ----------------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.sampled_from(["ccw", "ring", "near"])
)
NUMBERS = st.one_of(st.floats(0.1, 500), st.integers(1, 5), SCALARS)
ITEMS = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=3))


def section_of(keys: tuple[str, ...]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(keys), st.one_of(NUMBERS, ITEMS), max_size=5) | ITEMS


SECTIONS = {
    "turntable": section_of(rig_format._ORBIT_KEYS).map(
        lambda value: {"direction": "cw", "steps": 2, **value} if isinstance(value, dict) else value
    ),
    "dome": section_of(rig_format._ORBIT_KEYS),
    "names": section_of(("pattern", "angle", "tilt")),
    "poses": st.lists(section_of(rig_format._POSE_KEYS), max_size=3) | ITEMS,
    "lens": section_of(rig_format._LENS_KEYS).map(
        lambda value: {"focal_length_mm": 50, "sensor_width_mm": 30, **value} if isinstance(value, dict) else value
    ),
    "stack": section_of(rig_format._STACK_KEYS),
    "scale_bar": section_of(("length_mm", "markers")),
}
RIGS = st.sets(st.sampled_from(list(SECTIONS)), max_size=4).flatmap(
    lambda keys: st.fixed_dictionaries({key: SECTIONS[key] for key in sorted(keys)})
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.one_of(RIGS.map(lambda rig: yaml.safe_dump(rig).encode()), st.binary(), st.text().map(str.encode)))
def test_any_file_is_read_or_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rig.yaml"
    path.write_bytes(data)
    stacks = [stack_of("000", ["_x_1_y_2_0.png", "_x_1_y_2_1.png"]), stack_of("001", ["_x_1_y_3.png"])]
    try:
        frames = poses_from_rig(read_rig(path), stacks).photographs
    except MacroSplatError as error:
        complaint: str | None = str(error)
    else:
        complaint = None
        for frame in frames.values():
            rotation = frame.camera_to_world[:3, :3]
            np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-6)
            assert np.isfinite(frame.camera_to_world).all()
            assert 0 < frame.intrinsics.fl_x < np.inf
    assert complaint is None or len(complaint.splitlines()) == 1
