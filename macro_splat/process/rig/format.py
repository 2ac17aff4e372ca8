"""rig.yaml: where a turntable or dome put the camera, and how its lens stood, so that no pose has to be guessed.

Lengths are in mm, angles in degrees, pitches in µm. The world has the object at its origin and z up. Every section
may be left out; what the file does not say about the lens is taken from the photographs' EXIF data, wherever poses
come from. All keys:

```yaml
turntable:                  # the object turns; `dome:` with the same keys where the camera moves instead
  radius_mm: 150            # centre of projection to the point it looks at; left out: the distance in focus
  direction: ccw            # which way the object (dome: the camera) turns, seen from above: ccw or cw
  steps: 36                 # photographs per turn; or the angles themselves: `angles: [0, 10, 25]`
  sweep: 360                # degrees that the steps are spread over
  start: 0                  # azimuth of the camera at angle 0, ccw from +x seen from above
  tilts: [0, 20, 40]        # elevations of the camera above the table
  order: by_tilt            # a whole turn at each tilt; or `by_angle`: all tilts at each angle
  height_mm: 0              # the camera looks at this point of the axis
  axis: [0, 0, 1]           # of rotation
  roll: 0                   # of the camera about its own axis, ccw seen from behind it
names:                      # file names that tell the angles; else stacks and poses are paired in their order
  pattern: '_x_(?P<tilt>-?\\d+)_y_(?P<angle>-?\\d+)'    # this one, scAnt's, is the default
  tilt: {degrees_per_count: 0.45, zero: 190}            # elevation = (count - zero) * degrees_per_count
  angle: {degrees_per_count: 0.225, zero: 0}
poses:                      # instead of a turntable, any cameras; `name` pairs one with a stack by its identity
  - {name: "000", azimuth: 30, elevation: 20, radius_mm: 150, look_at_mm: [0, 0, 2], roll: 0}
  - {name: "001", matrix: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 150], [0, 0, 0, 1]]}    # camera to world, OpenGL
  - {azimuth: 60, elevation: 20, focus_distance_mm: 148, step_mm: 0.4}    # where it differs from lens and stack
lens:
  focal_length_mm: 50       # of the lens, not the 35 mm equivalent
  f_number: 8               # as set: what it is at infinity
  focus_distance_mm: 150    # lens to plane of sharp focus, of the middle slice; or `magnification: 0.5`
  sensor_width_mm: 36       # that the long side of the photographs covers; or `pixel_pitch_um: 6`
  breathing: true           # false: the image scale stays as at focus_distance_mm, whatever the focus
stack:
  motion: ring              # the lens is refocused; or `rail`: the camera slides along its axis
  step_mm: 0.5              # that the plane of focus moves from slice to slice
  focus_distances_mm: [149, 150, 151.5]    # of every slice of a ring stack, instead of equal steps
  slices: 16                # checked against the photographs
  first: near               # the first slice is the nearest one to the camera; or `far`
scale_bar:                  # two markers of known distance, for poses that come from the photographs
  length_mm: 40
  markers: [0, 1]           # identities of the two
```

The lens is a thin one (e.g. S. F. Ray, Applied Photographic Optics, ch. 4): focused at the distance d it images with
the magnification m = f/(d − f) and stands f·(1 + m) before the sensor, which is the focal length of the pinhole
camera; its entrance pupil has the radius f/2N.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, cast

import numpy as np
import yaml
from numpy.typing import NDArray

from macro_splat.capture.format import nearest_rigid
from macro_splat.errors import MacroSplatError
from macro_splat.process.config import Motion
from macro_splat.process.rig.section import Section, UniqueKeyLoader
from macro_splat.utils.fields import as_floats
from macro_splat.utils.messages import brief, reason
from macro_splat.utils.safe_yaml import read_yaml_bytes

SCANT_PATTERN = r"_x_(?P<tilt>-?\d+)_y_(?P<angle>-?\d+)"
RIGID_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Orbit:
    """A turntable, or a dome around which the camera moves."""

    angles: tuple[float, ...]
    """Azimuths of the camera in degrees, ccw from +x."""
    tilts: tuple[float, ...]
    """Elevations of the camera in degrees."""
    sign: int
    """+1 where a growing angle of the rig moves the camera ccw about the object, seen from above."""
    start: float
    radius_mm: float | None
    height_mm: float
    axis: tuple[float, float, float]
    by_tilt: bool
    roll: float

    def directions(self) -> list[tuple[float, float]]:
        """Return azimuth and elevation of every pose, in the order of the photographs."""
        if self.by_tilt:
            return [(angle, tilt) for tilt in self.tilts for angle in self.angles]
        return [(angle, tilt) for angle in self.angles for tilt in self.tilts]


@dataclass(frozen=True)
class StepperCount:
    """A motor's count as an angle."""

    degrees_per_count: float = 1.0
    zero: float = 0.0


