"""Points on the object for poses that came without any: from the planes of focus of its stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from macro_splat.capture.format import SparsePoints
from macro_splat.photographs.load import Photograph, load_photograph, reduced_size
from macro_splat.process.mask_stage import PreparedMask
from macro_splat.process.poses import Poses
from macro_splat.process.stacks.depth import CELL_PX, MIN_SLICES, Slice, points_in_focus
from macro_splat.process.stacks.grouping import Stack
from macro_splat.process.workspace import Workspace

EDGE = 800
"""Photographs are compared at this longer edge."""
MAX_POINTS = 20_000
BYTES_PER_PIXEL = 6
"""At the peak: a photograph that is being decoded. What is compared is small."""


def points_from_stacks(
    poses: Poses, stacks: Sequence[Stack], masks: Mapping[str, PreparedMask], workspace: Workspace
) -> Poses:
    """Return the poses with points, as far as there are stacks whose every focus distance is known."""

    def focused(stack: Stack) -> SparsePoints:
        slices = []
        for photograph in stack.photographs:
            posed = poses.photographs[photograph.name]
            picture = load_photograph(photograph, EDGE)
            distance = posed.optics.focus_distance
            assert distance is not None
            slices.append(
                Slice(picture, posed.intrinsics.resized(*picture.shape[1::-1]), posed.camera_to_world, distance)
            )
        middle = stack.middle.name
        mask = None
        if middle in masks:
            height, width = slices[0].picture.shape[:2]
            inside = masks[middle].load().astype(np.uint8)
            mask = cv2.resize(inside, (width, height), interpolation=cv2.INTER_NEAREST) > 0
        return points_in_focus(slices, mask)

    chosen = [
        stack
        for stack in stacks
        if len(stack.photographs) >= MIN_SLICES
        and stack.of_one_size
        and all(_is_focused(poses, photograph.name) for photograph in stack.photographs)
    ]
    if poses.points is not None or not chosen:
        return poses
    found = workspace.for_each(chosen, focused, what="Points", bytes_per_pixel=BYTES_PER_PIXEL)
    middles = [stack.middle for stack in chosen]
    points = merged(found, float(np.median([_pixel_size(poses, photograph) for photograph in middles])) * CELL_PX)
    if len(points.xyz) > MAX_POINTS:
        kept = np.sort(np.random.default_rng(0).choice(len(points.xyz), MAX_POINTS, replace=False))
        points = SparsePoints(points.xyz[kept], points.rgb[kept])
    return replace(poses, points=points) if len(points.xyz) else poses


def merged(clouds: Sequence[SparsePoints], cell: float) -> SparsePoints:
    """Return the mean of the points in each cube of space: places that several stacks tell of count once.

    So the points lie evenly, as a training takes them: their distances say how large its first Gaussians are.

    Args:
        cell: edge of a cube.
    """
    xyz, rgb = np.concatenate([c.xyz for c in clouds]), np.concatenate([c.rgb for c in clouds])
    _, cube, count = np.unique(np.floor(xyz / cell), axis=0, return_inverse=True, return_counts=True)
    total = np.zeros((len(count), 6))
    np.add.at(total, cube.reshape(-1), np.concatenate([xyz, rgb], axis=1))
    mean = total / count[:, None]
    return SparsePoints(mean[:, :3], np.round(mean[:, 3:]).astype(np.uint8))


def _pixel_size(poses: Poses, photograph: Photograph) -> float:
    """Of the reduced photograph, in its plane of focus, in scene units."""
    posed = poses.photographs[photograph.name]
    assert posed.optics.focus_distance is not None
    return posed.optics.focus_distance / posed.intrinsics.resized(*reduced_size(photograph, EDGE)).fl_x


def _is_focused(poses: Poses, name: str) -> bool:
    return name in poses.photographs and poses.photographs[name].optics.focus_distance is not None
