"""Plausibility of a capture: what is well-formed may still be in the wrong unit, or be there twice."""

from __future__ import annotations

import filecmp
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.coverage import nearest_to_axes
from macro_splat.capture.format import Capture, Frame
from macro_splat.errors import MacroSplatError
from macro_splat.utils.messages import first_few

FOCUS_REACH = 10.0
"""A plane of focus so many times nearer than the nearest points, or farther than the farthest, is in another unit."""
FOCUS_SHORT = 0.7
"""A stack focused nearer than this part of the distance to the nearest points, in all slices, missed the object."""
DISTANCES_MM = (2.0, 20_000.0)
"""From a microscope's objective to a room: photographs of a scene nearer or farther have another unit."""
PUPIL_RATIO = 5.0
"""Pupil and f-number may differ by a factor of about 2 (some cameras write the working f-number); beyond this one of
them is in another unit."""
MAX_STACK_ANGLE_DEG = 5.0
"""The frames of a stack look in one direction; so much more than a rail's play means several stacks of one name."""
SAMPLE_BYTES = 65_536


def check_plausible(capture: Capture) -> list[str]:
    """Return what the user should know though it stops nothing, one line each.

    Raises:
        MacroSplatError: no point lies before any camera, or a lens is impossible at the scene's distance.
    """
    distances = scene_distances(capture)
    if capture.points is not None and distances is not None and np.isnan(distances).all():
        raise MacroSplatError(
            f"{capture.path}: none of its {len(capture.points.xyz)} points lies before a camera, which looks along -z "
            "of its `transform_matrix` (OpenGL's axes): convert the poses, or remove `ply_file_path`"
        )
    warnings = (
        *_check_lenses(capture, distances),
        *_check_unit(capture, distances),
        *_check_stacks(capture),
        *_check_duplicates(capture),
    )
    return [f"{capture.path}: {warning}" for warning in warnings]


def scene_distances(capture: Capture) -> NDArray[np.float64] | None:
    """Return the depths [N, 2] of the nearest and the farthest point (5th and 95th percentile) before each camera.

    In scene units. Without points it is that of the point which the cameras look at, twice; None if they look at none.
    NaN for a camera that has nothing before it.
    """
    poses = np.stack([frame.camera_to_world for frame in capture.frames])
    if capture.points is not None:
        points = capture.points.xyz
    else:
        centre = nearest_to_axes(poses)
        if centre is None:
            return None
        points = centre[None]
    result = np.full((len(poses), 2), np.nan)
    for i, pose in enumerate(poses):
        depth = (points - pose[:3, 3]) @ -pose[:3, 2]
        if (depth > 0).any():
            result[i] = np.percentile(depth[depth > 0], (5, 95))
    return result


def _check_lenses(capture: Capture, distances: NDArray[np.float64] | None) -> Iterator[str]:
    unit = f'scene units ("{capture.scene_unit}")' if capture.scene_unit else "the units of the poses"
    too_far, unequal = [], []
    # By stack: the first slices of one are meant to be focused before the object.
    short: dict[str, list[str]] = defaultdict(list)
    reached: set[str] = set()
    for i, frame in enumerate(capture.frames):
        where = f"{capture.path}: frame '{frame.name}'"
        focus, pupil = frame.optics.focus_distance, frame.optics.aperture_radius
        near, far = (np.nan, np.nan) if distances is None else distances[i]
        if focus is not None and focus < near / FOCUS_REACH:
            raise MacroSplatError(
                f"{where}: `focus_distance` is {focus:g} but the scene begins {near:.4g} away: nothing can be in "
                f"focus; give it in {unit}, from the centre of projection, or null where it is unknown"
            )
        reach = focus if focus is not None else far
        focal_length = frame.optics.focal_length_mm
        if focus is not None and focal_length and focus * (capture.mm_per_unit or np.nan) <= focal_length:
            raise MacroSplatError(
                f"{where}: `focus_distance` is {focus * (capture.mm_per_unit or 1):g} mm, within `focal_length_mm` of "
                f"{focal_length:g}: no lens focuses there; give it from the centre of projection, or null where it is "
                "unknown"
            )
        if focus is not None and focus < near * FOCUS_SHORT:
            short[frame.stack_id or frame.name].append(f"{frame.name} ({focus:g}, the scene begins {near:.4g} away)")
        else:
            reached.add(frame.stack_id or frame.name)
        if pupil is not None and pupil > reach:
            raise MacroSplatError(
                f"{where}: `aperture_radius` is {pupil:g}, wider than the {reach:.4g} to the scene: no lens is; "
                f"give it in {unit}, or null where it is unknown"
            )
        if focus is not None and focus > far * FOCUS_REACH:
            too_far.append(f"{frame.name} ({focus:g}, the scene ends {far:.4g} away)")
        engraved = entrance_pupil_radius_mm(frame.optics.f_number, frame.optics.focal_length_mm)
        if pupil and engraved and capture.mm_per_unit:
            ratio = pupil * capture.mm_per_unit / engraved
            if not 1 / PUPIL_RATIO < ratio < PUPIL_RATIO:
                unequal.append(f"{frame.name} ({pupil * capture.mm_per_unit:.3g} mm, {engraved:.3g} mm)")
    missed = [frame for stack, frames in short.items() if stack not in reached for frame in frames]
    if missed:
        yield (
            f"the plane of focus lies clearly before the scene in {first_few(missed)}: nothing is sharp there, or "
            f"`focus_distance` is not in {unit} from the centre of projection; correct it or leave it out"
        )
    if too_far:
        yield f"`focus_distance` is far beyond the scene in {first_few(too_far)}: it must be in {unit}"
    if unequal:
        yield (
            "`aperture_radius` and what `f_number` and `focal_length_mm` make of it disagree in "
            f"{first_few(unequal)}: check the units; the radius counts"
        )