@dataclass(frozen=True)
class RigNames:
    """How file names tell the angles of an orbit."""

    pattern: re.Pattern[str]
    """With the group `angle` or `tilt`, or both."""
    angle: StepperCount
    tilt: StepperCount


@dataclass(frozen=True, eq=False)
class RigPose:
    """One camera of a rig that is no orbit."""

    name: str | None
    """Identity of its stack; None: by order."""
    matrix: NDArray[np.float64] | None
    """Camera to world [4, 4], mm; None: by the angles below."""
    azimuth: float
    elevation: float
    radius_mm: float | None
    look_at_mm: tuple[float, float, float]
    roll: float
    focus_distance_mm: float | None
    step_mm: float | None


@dataclass(frozen=True)
class RigLens:
    """What the file says of the lens; None = see the EXIF data."""

    focal_length_mm: float | None = None
    f_number: float | None = None
    focus_distance_mm: float | None = None
    magnification: float | None = None
    sensor_width_mm: float | None = None
    pixel_pitch_um: float | None = None
    breathing: bool = True


@dataclass(frozen=True)
class RigStack:
    """How the plane of focus moves from slice to slice."""

    motion: Motion | None = None
    step_mm: float | None = None
    focus_distances_mm: tuple[float, ...] | None = None
    slices: int | None = None
    first: Literal["near", "far"] = "near"

    def offsets(
        self, count: int, step_mm: float | None = None, places: Sequence[int] | None = None
    ) -> NDArray[np.float64] | None:
        """Return how far the plane of focus of each slice lies behind the middle of the stack, in mm; None: unknown.

        On a rail that is how far the camera has slid forward.

        Args:
            count: slices of the complete stack.
            step_mm: another step than the stack's own.
            places: of the slices that are wanted, from 0; all of them if absent.
        """
        at = np.arange(count, dtype=np.float64) if places is None else np.asarray(places, dtype=np.float64)
        if step_mm is None and self.focus_distances_mm is not None:
            distances = np.array(self.focus_distances_mm, dtype=np.float64)
            return np.interp(at, np.arange(len(distances)), distances) - distances.mean()
        step = self.step_mm if step_mm is None else step_mm
        if count == 1 and len(at) == 1:
            return np.zeros(1)
        if step is None:
            return None
        return (at - (count - 1) / 2) * (step if self.first == "near" else -step)


@dataclass(frozen=True)
class ScaleBar:
    """Two markers of known distance."""

    length_mm: float
    markers: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Rig:
    """A checked rig.yaml."""

    path: Path
    orbit: Orbit | None
    names: RigNames | None
    poses: tuple[RigPose, ...]
    lens: RigLens
    stack: RigStack
    scale_bar: ScaleBar | None

    @property
    def has_poses(self) -> bool:
        """False where the file tells the lens, the stacks or the scale alone: poses come from the photographs."""
        return self.orbit is not None or bool(self.poses)


# --- the file -----------------------------------------------------------------------------------------------------


def _names_of(section: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(section))


_TOP_KEYS = ("turntable", "dome", "names", "poses", "lens", "stack", "scale_bar")
# fmt: off
_ORBIT_KEYS = (
    "radius_mm", "direction", "steps", "angles", "sweep", "start", "tilts", "order", "height_mm", "axis", "roll",
)
# fmt: on
_POSE_KEYS = _names_of(RigPose)
_LENS_KEYS = _names_of(RigLens)
_STACK_KEYS = _names_of(RigStack)


