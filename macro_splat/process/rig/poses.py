"""From a rig's description to pose, intrinsics and optics of every photograph. `format.py` says what a rig.yaml is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.format import Intrinsics, Optics
from macro_splat.errors import MacroSplatError
from macro_splat.photographs.load import Photograph
from macro_splat.process.geometry import look_at_pose, rotation_from_z, slide
from macro_splat.process.poses import PosedPhotograph, Poses
from macro_splat.process.rig.format import Orbit, Rig, RigNames, RigPose
from macro_splat.process.rig.lens import pixel_pitch_mm
from macro_splat.process.rig.section import Section, suggestion
from macro_splat.process.stacks.grouping import Stack
from macro_splat.utils.fields import as_float


def poses_from_rig(rig: Rig, stacks: Sequence[Stack]) -> Poses:
    """Return pose, intrinsics and optics of every photograph, in mm.

    Raises:
        MacroSplatError: the rig has no poses, or not those of these stacks, or lacks something that the EXIF data do
            not have either.
    """
    posed: dict[str, PosedPhotograph] = {}
    for stack, pose in zip(stacks, _pair(rig, stacks), strict=True):
        posed |= _posed_stack(rig, stack, pose)
    return Poses("rig", posed, registered=frozenset(posed), mm=True)


def _pair(rig: Rig, stacks: Sequence[Stack]) -> list[RigPose]:
    """Return the pose of each stack."""
    if rig.orbit is not None and rig.names is not None:
        return [_named_pose(rig, rig.orbit, rig.names, stack) for stack in stacks]
    poses = rig.poses if rig.orbit is None else tuple(_orbit_pose(rig.orbit, *d) for d in rig.orbit.directions())
    if not poses:
        raise MacroSplatError(f"{rig.path}: it describes no poses; add a `turntable`, a `dome` or `poses`")
    by_name = {pose.name: pose for pose in poses if pose.name is not None}
    if by_name:
        unnamed = [stack.id for stack in stacks if stack.id not in by_name]
        if unnamed:
            raise MacroSplatError(
                f"{rig.path}: none of `poses` has the name {unnamed[0]!r} ({len(unnamed)} stacks lack one); add it"
                f"{suggestion(unnamed[0], list(by_name))}"
            )
        return [by_name[stack.id] for stack in stacks]
    if len(poses) != len(stacks):
        raise MacroSplatError(
            f"{rig.path}: it describes {len(poses)} poses, but the photographs form {len(stacks)} stacks "
            f"({', '.join(repr(stack.id) for stack in stacks[:3])} …); correct the rig or the grouping, or pair them "
            "by `names` or by the `name` of each pose"
        )
    return list(poses)


def _orbit_pose(orbit: Orbit, azimuth: float, elevation: float) -> RigPose:
    look_at = (0.0, 0.0, orbit.height_mm)
    return RigPose(None, None, azimuth, elevation, orbit.radius_mm, look_at, orbit.roll, None, None)


def _named_pose(rig: Rig, orbit: Orbit, names: RigNames, stack: Stack) -> RigPose:
    name = stack.photographs[0].name
    match = names.pattern.search(name)
    if match is None:
        raise MacroSplatError(
            f"{rig.path}: `names.pattern` {names.pattern.pattern!r} does not fit {name!r}; correct it or remove `names`"
        )
    counts = match.groupdict()
    angles = {}
    for key, listed, counter in (("angle", orbit.angles, names.angle), ("tilt", orbit.tilts, names.tilt)):
        text = counts.get(key)
        if text is not None:
            count = as_float(text, takes_text=True)
            if count is None or not abs(count) <= Section.largest:
                raise MacroSplatError(
                    f"{rig.path}: `names.pattern` takes {text!r} of {name!r} for the {key}; it must take a number"
                )
            angles[key] = (count - counter.zero) * counter.degrees_per_count
            if key == "angle":
                angles[key] = orbit.start + orbit.sign * angles[key]
        elif len(listed) == 1:
            angles[key] = listed[0]
        else:
            raise MacroSplatError(
                f"{rig.path}: `names.pattern` finds no {key} in {name!r} and the rig has {len(listed)} of them; add "
                f"the group `(?P<{key}>…)` to it"
            )
    return _orbit_pose(orbit, angles["angle"], angles["tilt"])


def _posed_stack(rig: Rig, stack: Stack, pose: RigPose) -> dict[str, PosedPhotograph]:
    count = len(stack.photographs)
    motion = stack.motion or rig.stack.motion if count > 1 else None
    offsets = slice_offsets(rig, stack, pose.step_mm)
    if motion == "rail" and offsets is None:
        raise MacroSplatError(f"{rig.path}: `stack.step_mm` is missing: how far the rail moves between two slices")
    if motion is None and count > 1 and offsets is not None:
        raise MacroSplatError(f"{rig.path}: `stack.motion` is missing; add ring or rail")
    posed = {}
    for i, photograph in enumerate(stack.photographs):
        focal_length, focus, assumed = _focus(rig, pose, photograph)
        offset = 0.0 if offsets is None else float(offsets[i])
        camera_to_world = _place(rig, pose, assumed)
        if motion == "rail":
            camera_to_world = slide(camera_to_world, offset)
        else:
            assumed += offset
            # Without its steps, the focus of a slice is anybody's guess.
            focus = None if focus is None or offsets is None else focus + offset
        image_distance = _image_distance(rig, photograph, focal_length, assumed)
        if not rig.lens.breathing:
            nominal = _lens_focus(rig, focal_length) or assumed - offset
            image_distance = _image_distance(rig, photograph, focal_length, nominal)
        f_number = rig.lens.f_number or photograph.exif.f_number
        posed[photograph.name] = PosedPhotograph(
            camera_to_world,
            _intrinsics(rig, photograph, image_distance),
            Optics(
                focus_distance=focus,
                aperture_radius=None if f_number is None else focal_length / (2 * f_number),
                f_number=f_number,
                focal_length_mm=focal_length,
                stack_motion=motion,
            ),
        )
    return posed


def slice_offsets(rig: Rig, stack: Stack, step_mm: float | None = None) -> NDArray[np.float64] | None:
    """Return how far the plane of focus of each photograph lies behind the middle of its stack, in mm; None: unknown.

    Args:
        step_mm: another step than the rig's.

    Raises:
        MacroSplatError: the rig describes stacks of another length, or of the other motion.
    """
    section, slices = rig.stack, stack.slices
    by_distances = section.focus_distances_mm is not None and step_mm is None
    if by_distances and (stack.motion or section.motion) == "rail" and len(stack.photographs) > 1:
        raise MacroSplatError(
            f"{rig.path}: `stack.focus_distances_mm` is of ring stacks, but {stack.id!r} was taken on a rail, where "
            "the focus stays; give `stack.step_mm` instead, or leave out --stack-motion rail"
        )
    expected = section.slices
    if by_distances and section.focus_distances_mm is not None:
        expected = len(section.focus_distances_mm)
    if expected is not None and slices.length != expected:
        raise MacroSplatError(
            f"{rig.path}: a stack has {expected} slices, but {stack.id!r} has {slices.length}; leave its photographs "
            "out or correct `stack`"
        )
    beyond = next((i for i, place in enumerate(slices.at) if place > slices.length - 1), None)
    if expected is not None and beyond is not None:
        raise MacroSplatError(
            f"{rig.path}: a stack has {expected} slices, but {stack.photographs[beyond].name!r} is number "
            f"{slices.at[beyond] + 1} of {stack.id!r}; leave it out or correct `stack`"
        )
    return section.offsets(slices.length, step_mm, slices.at)


def _place(rig: Rig, pose: RigPose, focus_mm: float) -> NDArray[np.float64]:
    """Return where the camera stands; a radius that is not given is the distance in focus."""
    if pose.matrix is not None:
        return pose.matrix
    radius = focus_mm if pose.radius_mm is None else pose.radius_mm
    camera_to_world = look_at_pose(pose.azimuth, pose.elevation, radius, pose.look_at_mm, pose.roll)
    if rig.orbit is None:
        return camera_to_world
    tilt = np.eye(4)
    tilt[:3, :3] = rotation_from_z(np.asarray(rig.orbit.axis) / np.linalg.norm(rig.orbit.axis))
    return tilt @ camera_to_world


def _lens_focus(rig: Rig, focal_length: float) -> float | None:
    """Return the distance from the lens to the plane of focus as the section `lens` tells it."""
    if rig.lens.magnification is not None:
        return focal_length * (1 + 1 / rig.lens.magnification)
    return rig.lens.focus_distance_mm


def _focus(rig: Rig, pose: RigPose, photograph: Photograph) -> tuple[float, float | None, float]:
    """Return focal length, distance in focus of the middle slice (None: unknown), and what to assume for it.

    EXIF's distance is too coarse to count as known. What is assumed is that the point looked at is sharp.
    """
    focal_length = rig.lens.focal_length_mm or photograph.exif.focal_length_mm
    if focal_length is None:
        raise MacroSplatError(
            f"{rig.path}: `lens.focal_length_mm` is missing and {photograph.name!r} has no EXIF focal length; add it"
        )
    focus = pose.focus_distance_mm
    if focus is None and pose.step_mm is None and rig.stack.focus_distances_mm is not None:
        focus = float(np.mean(rig.stack.focus_distances_mm))
    if focus is None:
        focus = _lens_focus(rig, focal_length)
    if pose.matrix is not None and pose.radius_mm is None:
        distance: float | None = float(np.linalg.norm(pose.matrix[:3, 3])) or None
    else:
        distance = pose.radius_mm
    assumed = focus or distance or photograph.exif.object_distance_mm
    if assumed is None:
        raise MacroSplatError(
            f"{rig.path}: `lens.focus_distance_mm` is missing, as are `lens.magnification`, the radius and the EXIF "
            f"focus distance of {photograph.name!r}; add one of them"
        )
    return focal_length, focus, assumed


def _image_distance(rig: Rig, photograph: Photograph, focal_length: float, focus_mm: float) -> float:
    """Return the distance from the thin lens to the sensor, f·(1 + m), in mm."""
    if focus_mm <= focal_length:
        raise MacroSplatError(
            f"{rig.path}: {photograph.name!r} would be focused at {focus_mm:g} mm, within the focal length of "
            f"{focal_length:g} mm; correct `lens.focus_distance_mm`, `stack.step_mm` or the radius"
        )
    return focal_length * focus_mm / (focus_mm - focal_length)


def _intrinsics(rig: Rig, photograph: Photograph, image_distance_mm: float) -> Intrinsics:
    width, height = photograph.width, photograph.height
    pitch = pixel_pitch_mm(rig.lens, photograph)
    if pitch is None:
        raise MacroSplatError(
            f"{rig.path}: `lens.sensor_width_mm` is missing and {photograph.name!r} has no EXIF sensor size; add it or "
            "`lens.pixel_pitch_um`"
        )
    focal_px = image_distance_mm / pitch
    return Intrinsics(focal_px, focal_px, width / 2, height / 2, width, height)
