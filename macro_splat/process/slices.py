"""Pose and intrinsics of each slice of a focus stack, whose slices share one pose after structure from motion.

By the ring of a lens the camera stays and the image scale changes with the focus; on a rail the camera slides. Both are
measured in the photographs (`stacks/alignment.py`), but for a rail whose steps are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from macro_splat.photographs.load import load_photograph, reduced_size
from macro_splat.process.geometry import slide
from macro_splat.process.poses import Poses
from macro_splat.process.rig.format import Rig
from macro_splat.process.rig.poses import slice_offsets
from macro_splat.process.stacks.alignment import SliceAlignment, align_stack, slice_intrinsics
from macro_splat.process.stacks.grouping import Stack
from macro_splat.process.workspace import Workspace, fingerprint, key_of

VERSION = 1
"""Counts changes of what is kept, so that results of older versions are made anew."""
ALIGNMENT_EDGE = 800
"""Slices are compared at this longer edge."""
BYTES_PER_PIXEL = 6
"""At the peak: a photograph that is being decoded. What is compared is small."""


def align_slices(stacks: Sequence[Stack], poses: Poses, workspace: Workspace) -> dict[str, SliceAlignment]:
    """Measure scale and shift of every slice relative to the one that its stack's pose is of; by name, in full pixels.

    Stacks without a pose, of one photograph, or of photographs of several sizes are left out.
    """

    def align(stack: Stack) -> dict[str, SliceAlignment]:
        photographs, reference = stack.photographs, _reference(stack, poses)
        names = [photograph.name for photograph in photographs]

        def measure() -> list[dict[str, Any]]:
            pictures = [load_photograph(photograph, ALIGNMENT_EDGE) for photograph in photographs]
            return [asdict(alignment) for alignment in align_stack(pictures, names.index(str(reference)))]

        key = key_of(VERSION, reference, [fingerprint(photograph) for photograph in photographs])
        kept = workspace.cached("slices", stack.id, key, measure)
        small = reduced_size(photographs[0], ALIGNMENT_EDGE)
        grow = photographs[0].width / small[0], photographs[0].height / small[1]
        alignments = {}
        for name, entry in zip(names, kept, strict=True):
            x, y = entry["shift_px"]
            alignments[name] = SliceAlignment(entry["scale"], (x * grow[0], y * grow[1]), entry["confidence"])
        return alignments

    chosen = [
        stack
        for stack in stacks
        if len(stack.photographs) > 1 and stack.of_one_size and _reference(stack, poses) is not None
    ]
    if not chosen:
        return {}
    aligned = workspace.for_each(chosen, align, what="Slices", bytes_per_pixel=BYTES_PER_PIXEL)
    return {name: alignment for stack in aligned for name, alignment in stack.items()}


def separate_slices(
    poses: Poses, stacks: Sequence[Stack], alignments: Mapping[str, SliceAlignment], rig: Rig | None = None
) -> Poses:
    """Give the slices of each stack what is their own; those that found their pose themselves keep it.

    * ring, or unknown: the camera stays, and its image is scaled and shifted.
    * rail: the camera slides along its axis, by the rig's steps where lengths are in mm and it has them, else by as
      much as the image scale asks for: what is imaged s times as large from the distance Z has come nearer by
      Z (1 − 1/s).

    Args:
        alignments: of the slices, by name, as `align_slices` gives them.
        rig: of which the steps count.
    """
    photographs = dict(poses.photographs)
    for stack in stacks:
        reference = _reference(stack, poses)
        if reference is None:
            continue
        names = [photograph.name for photograph in stack.photographs]
        on_rail = stack.motion == "rail"
        steps = slice_offsets(rig, stack) if on_rail and rig is not None and poses.mm else None
        for i, name in enumerate(names):
            posed = photographs[name]
            if name in poses.registered:
                continue
            if steps is not None:
                forward = float(steps[i] - steps[names.index(reference)])
            elif on_rail and name in alignments:
                forward = _object_distance(poses, reference) * (1 - 1 / alignments[name].scale)
            else:
                forward = 0.0
                if name in alignments and not on_rail:
                    intrinsics = slice_intrinsics(photographs[reference].intrinsics, alignments[name])
                    posed = replace(posed, intrinsics=intrinsics)
            photographs[name] = replace(posed, camera_to_world=slide(posed.camera_to_world, forward))
    return replace(poses, photographs=photographs)


def _reference(stack: Stack, poses: Poses) -> str | None:
    """Return the slice whose pose the others share."""
    own = [photograph.name for photograph in stack.photographs if photograph.name in poses.registered]
    return own[0] if own else None


def _object_distance(poses: Poses, name: str) -> float:
    """Return the median depth of the points before a camera; 0 if there are none, which leaves cameras in place."""
    if poses.points is None:
        return 0.0
    pose = poses.photographs[name].camera_to_world
    depth = (poses.points.xyz - pose[:3, 3]) @ -pose[:3, 2]
    return float(np.median(depth[depth > 0])) if (depth > 0).any() else 0.0