def read_rig(path: Path | str) -> Rig:
    """Read and check a rig.yaml; see the head of this module.

    Raises:
        MacroSplatError: no such file, no YAML, an unknown key, a value that cannot be.
    """
    path = Path(path)
    try:
        value = yaml.load(read_yaml_bytes(path), Loader=UniqueKeyLoader)
    except MacroSplatError:
        raise
    except OSError as error:
        raise MacroSplatError(
            f"{path} cannot be read ({error.strerror}); give the file that describes the rig"
        ) from error
    except Exception as error:  # the parser raises many kinds of errors, and all of them mean that the file is wrong
        raise MacroSplatError(f"{path} is no valid YAML ({reason(error, 200)}); correct it") from error
    top = Section(path, "", value, _TOP_KEYS)
    top.at_most_one("turntable", "dome", "poses")
    orbit = None
    for kind in ("turntable", "dome"):
        if (section := top.section(kind, _ORBIT_KEYS)) is not None:
            orbit = _read_orbit(section, named="names" in top.values, object_turns=kind == "turntable")
    names = top.section("names", ("pattern", "angle", "tilt"))
    if names is not None and orbit is None:
        raise top.error("names", "tells the angles of a `turntable` or `dome`, and there is none; describe one")
    lens = top.section("lens", _LENS_KEYS)
    stack = top.section("stack", _STACK_KEYS)
    scale_bar = top.section("scale_bar", _names_of(ScaleBar))
    return Rig(
        path=path,
        orbit=orbit,
        names=None if names is None else _read_names(names),
        poses=_read_poses(top),
        lens=RigLens() if lens is None else _read_lens(lens),
        stack=RigStack() if stack is None else _read_stack(stack),
        scale_bar=None if scale_bar is None else _read_scale_bar(scale_bar),
    )


def _read_orbit(section: Section, named: bool, object_turns: bool) -> Orbit:
    section.at_most_one("steps", "angles")
    direction = section.choice("direction", ("ccw", "cw"))
    if direction is None:
        raise section.error("direction", "is missing: which way it turns, seen from above; add ccw or cw")
    sign = 1 if (direction == "ccw") != object_turns else -1
    start = section.number("start", 0.0)
    angles = section.numbers("angles")
    if angles is None and (steps := section.whole("steps")) is not None:
        if steps > 100_000:
            raise section.invalid("steps", "the number of photographs per turn")
        sweep = section.number("sweep", 360.0)
        angles = tuple(i * sweep / steps for i in range(steps))
    if angles is None and not named:
        raise section.error("steps", "is missing, as is `angles`; add one, or `names` that tell the angles")
    axis = section.vector("axis", (0.0, 0.0, 1.0))
    if not any(axis):
        raise section.invalid("axis", "a direction")
    return Orbit(
        angles=tuple(start + sign * angle for angle in angles or ()),
        tilts=section.numbers("tilts") or (0.0,),
        sign=sign,
        start=start,
        radius_mm=section.optional("radius_mm", positive=True),
        height_mm=section.number("height_mm", 0.0),
        axis=axis,
        by_tilt=section.choice("order", ("by_tilt", "by_angle")) != "by_angle",
        roll=section.number("roll", 0.0),
    )


def _read_names(section: Section) -> RigNames:
    pattern = section.values.get("pattern", SCANT_PATTERN)
    try:
        expression = re.compile(pattern)
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise section.invalid("pattern", f"a regular expression ({reason(error)})") from error
    if not isinstance(pattern, str) or not {"angle", "tilt"} & set(expression.groupindex):
        raise section.invalid("pattern", "a regular expression with the groups `angle` and `tilt`, or one of them")
    return RigNames(expression, _read_counter(section, "angle"), _read_counter(section, "tilt"))


def _read_counter(names: Section, key: str) -> StepperCount:
    counter = names.section(key, _names_of(StepperCount))
    if counter is None:
        return StepperCount()
    return StepperCount(counter.number("degrees_per_count", 1.0), counter.number("zero", 0.0))


