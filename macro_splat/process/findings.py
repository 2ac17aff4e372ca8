"""What will go wrong with a capture, and what to do: as far as it follows from process.json and the poses alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from macro_splat.capture.coverage import azimuth_gaps, directions, object_centre
from macro_splat.capture.format import Capture, Frame
from macro_splat.capture.plausibility import FOCUS_SHORT, scene_distances
from macro_splat.process.problems import Problem, hint, problem, warning
from macro_splat.utils.messages import first_few

MIN_POSES = 8
WIDE_GAP = 60.0
"""Degrees of azimuth without a photograph."""
ONE_RING = 10.0
"""Degrees of elevation; within so many all photographs were taken from one height."""
MAX_REPROJECTION_PX = 2.0
MAX_SCALE_DEVIATION = 0.01
"""Standard deviation of the scale, relative to it."""
FOCAL_LENGTH_TOLERANCE = 0.01
"""Relative; within so much a lens that breathes has one focal length."""
MIN_EXIF_SHARE = 0.5
"""Share of the photographs that should carry focal length and f-number."""
FOCUS_TOLERANCE = {"rig": 0.02}
"""Relative error of focus distances by where the poses, and with them the distances, come from."""
EXIF_FOCUS_TOLERANCE = 0.2


def find_problems(process: Mapping[str, Any], capture: Capture | None = None) -> list[Problem]:
    """Return findings beside those that process.json lists already, errors first.

    Args:
        process: process.json as an object; `problems` may be missing.
        capture: the capture that was made, for what follows from poses: gaps, and focus before or behind the object.
    """
    problems = [found for find in _FINDERS for found in find(process)]
    if capture is None or not _lens_given(capture):
        problems += _little_exif(process)
    if capture is not None:
        frames = _frames_by_stack(process, capture)
        if len(frames) >= 3:
            problems += _gaps(frames)
            problems += _focus_beside_object(process, frames, capture)
        problems += _exif_focus_before_object(process, capture)
    known = {found["what"] for found in process.get("problems", [])}
    order = ("error", "warning", "hint")
    return sorted((p for p in problems if p["what"] not in known), key=lambda p: order.index(p["severity"]))


# --- from process.json --------------------------------------------------------------------------------------------


def _no_poses(process: Mapping[str, Any]) -> Iterator[Problem]:
    if process["poses"]["source"] is not None or _error_reported(process):
        return
    if process["settings"].get("poses") == "none":
        yield hint("Poses were not looked for, so that there is nothing to train yet.", "Leave out --poses none.")
    else:
        yield problem(
            "error",
            "The photographs have no poses: there is nothing to train yet.",
            "Describe the rig by --rig, or process with --poses sfm.",
        )


def _too_few_poses(process: Mapping[str, Any]) -> Iterator[Problem]:
    poses = len({photograph["stack_id"] for photograph in _taking_part(process)})
    source = process["poses"]["source"]
    if poses >= MIN_POSES or (source is None and _error_reported(process)):
        return
    if source == "rig":
        yield hint(f"{_count(poses, 'pose')} only.", f"{MIN_POSES} or more make a model, 20 to 60 a good one.")
    else:
        yield warning(
            f"{_count(poses, 'pose')} only: structure from motion needs {MIN_POSES} or more.",
            "Photograph from more sides, every 15° or closer, or give the poses by --rig.",
        )


def _unregistered(process: Mapping[str, Any]) -> Iterator[Problem]:
    names = process["poses"]["unregistered"]
    if names:
        yield warning(
            f"{_count(len(names), 'photograph')} found no place among the others and {_is(names)} left out: "
            f"{first_few(names, 5)}.",
            "Photograph in between, with more overlap; mask a background that does not turn with the object.",
        )


def _inaccurate_poses(process: Mapping[str, Any]) -> Iterator[Problem]:
    error = process["poses"]["reprojection_error_px"]
    if error is not None and error > MAX_REPROJECTION_PX:
        yield warning(
            f"The poses are inaccurate: points are {error:.1f} px off where the photographs show them.",
            "Leave out photographs that are blurred, and mask what moved between them.",
        )


def _nothing_in_focus(process: Mapping[str, Any]) -> Iterator[Problem]:
    verdicts = {photograph["name"]: photograph["verdict"] for photograph in process["photographs"]}
    counts = [
        (stack, Counter(verdicts[name] for name in stack["photographs"] if name in verdicts))
        for stack in process["stacks"]
    ]
    blurred = [(stack, found) for stack, found in counts if found and "sharp" not in found]
    if not blurred:
        return
    names = [stack["id"] if len(stack["photographs"]) > 1 else stack["photographs"][0] for stack, _ in blurred]
    shaken = sum(found["motion blur"] >= found["out of focus"] for _, found in blurred)
    by_motion = "with a release, a shorter exposure or flash, against motion blur."
    by_focus = "focused on the object, with smaller focus steps or a smaller aperture."
    yield warning(
        f"Nothing is sharp in the photographs of {len(blurred)} of {_count(len(process['stacks']), 'pose')}: "
        f"{first_few(names, 5)}.",
        f"Take these again: {by_motion if shaken > len(blurred) / 2 else by_focus}",
    )


def _single_photographs(process: Mapping[str, Any]) -> Iterator[Problem]:
    single = [stack["photographs"][0] for stack in process["stacks"] if len(stack["photographs"]) == 1]
    stacks = len(process["stacks"]) - len(single)
    if single and stacks:
        yield warning(
            f"{_count(len(single), 'photograph')} {_belongs(single)} to none of the {_count(stacks, 'focus stack')}: "
            f"{first_few(single, 5)}.",
            "Say how the stacks are told apart by --stack-by or --stack-pattern, or take stray photographs away.",
        )


def _incomplete_stacks(process: Mapping[str, Any]) -> Iterator[Problem]:
    stacks = [stack for stack in process["stacks"] if len(stack["photographs"]) > 1]
    lacking = [stack for stack in stacks if stack.get("missing")]
    if lacking:
        named = first_few((f"{stack['id']} (number {first_few(stack['missing'], 5)})" for stack in lacking), 5)
        yield warning(
            f"By the numbers in the names, slices are missing in {_count(len(lacking), 'focus stack')}: {named}.",
            "The others keep their places by their numbers. Take what is missing again, or say by --stack-pattern "
            "which number counts the slices.",
        )
    doubled = [stack for stack in stacks if stack.get("doubled")]
    if doubled:
        named = first_few((f"{stack['id']} (number {first_few(stack['doubled'], 5)})" for stack in doubled), 5)
        yield warning(
            f"Several photographs have the same number in {_count(len(doubled), 'focus stack')}: {named}.",
            "Keep one of each; they count as the same slice.",
        )
    lengths = Counter(
        len(set(stack.get("slices") or stack["photographs"])) + len(stack.get("missing") or ()) for stack in stacks
    )
    if len(lengths) > 1:
        usual = lengths.most_common(1)[0][0]
        sizes = [(stack["id"], len(stack["photographs"])) for stack in stacks]
        other = first_few((f"{name} ({size})" for name, size in sizes if size != usual), 5)
        yield warning(
            f"Focus stacks of different lengths: mostly {usual} slices, but {other}.",
            "Take slices that are missing again; steps in a rig file count from the middle of each stack.",
        )


def _mixed_cameras(process: Mapping[str, Any]) -> Iterator[Problem]:
    photographs = _taking_part(process)
    cameras = Counter(p["exif"]["camera"] for p in photographs if p["exif"]["camera"])
    if len(cameras) > 1:
        found = ", ".join(f"{camera} ({count})" for camera, count in cameras.most_common(4))
        yield warning(f"Photographs of {len(cameras)} cameras: {found}.", "Process each camera by itself.")
    focal_lengths = sorted(p["exif"]["focal_length_mm"] for p in photographs if p["exif"]["focal_length_mm"])
    if focal_lengths and focal_lengths[-1] > focal_lengths[0] * (1 + FOCAL_LENGTH_TOLERANCE):
        yield warning(
            f"Focal lengths from {focal_lengths[0]:g} to {focal_lengths[-1]:g} mm.",
            "Leave the zoom alone during a capture (tape holds it), or process each setting by itself.",
        )
    sizes = Counter((max(p["width"], p["height"]), min(p["width"], p["height"])) for p in photographs)
    if len(sizes) > 1:
        found = ", ".join(f"{w} × {h} ({count})" for (w, h), count in sizes.most_common(4))
        yield warning(f"Photographs of {len(sizes)} sizes: {found}.", "Process uncropped photographs of one format.")


def _impossible_focus(process: Mapping[str, Any]) -> Iterator[Problem]:
    impossible = [
        f"{p['name']} ({focus:g} mm)"
        for p in process["photographs"]
        if (focus := p["exif"]["focus_distance_mm"]) and focus <= (p["exif"]["focal_length_mm"] or 0)
    ]
    if impossible:
        yield warning(
            f"By EXIF data {_count(len(impossible), 'photograph')} would be focused nearer than the focal length, "
            f"where no lens focuses: {first_few(impossible, 5)}.",
            "The distance is not used; describe the lens in a rig file if you know it.",
        )


def _uncertain_scale(process: Mapping[str, Any]) -> Iterator[Problem]:
    scale = process["scale"]
    if process["poses"]["source"] is None:
        return
    if scale is None:
        yield hint(
            "The scale is unknown: the model will have no millimetres.",
            "Put a marker board beside the object (--markers), describe the rig (--rig), or give --scale-factor.",
        )
    elif scale["deviation"] is not None and scale["deviation"] > MAX_SCALE_DEVIATION * scale["mm_per_unit"]:
        yield warning(
            f"The scale is unsure by {scale['deviation'] / scale['mm_per_unit']:.1%}.",
            "Let the markers be seen, sharp and large, in more photographs.",
        )


def _little_exif(process: Mapping[str, Any]) -> Iterator[Problem]:
    photographs = process["photographs"]
    known = sum(bool(p["exif"]["focal_length_mm"] and p["exif"]["f_number"]) for p in photographs)
    if known < MIN_EXIF_SHARE * len(photographs):
        have = "No photograph says" if known == 0 else f"Only {known} of {len(photographs)} photographs say"
        yield hint(
            f"{have} with which focal length and f-number it was taken: lens and blur start from a guess.",
            "Export with EXIF data, use the camera's own files, or describe the lens in a rig file.",
        )


_FINDERS: tuple[Callable[[Mapping[str, Any]], Iterator[Problem]], ...] = (
    _no_poses,
    _too_few_poses,
    _unregistered,
    _inaccurate_poses,
    _nothing_in_focus,
    _single_photographs,
    _incomplete_stacks,
    _mixed_cameras,
    _impossible_focus,
    _uncertain_scale,
)


# --- from the poses -----------------------------------------------------------------------------------------------


def _frames_by_stack(process: Mapping[str, Any], capture: Capture) -> dict[str, list[Frame]]:
    frames = {frame.name: frame for frame in capture.frames}
    by_stack: dict[str, list[Frame]] = {}
    for photograph in process["photographs"]:
        if photograph["image"] in frames:
            by_stack.setdefault(photograph["stack_id"], []).append(frames[photograph["image"]])
    return by_stack


def _lens_given(capture: Capture) -> bool:
    """Return whether a rig file says of most photographs what EXIF data lack."""
    known = sum(
        frame.optics.focal_length_mm is not None and frame.optics.f_number is not None for frame in capture.frames
    )
    return known >= MIN_EXIF_SHARE * len(capture.frames)


def _gaps(frames: Mapping[str, Sequence[Frame]]) -> Iterator[Problem]:
    poses = np.stack([stack[0].camera_to_world for stack in frames.values()])
    centre = object_centre(poses, None)
    if centre is None:  # all look the same way: the object was not gone around, nor meant to be
        yield hint(
            "All photographs look the same way: the model will be seen from there only.",
            "Photograph from other sides too if they are wanted.",
        )
        return
    seen = directions(poses, centre)
    for gap in azimuth_gaps(seen, WIDE_GAP):
        yield warning(
            f"No photograph over {gap.width:.0f}° of the way around the object, "
            f"azimuth {gap.start:.0f}° to {(gap.start + gap.width + 180) % 360 - 180:.0f}°.",
            "Photograph that side too, or expect the model to be guessed there.",
        )
    low, high = seen[:, 1].min(), seen[:, 1].max()
    if high - low < ONE_RING:
        yield hint(
            f"All photographs are from one height ({low:.0f}° to {high:.0f}° above the object).",
            "A second ring, 25° to 40° higher or lower, makes top and hollows sure.",
        )


def _focus_beside_object(
    process: Mapping[str, Any], frames: Mapping[str, Sequence[Frame]], capture: Capture
) -> Iterator[Problem]:
    """Yield a warning where all planes of focus of a pose lie before or behind the points that the camera sees."""
    if capture.points is None:
        return
    tolerance = FOCUS_TOLERANCE.get(process["poses"]["source"], EXIF_FOCUS_TOLERANCE)
    beside = [
        stack_id
        for stack_id, stack in frames.items()
        if all(_misses(frame, capture.points.xyz, tolerance) for frame in stack)
    ]
    if beside:
        yield warning(
            f"By the focus distances, the object lies outside the planes of focus at {len(beside)} of "
            f"{_count(len(frames), 'pose')}: {first_few(beside, 5)}.",
            "Check the focus distances in the rig file, or focus on the object.",
        )


def _exif_focus_before_object(process: Mapping[str, Any], capture: Capture) -> Iterator[Problem]:
    """Yield a warning where EXIF focus distances, from the sensor on, end before the object begins, from the lens on,
    in all photographs of a stack."""
    distances = scene_distances(capture)
    if capture.mm_per_unit is None or distances is None:
        return
    near = {f.name: d * capture.mm_per_unit for f, d in zip(capture.frames, distances[:, 0], strict=True)}
    known = [p for p in process["photographs"] if p["image"] in near and p["exif"]["focus_distance_mm"]]
    reached = {p["stack_id"] for p in known if not p["exif"]["focus_distance_mm"] < FOCUS_SHORT * near[p["image"]]}
    before = [p for p in known if p["stack_id"] not in reached]
    if before:
        example = before[0]
        yield warning(
            f"By their EXIF data {_count(len(before), 'photograph')} {_is(before)} focused clearly before the object, "
            f"as {example['name']} at {example['exif']['focus_distance_mm']:g} mm, where the object begins "
            f"{near[example['image']]:.4g} mm away.",
            "Check the scale, or describe the lens in a rig file: training starts from these distances.",
        )


def _misses(frame: Frame, points: np.ndarray, tolerance: float) -> bool:
    """Return whether the plane of focus is known and passes the points in the picture, but for the farthest few."""
    focus = frame.optics.focus_distance
    if focus is None:
        return False
    x, y, z = ((points - frame.camera_to_world[:3, 3]) @ frame.camera_to_world[:3, :3]).T
    lens = frame.intrinsics
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = lens.cx - lens.fl_x * x / z, lens.cy + lens.fl_y * y / z
        seen = (z < 0) & (u >= 0) & (u < lens.width) & (v >= 0) & (v < lens.height)
    if not seen.any():
        return False
    near, far = np.quantile(-z[seen], (0.02, 0.98))
    return not near * (1 - tolerance) <= focus <= far * (1 + tolerance)


# --- shared -------------------------------------------------------------------------------------------------------


def _taking_part(process: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the photographs that are used; where there are no poses, and none is, all."""
    used = [photograph for photograph in process["photographs"] if photograph["used"]]
    return used or process["photographs"]


def _error_reported(process: Mapping[str, Any]) -> bool:
    return any(found["severity"] == "error" for found in process.get("problems", []))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _is(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"


def _belongs(things: Sequence[object]) -> str:
    return "belongs" if len(things) == 1 else "belong"
