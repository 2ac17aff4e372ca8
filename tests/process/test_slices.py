"""Slices of a stack after structure from motion: magnified by the lens's ring, or moved along the axis on a rail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from macro_splat.capture import Intrinsics, SparsePoints
from macro_splat.photographs.load import find_photographs
from macro_splat.process.config import Motion
from macro_splat.process.poses import PosedPhotograph, Poses
from macro_splat.process.rig.format import read_rig
from macro_splat.process.slices import align_slices, separate_slices
from macro_splat.process.stacks.alignment import SliceAlignment
from macro_splat.process.stacks.grouping import Stack, group_stacks
from macro_splat.process.workspace import Workspace

LENS = Intrinsics(500.0, 500.0, 50.0, 40.0, 96, 80)
DISTANCE = 30.0
NAMES = [f"pose1_slice{i}.png" for i in range(3)]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """Three slices, of which each shows the same 2 % larger than the one before."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (160, 192)).astype(np.float32), (0, 0), 1.5)
    texture = np.clip(128 + 4 * (texture - texture.mean()), 0, 255).astype(np.uint8)
    for i, name in enumerate(NAMES):
        scale = 1.02**i
        matrix = np.array([[scale, 0, 48 - 96 * scale], [0, scale, 40 - 80 * scale]])
        Image.fromarray(cv2.warpAffine(texture, matrix, (96, 80))).convert("RGB").save(tmp_path / name)
    (only,) = group_stacks(find_photographs(tmp_path))
    return only


def sfm_poses(registered: str = NAMES[1]) -> Poses:
    """One pose for all slices: at z = DISTANCE, looking down on points around the origin."""
    pose = np.eye(4)
    pose[2, 3] = DISTANCE
    points = SparsePoints(np.random.default_rng(0).normal(size=(101, 3)) * [5, 5, 0], np.zeros((101, 3), np.uint8))
    posed = {name: PosedPhotograph(pose, LENS) for name in NAMES}
    return Poses("sfm", posed, points, registered=frozenset({registered}))


def aligned(*scales: float) -> dict[str, SliceAlignment]:
    return {name: SliceAlignment(s, (0.0, 0.0), 1.0) for name, s in zip(NAMES, scales, strict=True)}


def test_slices_are_measured_against_the_one_that_has_the_pose(stack: Stack, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, threads=1)
    for reference in (0, 1):
        found = align_slices([stack], sfm_poses(NAMES[reference]), workspace)
        assert [found[name].scale for name in NAMES] == pytest.approx(
            [1.02 ** (i - reference) for i in range(3)], abs=2e-3
        )


@pytest.mark.parametrize("motion", ["ring", None])
def test_by_the_ring_the_focal_length_changes_and_not_the_camera(stack: Stack, motion: Motion | None) -> None:
    poses = separate_slices(sfm_poses(), [replace(stack, motion=motion)], aligned(0.98, 1.0, 1.03))
    posed = [poses.photographs[name] for name in NAMES]
    assert [p.intrinsics.fl_x for p in posed] == pytest.approx([490, 500, 515])
    # The middle of the picture is what all slices are magnified about.
    assert [p.intrinsics.cx for p in posed] == pytest.approx([48 + 2 * s for s in (0.98, 1.0, 1.03)])
    assert all((p.camera_to_world == posed[1].camera_to_world).all() for p in posed)


def test_on_a_rail_the_camera_comes_nearer_as_the_picture_grows(stack: Stack) -> None:
    poses = separate_slices(sfm_poses(), [replace(stack, motion="rail")], aligned(1 / 1.05, 1.0, 1.05))
    posed = [poses.photographs[name] for name in NAMES]
    depths = [p.camera_to_world[2, 3] for p in posed]
    assert [DISTANCE / depth for depth in depths] == pytest.approx([1 / 1.05, 1.0, 1.05])
    assert all(p.intrinsics == LENS for p in posed)


def test_known_steps_of_a_rail_count_where_the_scale_is_known(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "rig.yaml").write_text("stack: {motion: rail, step_mm: 0.5}\n")
    rig, rail = read_rig(tmp_path / "rig.yaml"), replace(stack, motion="rail")
    poses = separate_slices(sfm_poses(NAMES[0]).scaled_to_mm(2.0), [rail], aligned(1.0, 1.0, 1.0), rig)
    depths = [poses.photographs[name].camera_to_world[2, 3] for name in NAMES]
    assert depths == pytest.approx([60.0, 59.5, 59.0])


def test_a_slice_that_found_its_own_pose_keeps_it(stack: Stack) -> None:
    poses = replace(sfm_poses(), registered=frozenset(NAMES[:2]))
    told = separate_slices(poses, [replace(stack, motion="ring")], aligned(1.0, 1.1, 1.2))
    assert told.photographs[NAMES[1]].intrinsics == LENS
    assert told.photographs[NAMES[2]].intrinsics.fl_x == pytest.approx(600)


def test_a_slice_that_is_left_out_moves_none_of_the_others(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "rig.yaml").write_text("stack: {motion: rail, step_mm: 0.5}\n")
    rest = replace(stack, motion="rail").without([NAMES[1]])
    poses = sfm_poses(NAMES[0]).scaled_to_mm(2.0)
    told = separate_slices(poses, [rest], {}, read_rig(tmp_path / "rig.yaml"))
    assert told.photographs[NAMES[2]].camera_to_world[2, 3] == pytest.approx(59.0)