def _read_poses(top: Section) -> tuple[RigPose, ...]:
    items = top.values.get("poses", [])
    if not isinstance(items, list) or ("poses" in top.values and not items):
        raise top.invalid("poses", "a list of cameras")
    poses = []
    for i, item in enumerate(items):
        item = {"matrix": item} if isinstance(item, list) else item
        poses.append(_read_pose(Section(top.path, f"poses[{i}]", item, _POSE_KEYS)))
    names = [pose.name for pose in poses if pose.name is not None]
    if names and len(names) < len(poses):
        lacking = next(i for i, pose in enumerate(poses) if pose.name is None)
        raise MacroSplatError(f"{top.path}: `poses[{lacking}].name` is missing; name every pose or none")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise MacroSplatError(f"{top.path}: `poses` has the name {brief(twice)} more than once; keep one")
    return tuple(poses)


def _read_pose(section: Section) -> RigPose:
    name = section.values.get("name")
    if name is not None and (isinstance(name, bool) or not isinstance(name, str | int) or name == ""):
        raise section.invalid("name", "the identity of a stack, in quotes")
    matrix = _read_matrix(section) if "matrix" in section.values else None
    section.at_most_one("matrix", "azimuth")
    if matrix is None and not {"azimuth", "elevation"} <= set(section.values):
        raise section.error("azimuth", "or `elevation` is missing, as is `matrix`; add both angles or a matrix")
    return RigPose(
        name=None if name is None else str(name),
        matrix=matrix,
        azimuth=section.number("azimuth", 0.0),
        elevation=section.number("elevation", 0.0),
        radius_mm=section.optional("radius_mm", positive=True),
        look_at_mm=section.vector("look_at_mm", (0.0, 0.0, 0.0)),
        roll=section.number("roll", 0.0),
        focus_distance_mm=section.optional("focus_distance_mm", positive=True),
        step_mm=section.optional("step_mm", positive=True),
    )


def _read_matrix(section: Section) -> NDArray[np.float64]:
    matrix = as_floats(section.values["matrix"], (4, 4), section.takes_text)
    if matrix is None or not (np.abs(matrix) <= section.largest).all():
        raise section.invalid("matrix", "4 rows of 4 numbers, camera to world")
    rotation = matrix[:3, :3]
    rigid = np.abs(rotation.T @ rotation - np.eye(3)).max() < RIGID_TOLERANCE and np.linalg.det(rotation) > 0
    if not rigid or np.abs(matrix[3] - [0, 0, 0, 1]).max() > RIGID_TOLERANCE:
        raise section.invalid("matrix", "rigid: a rotation and a shift above 0 0 0 1")
    return nearest_rigid(matrix)


def _read_lens(section: Section) -> RigLens:
    section.at_most_one("focus_distance_mm", "magnification")
    section.at_most_one("sensor_width_mm", "pixel_pitch_um")
    numbers = {key: section.optional(key, positive=True) for key in _LENS_KEYS if key != "breathing"}
    lens = RigLens(**numbers, breathing=section.flag("breathing", True))
    if lens.focal_length_mm and lens.focus_distance_mm and lens.focus_distance_mm <= lens.focal_length_mm:
        raise section.invalid("focus_distance_mm", f"beyond the focal length, {lens.focal_length_mm:g} mm")
    return lens


def _read_stack(section: Section) -> RigStack:
    section.at_most_one("step_mm", "focus_distances_mm")
    distances = section.numbers("focus_distances_mm")
    motion = section.choice("motion", ("ring", "rail"))
    if distances is not None and (min(distances) <= 0 or motion == "rail"):
        raise section.invalid("focus_distances_mm", "positive, and of a ring stack: on a rail the focus stays")
    return RigStack(
        motion=cast(Motion | None, motion),
        step_mm=section.optional("step_mm", positive=True),
        focus_distances_mm=distances,
        slices=section.whole("slices"),
        first="far" if section.choice("first", ("near", "far")) == "far" else "near",
    )


def _read_scale_bar(section: Section) -> ScaleBar:
    length = section.optional("length_mm", positive=True)
    if length is None:
        raise section.error("length_mm", "is missing: the distance between the two markers; add it")
    markers = section.numbers("markers", 2)
    if markers is None:
        raise section.error("markers", "is missing: the identities of the two markers; add them, as in [0, 1]")
    if any(m < 0 or m != int(m) for m in markers) or markers[0] == markers[1]:
        raise section.invalid("markers", "the identities of two markers")
    return ScaleBar(length, (int(markers[0]), int(markers[1])))
