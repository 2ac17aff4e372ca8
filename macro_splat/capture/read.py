"""Read and check a transforms.json. Every complaint is one line that names file, frame, value and remedy."""

from __future__ import annotations

import itertools
import json
import math
import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from macro_splat.capture.files import check_depth, check_photographs, read_points
from macro_splat.capture.format import SCENE_UNIT_IN_MM, STACK_MOTIONS, Capture, Frame, Intrinsics, Optics, SparsePoints
from macro_splat.capture.plausible import check_plausible
from macro_splat.errors import MacroSplatError
from macro_splat.utils.messages import brief, printable, reason

CAMERA_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE")
ORIENTATIONS = ("pca", "up", "vertical", "none")
DISTORTION_KEYS = ("k1", "k2", "k3", "k4", "p1", "p2")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MAX_FRAMES = 20_000
MAX_JSON_BYTES = 1 << 25
"""So many frames take nine tenths of it with all the keys there are and an indent of four."""
MAX_JSON_NESTS = 20 * MAX_FRAMES
"""Lists and objects; a frame has six. Python takes fifty times as much memory for them as they take in the file, and up
to 25 times as much for anything else."""
TINY, HUGE = 1e-12, 1e12  # what lies outside is a mistake, and would be 0 or infinite in float32
RIGID_TOLERANCE = 1e-2  # poses rounded to three digits pass, a scaled or sheared matrix does not


def read_capture(path: Path | str) -> Capture:
    """Read the capture at `path`: its folder, or a json file in it such as transforms_noisy.json.

    Raises:
        MacroSplatError: whatever is wrong with it. Pictures are opened, and decoded coarsely, so that a truncated one
            is found here and not during training.
    """
    json_path = _find_json(Path(path))
    top = _load_object(json_path)
    root = json_path.parent
    frame_objects = _frame_objects(json_path, top)
    readers = [_KeyReader(json_path, top, frame, i) for i, frame in enumerate(frame_objects)]
    warnings: list[str] = []
    frames = sorted((_read_frame(reader, root, warnings) for reader in readers), key=lambda frame: frame.name)
    _check_names(json_path, frames)
    shared = _KeyReader(json_path, top)
    camera_model = shared.choice("camera_model", CAMERA_MODELS) or "OPENCV"
    if camera_model != "OPENCV_FISHEYE":
        for frame in frames:
            if frame.intrinsics.distortion[3] != 0:
                raise MacroSplatError(
                    f"{json_path}: frame '{frame.name}': k4 is {frame.intrinsics.distortion[3]:g}, which no "
                    f"{camera_model} camera has; set it to 0 or use OPENCV_FISHEYE"
                )
    capture = Capture(
        path=json_path,
        frames=tuple(frames),
        scene_unit=shared.choice("scene_unit", tuple(SCENE_UNIT_IN_MM)),
        camera_model=camera_model,
        points=_read_sparse_points(shared, root, warnings),
        splits=_read_splits(shared, frames),
        applied_transform=_read_applied_transform(shared),
        applied_scale=shared.number("applied_scale", positive=True, default=1.0),
        orientation_override=shared.choice("orientation_override", ORIENTATIONS),
        warnings=tuple(dict.fromkeys(warnings)),
    )
    check_photographs(capture.frames)
    for frame in frames:
        if frame.depth is not None:
            check_depth(frame.depth, frame.intrinsics)
    return replace(capture, warnings=capture.warnings + tuple(check_plausible(capture)))


