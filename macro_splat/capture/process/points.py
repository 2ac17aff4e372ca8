"""Points on the object for poses that came without any: from the planes of focus of its stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from macro_splat.capture.format import SparsePoints
from macro_splat.capture.photographs.load import load_photograph, reduced_size
from macro_splat.capture.process.mask_stage import PreparedMask
from macro_splat.capture.process.parallel import Progress, for_each, threads_for
from macro_splat.capture.process.poses import Poses
from macro_splat.capture.process.write import reduced
from macro_splat.capture.stacks.depth import MIN_SLICES, Slice, points_in_focus
from macro_splat.capture.stacks.grouping import Stack

EDGE = 800
"""Photographs are compared at this longer edge."""
MOST_POINTS = 20_000
BYTES_PER_PIXEL = 6
"""At the peak: a photograph that is being decoded. What is compared is small."""


def points_from_stacks(
    poses: Poses,
    stacks: Sequence[Stack],
    masks: Mapping[str, PreparedMask],
    *,
    threads: int | None,
    progress: Progress,
) -> Poses:
    """The poses with points, as far as there are stacks whose every focus distance is known."""

    def focused(stack: Stack) -> SparsePoints:
        slices = []
        for photograph in stack.photographs:
            posed = poses.photographs[photograph.name]
            picture = load_photograph(photograph, EDGE)
            distance = posed.optics.focus_distance
            assert distance is not None
            slices.append(
                Slice(
                    picture, reduced(posed.intrinsics, *reduced_size(photograph, EDGE)), posed.camera_to_world, distance
                )
            )
        middle = stack.photographs[len(stack.photographs) // 2].name
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
        and len({(photograph.width, photograph.height) for photograph in stack.photographs}) == 1
        and all(_is_focused(poses, photograph.name) for photograph in stack.photographs)
    ]
    if poses.points is not None or not chosen:
        return poses
    most = threads_for([photograph for stack in chosen for photograph in stack.photographs], BYTES_PER_PIXEL, threads)
    found = for_each(chosen, focused, threads=most, what="Points", progress=progress)
    xyz, rgb = (np.concatenate(parts) for parts in zip(*((points.xyz, points.rgb) for points in found), strict=True))
    if len(xyz) > MOST_POINTS:
        kept = np.sort(np.random.default_rng(0).choice(len(xyz), MOST_POINTS, replace=False))
        xyz, rgb = xyz[kept], rgb[kept]
    return replace(poses, points=SparsePoints(xyz, rgb)) if len(xyz) else poses


def _is_focused(poses: Poses, name: str) -> bool:
    return name in poses.photographs and poses.photographs[name].optics.focus_distance is not None