def entrance_pupil_radius_mm(f_number: float | None, focal_length_mm: float | None) -> float | None:
    """Return the radius of the entrance pupil by the f-number's definition, N = f / (2 r); None if one is unknown."""
    return focal_length_mm / (2.0 * f_number) if f_number and focal_length_mm else None


def _check_unit(capture: Capture, distances: NDArray[np.float64] | None) -> Iterator[str]:
    if capture.mm_per_unit is None or distances is None or np.isnan(distances).all():
        return
    distance = float(np.nanmedian(distances)) * capture.mm_per_unit
    if not DISTANCES_MM[0] < distance < DISTANCES_MM[1]:
        yield (
            f'with `scene_unit` "{capture.scene_unit}" the scene is {distance:.3g} mm away from the cameras: check the '
            "unit, every measurement follows from it"
        )


def _check_stacks(capture: Capture) -> Iterator[str]:
    stacks: dict[str, list[Frame]] = defaultdict(list)
    for frame in capture.frames:
        if frame.stack_id is not None:
            stacks[frame.stack_id].append(frame)
    single = [name for name, frames in stacks.items() if len(frames) == 1]
    unordered, diverging = [], []
    for name, frames in stacks.items():
        places = [frame.stack_index for frame in frames if frame.stack_index is not None]
        if len(set(places)) < len(places):
            unordered.append(name)
        axes = np.stack([frame.camera_to_world[:3, 2] for frame in frames])
        if (axes @ axes[0]).min() < np.cos(np.deg2rad(MAX_STACK_ANGLE_DEG)):
            diverging.append(name)
    # A capture of single photographs may call each of them a stack.
    if single and len(single) < len(stacks):
        yield f"only one photograph in stack {first_few(single)}: are the others missing?"
    if unordered:
        yield f"`stack_index` comes twice in stack {first_few(unordered)}: number its frames"
    if diverging:
        yield (
            f"frames of stack {first_few(diverging)} look in directions more than {MAX_STACK_ANGLE_DEG:g} degrees "
            "apart, and count as one pose all the same: give each pose a `stack_id` of its own"
        )


def _check_duplicates(capture: Capture) -> Iterator[str]:
    twice: list[str] = []
    moved: list[str] = []
    for first, *others in _same_content([frame.image for frame in capture.frames]):
        a = capture.frames[first]
        for other in others:
            b = capture.frames[other]
            same = np.allclose(a.camera_to_world, b.camera_to_world, rtol=1e-6, atol=1e-9)
            (twice if same else moved).append(f"{a.name} = {b.name}")
    if twice:
        yield f"the same photograph twice counts twice: {first_few(twice)}; keep one of each"
    if moved:
        yield (
            f"the same photograph with different poses, of which one must be wrong: {first_few(moved)}; keep the right "
            "one"
        )


def _same_content(paths: Sequence[Path]) -> list[list[int]]:
    """Return the indices of the files that are equal byte by byte, two or more each."""
    sizes = [path.stat().st_size for path in paths]
    often = Counter(sizes)
    candidates: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for i, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        if often[size] > 1:
            candidates[size, _sample(path, size)].append(i)
    groups: list[list[int]] = []
    for indices in candidates.values():
        found: list[list[int]] = []
        for i in indices:
            match = [group for group in found if filecmp.cmp(paths[group[0]], paths[i], shallow=False)]
            match[0].append(i) if match else found.append([i])
        groups += [group for group in found if len(group) > 1]
    return groups


def _sample(path: Path, size: int) -> bytes:
    """Return a piece from the middle, where a picture has pixels whatever its header says."""
    with path.open("rb") as file:
        file.seek(max(0, size // 2 - SAMPLE_BYTES // 2))
        return file.read(SAMPLE_BYTES)