def _find_json(path: Path) -> Path:
    path = Path(os.path.abspath(path))
    if path.is_dir():
        json_path = path / "transforms.json"
        if json_path.is_file():
            return json_path
        pictures = sum(1 for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        found = f"holds {pictures} pictures but no transforms.json" if pictures else "has no transforms.json"
        raise MacroSplatError(
            f"{path} {found}; give a capture with --data, or make one from photographs with "
            "`macro-splat process PHOTOGRAPHS CAPTURE`"
        )
    if not path.exists():
        raise MacroSplatError(f"{path} does not exist; give the capture's folder or its transforms.json with --data")
    if path.suffix.lower() != ".json":
        raise MacroSplatError(f"{path} is neither a folder nor a .json file; give the capture's folder with --data")
    return path


def _load_object(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise MacroSplatError(
                f"{path} has {size:,} bytes, more than the {MAX_JSON_BYTES:,} that {MAX_FRAMES:,} frames need; remake "
                "it, or split the capture"
            )
        content = path.read_bytes()
        nests = content.count(b"[") + content.count(b"{")
        if nests > MAX_JSON_NESTS:
            raise MacroSplatError(
                f"{path} has {nests:,} lists and objects, more than the {MAX_JSON_NESTS:,} that {MAX_FRAMES:,} frames "
                "need; remake it, or split the capture"
            )
        value = json.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise MacroSplatError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    except json.JSONDecodeError as error:
        raise MacroSplatError(
            f"{path} is no valid JSON: {error.msg} at line {error.lineno}, column {error.colno}; mend or remake it"
        ) from error
    except (ValueError, RecursionError) as error:
        raise MacroSplatError(f"{path} is no valid JSON ({reason(error)}); mend or remake it") from error
    if not isinstance(value, dict):
        raise MacroSplatError(f"{path} holds {_brief(value)}, not a JSON object with a list of `frames`; remake it")
    return value


def _frame_objects(path: Path, top: Mapping[str, Any]) -> list[dict[str, Any]]:
    frames = top.get("frames")
    if not isinstance(frames, list):
        raise MacroSplatError(f"{path}: `frames` is {_brief(frames)}; it must be a list, one object per photograph")
    if not frames:
        raise MacroSplatError(f"{path}: `frames` is empty: there is no photograph; list at least one")
    if len(frames) > MAX_FRAMES:
        raise MacroSplatError(f"{path}: {len(frames):,} frames, more than {MAX_FRAMES:,}; split the capture")
    for i, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise MacroSplatError(f"{path}: frame {i} is {_brief(frame)}; it must be an object with a `file_path`")
    return frames


class _KeyReader:
    """Looks keys up in a frame and then at the top level, and complains with file and frame."""

    def __init__(
        self, path: Path, top: Mapping[str, Any], frame: Mapping[str, Any] | None = None, index: int | None = None
    ):
        self.path, self.top, self.frame = path, top, {} if frame is None else frame
        self.where = str(path)
        if frame is not None:
            name = frame.get("file_path")
            self.where += f": frame '{printable(name)}'" if isinstance(name, str) else f": frame {index}"

    def error(self, complaint: str) -> MacroSplatError:
        return MacroSplatError(f"{self.where}: {complaint}")

    def get(self, key: str) -> Any:
        return self.frame[key] if key in self.frame else self.top.get(key)

    def number(self, key: str, *, positive: bool = False, default: float | None = None) -> float:
        """A finite number; a missing key or null is `default`, or a complaint where there is none."""
        value = self.get(key)
        if value is None:
            if default is None:
                raise self.error(f"`{key}` is missing; add it to the frame or to the top level")
            return default
        number = _as_float(value)
        if number is None or not abs(number) < HUGE or (positive and number < TINY):
            raise self.error(f"`{key}` is {_brief(value)}; it must be a {'positive' if positive else 'finite'} number")
        return number

    def size(self, key: str) -> int:
        """A positive whole number."""
        number = self.number(key, positive=True)
        if number != int(number):
            raise self.error(f"`{key}` is {_brief(self.get(key))}; it must be a whole number of pixels")
        return int(number)

    def optional(self, key: str, *, zero: str) -> float | None:
        """A number that may be unknown (missing, null or NaN). `zero`: "refused", "unknown" or "allowed"."""
        value = self.get(key)
        number = None if value is None else _as_float(value)
        if value is None or (number is not None and math.isnan(number)) or (number == 0 and zero == "unknown"):
            return None
        if number is None or number > HUGE or number < (TINY if zero == "refused" else 0):
            bound = "a number of 0 or more" if zero == "allowed" else "a positive number"
            raise self.error(f"`{key}` is {_brief(value)}; it must be {bound}, or null where it is unknown")
        return number

    def choice(self, key: str, choices: tuple[str, ...]) -> str | None:
        """One of the given words; None where the key is missing or null."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or value not in choices:
            raise self.error(f"`{key}` is {_brief(value)}; it must be one of {', '.join(choices)}, or left out")
        return value

    def file(self, key: str, root: Path) -> Path | None:
        """The path of an existing file inside the capture; only the frame's own key counts, if there is a frame."""
        value = self.frame.get(key) if self.frame else self.top.get(key)
        if value is None:
            return None
        path = self.inside(key, value, root)
        if not os.path.isfile(path):
            raise self.error(f"`{key}`: {printable(path)} does not exist; restore it or remove the key")
        return path

    def inside(self, key: str, value: Any, root: Path) -> Path:
        """The named path, refused if it leads out of the capture's folder.

        A capture may come from a stranger, and its reports go back to him: paths that name what lies elsewhere, upwards
        or absolute, are refused. The check is lexical: links in the folder are followed, which keep photographs on
        other disks. Through them nothing but pictures, depth maps and clouds is read; of anything else no message
        repeats a word.
        """
        if not isinstance(value, str) or not value:
            raise self.error(f"`{key}` is {_brief(value)}; it must be a file name relative to {root}")
        path = Path(os.path.normpath(root / value))
        if path == root or not path.is_relative_to(root):
            raise self.error(f"`{key}` is {_brief(value)}, which leads out of {root}; move the file into the capture")
        return path


def _read_frame(keys: _KeyReader, root: Path, warnings: list[str]) -> Frame:
    image = keys.inside("file_path", keys.frame.get("file_path"), root)
    depth = keys.file("depth_file_path", root)
    if depth is not None and depth.suffix != ".npy":
        warnings.append(f"{keys.path}: depth is left out: only .npy files are read, not '{depth.suffix}'")
        depth = None
    return Frame(
        name=image.relative_to(root).as_posix(),
        image=image,
        camera_to_world=_read_pose(keys),
        intrinsics=_read_intrinsics(keys),
        optics=Optics(
            focus_distance=keys.optional("focus_distance", zero="refused"),
            aperture_radius=keys.optional("aperture_radius", zero="allowed"),
            # Adapted lenses without electronics leave 0 in the EXIF data.
            f_number=keys.optional("f_number", zero="unknown"),
            focal_length_mm=keys.optional("focal_length_mm", zero="unknown"),
            stack_motion=keys.choice("stack_motion", STACK_MOTIONS),
        ),
        stack_id=_read_stack_id(keys),
        stack_index=None if keys.get("stack_index") is None else int(keys.number("stack_index")),
        mask=keys.file("mask_path", root),
        sharp=keys.file("sharp_file_path", root),
        depth=depth,
    )


def _read_stack_id(keys: _KeyReader) -> str | None:
    value = keys.get("stack_id")
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise keys.error(f"`stack_id` is {_brief(value)}; it must be a word or a whole number")


def _read_intrinsics(keys: _KeyReader) -> Intrinsics:
    distortion = [keys.number(key, default=0.0) for key in DISTORTION_KEYS]
    listed = keys.get("distortion_params")
    if listed is not None:
        values = _as_floats(listed, (6,))
        if values is None or not np.isfinite(values).all():
            raise keys.error(f"`distortion_params` is {_brief(listed)}; it must be six numbers: {DISTORTION_KEYS}")
        distortion = values.tolist()
    k1, k2, k3, k4, p1, p2 = distortion
    return Intrinsics(
        fl_x=keys.number("fl_x", positive=True),
        fl_y=keys.number("fl_y", positive=True),
        cx=keys.number("cx"),
        cy=keys.number("cy"),
        width=keys.size("w"),
        height=keys.size("h"),
        distortion=(k1, k2, k3, k4, p1, p2),
    )


def _read_pose(keys: _KeyReader) -> np.ndarray:
    value = keys.frame.get("transform_matrix")
    if value is None:
        raise keys.error("`transform_matrix` is missing; add the 4x4 camera-to-world pose")
    pose = _as_floats(value, (4, 4))
    if pose is None:
        upper = _as_floats(value, (3, 4))
        if upper is None:
            raise keys.error(f"`transform_matrix` is {_brief(value)}; it must be 4 rows of 4 numbers")
        pose = np.vstack([upper, [0.0, 0.0, 0.0, 1.0]])
    remedy = "estimate this pose again or remove the frame"
    if not np.isfinite(pose).all():
        raise keys.error(f"`transform_matrix` holds {pose[~np.isfinite(pose)][0]}; {remedy}")
    rotation = pose[:3, :3]
    if np.abs(pose).max() > HUGE:
        raise keys.error(f"`transform_matrix` holds {pose.flat[np.abs(pose).argmax()]:g}; {remedy}")
    determinant = np.linalg.det(rotation)
    if abs(determinant) < RIGID_TOLERANCE:
        raise keys.error(f"`transform_matrix` is singular (determinant {determinant:.3g}); {remedy}")
    if determinant < 0:
        raise keys.error(f"`transform_matrix` is a mirror image (determinant {determinant:.3g}); {remedy}")
    deviation = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if deviation > RIGID_TOLERANCE or np.abs(pose[3] - [0, 0, 0, 1]).max() > RIGID_TOLERANCE:
        raise keys.error(f"`transform_matrix` is not rigid (columns off by {deviation:.3g}); {remedy}")
    u, _, vt = np.linalg.svd(rotation)  # a rotation to the last digit, though the file may round
    pose[:3, :3], pose[3] = u @ vt, [0, 0, 0, 1]
    return pose


def _read_applied_transform(keys: _KeyReader) -> np.ndarray | None:
    value = keys.get("applied_transform")
    if value is None:
        return None
    matrix = _as_floats(value, (3, 4))
    if matrix is None:
        matrix = _as_floats(value, (4, 4))
    if matrix is None or not np.isfinite(matrix).all():
        raise keys.error(f"`applied_transform` is {_brief(value)}; it must be 3 rows of 4 finite numbers")
    return matrix[:3]


def _read_sparse_points(keys: _KeyReader, root: Path, warnings: list[str]) -> SparsePoints | None:
    path = keys.file("ply_file_path", root)
    if path is None:
        return None
    points = read_points(path)
    if points is None:
        warnings.append(f"{path} holds no points; training starts from random ones")
    return points


def _read_splits(keys: _KeyReader, frames: list[Frame]) -> dict[str, tuple[str, ...]]:
    known = {frame.name for frame in frames}
    splits: dict[str, tuple[str, ...]] = {}
    for split in ("train", "val", "test"):
        key = f"{split}_filenames"
        value = keys.get(key)
        if value is None:
            continue
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise keys.error(f"`{key}` is {_brief(value)}; it must be a list of file names")
        names = tuple(posixpath.normpath(name) for name in value)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise keys.error(f"`{key}` names {_first_few(unknown)}, which no frame has; remove or correct it")
        splits[split] = names
    if "train" in splits and not splits["train"]:
        raise keys.error("`train_filenames` is empty: no view is left for training; list some or remove the key")
    return splits


def _check_names(path: Path, frames: list[Frame]) -> None:
    missing = [frame.name for frame in frames if not os.path.isfile(frame.image)]
    if missing:
        raise MacroSplatError(
            f"{path}: {len(missing)} of {len(frames)} photographs do not exist: {_first_few(missing)}; "
            f"put them into {path.parent} or remove their frames"
        )
    twice = sorted({a.name for a, b in itertools.pairwise(frames) if a.name == b.name})
    if twice:
        raise MacroSplatError(f"{path}: {_first_few(twice)} stands in more than one frame; keep one of each")


def _as_float(value: Any) -> float | None:
    """The number as a float (infinite where it is too large for one); None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _as_floats(value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Nested lists of numbers as a float64 array of the given shape; None for anything else."""
    if not shape:
        return None if (number := _as_float(value)) is None else np.array(number)
    if not isinstance(value, list) or len(value) != shape[0]:
        return None
    rows = [_as_floats(row, shape[1:]) for row in value]
    return None if any(row is None for row in rows) else np.array(rows, dtype=np.float64)


def _brief(value: Any) -> str:
    return "missing" if value is None else brief(value)


def _first_few(names: Iterable[str], count: int = 3) -> str:
    names = [printable(name) for name in names]
    rest = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + rest
