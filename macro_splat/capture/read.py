"""Read and check a transforms.json. Every message is one line that names file, frame, value and remedy."""

from __future__ import annotations

import itertools
import json
import math
import os
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from macro_splat.capture.files import check_depth, check_photographs, read_points
from macro_splat.capture.format import (
    DISTORTION_KEYS,
    SCENE_UNIT_IN_MM,
    STACK_MOTIONS,
    Capture,
    Frame,
    Intrinsics,
    Optics,
    SparsePoints,
    nearest_rigid,
)
from macro_splat.capture.plausibility import check_plausible
from macro_splat.errors import MacroSplatError
from macro_splat.utils.fields import Fields, as_float, as_floats
from macro_splat.utils.messages import brief, first_few, printable, reason

CAMERA_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE")
ORIENTATIONS = ("pca", "up", "vertical", "none")
OWN_KEYS = ("file_path", "transform_matrix", "mask_path", "sharp_file_path", "depth_file_path")
"""Of a frame: these never stand at the top level for all frames."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MAX_FRAMES = 20_000
MAX_JSON_BYTES = 1 << 25
"""So many frames take nine tenths of it with all the keys there are and an indent of four."""
MAX_JSON_NESTS = 20 * MAX_FRAMES
"""Lists and objects; a frame has six. Python takes fifty times as much memory for them as they take in the file, and up
to 25 times as much for anything else."""
RIGID_TOLERANCE = 1e-2  # poses rounded to three digits pass, a scaled or sheared matrix does not


def read_capture(path: Path | str) -> Capture:
    """Read the capture at `path`: its folder, or a json file in it such as transforms_noisy.json.

    Raises:
        MacroSplatError: whatever is wrong with it. Pictures are opened, and decoded coarsely, so that a truncated one
            is found here and not during training.
    """
    json_path = _find_json(Path(path))
    values = _load_object(json_path)
    top = _CaptureFields(json_path, values)
    defaults = {key: value for key, value in values.items() if key not in OWN_KEYS}
    warnings: list[str] = []
    frames = sorted(
        (
            _read_frame(_CaptureFields(json_path, defaults | frame, index), warnings)
            for index, frame in enumerate(_frame_objects(json_path, values))
        ),
        key=lambda frame: frame.name,
    )
    _check_names(json_path, frames)
    camera_model = top.choice("camera_model", CAMERA_MODELS) or "OPENCV"
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
        scene_unit=top.choice("scene_unit", tuple(SCENE_UNIT_IN_MM)),
        camera_model=camera_model,
        points=_read_sparse_points(top, warnings),
        splits=_read_splits(top, frames),
        applied_transform=_read_applied_transform(top),
        applied_scale=top.optional("applied_scale", positive=True) or 1.0,
        orientation_override=top.choice("orientation_override", ORIENTATIONS),
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
        raise MacroSplatError(f"{path} holds {brief(value)}, not a JSON object with a list of `frames`; remake it")
    return value


def _frame_objects(path: Path, top: Mapping[str, Any]) -> list[dict[str, Any]]:
    frames = top.get("frames")
    if not isinstance(frames, list):
        raise MacroSplatError(
            f"{path}: `frames` is {'missing' if frames is None else brief(frames)}; it must be a list, one object per "
            "photograph"
        )
    if not frames:
        raise MacroSplatError(f"{path}: `frames` is empty: there is no photograph; list at least one")
    if len(frames) > MAX_FRAMES:
        raise MacroSplatError(f"{path}: {len(frames):,} frames, more than {MAX_FRAMES:,}; split the capture")
    for i, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise MacroSplatError(f"{path}: frame {i} is {brief(frame)}; it must be an object with a `file_path`")
    return frames


class _CaptureFields(Fields):
    """The values of a frame, or those at the top level."""

    def __init__(self, path: Path, values: Mapping[str, Any], index: int | None = None) -> None:
        """
        Args:
            index: of the frame; None: the top level.
        """
        self.path = path
        name = values.get("file_path")
        frame = f"frame '{printable(name)}'" if isinstance(name, str) else f"frame {index}"
        super().__init__(str(path) if index is None else f"{path}: {frame}", values)

    def required(self, key: str, *, positive: bool = False) -> float:
        """Return a finite number."""
        number = self.optional(key, positive=positive)
        if number is None:
            raise self.error(key, "is missing; add it to the frame or to the top level")
        return number

    def pixels(self, key: str) -> int:
        """Return a positive whole number."""
        self.required(key, positive=True)
        return int(self.whole(key, " of pixels") or 0)

    def unless_unknown(self, key: str, *, zero: Literal["refused", "unknown", "allowed"]) -> float | None:
        """Return a number, or None where it is unknown: missing, or NaN."""
        value = self.values.get(key)
        number = as_float(value)
        if value is None or (number is not None and math.isnan(number)) or (number == 0 and zero == "unknown"):
            return None
        if number is None or number > self.largest or number < (self.smallest if zero == "refused" else 0):
            bound = "a number of 0 or more" if zero == "allowed" else "a positive number"
            raise self.invalid(key, f"{bound}, or null where it is unknown")
        return number

    def file(self, key: str) -> Path | None:
        """Return the path of an existing file inside the capture, or None where the key is missing."""
        if key not in self.values:
            return None
        path = self.inside(key)
        if not os.path.isfile(path):
            raise MacroSplatError(
                f"{self.where}: {self.key(key)}: {printable(path)} does not exist; restore it or remove the key"
            )
        return path

    def inside(self, key: str) -> Path:
        """Return the named path, refused if it leads out of the capture's folder.

        A capture may come from a stranger, and its reports go back to him: paths that name what lies elsewhere, upwards
        or absolute, are refused. The check is lexical: links in the folder are followed, which keep photographs on
        other disks. Through them nothing but pictures, depth maps and clouds is read; of anything else no message
        repeats a word.
        """
        root, value = self.path.parent, self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.invalid(key, f"a file name relative to {root}")
        path = Path(os.path.normpath(root / value))
        if path == root or not path.is_relative_to(root):
            raise self.error(key, f"is {brief(value)}, which leads out of {root}; move the file into the capture")
        return path


def _read_frame(fields: _CaptureFields, warnings: list[str]) -> Frame:
    image = fields.inside("file_path")
    depth = fields.file("depth_file_path")
    if depth is not None and depth.suffix != ".npy":
        warnings.append(f"{fields.path}: depth is left out: only .npy files are read, not '{depth.suffix}'")
        depth = None
    return Frame(
        name=image.relative_to(fields.path.parent).as_posix(),
        image=image,
        camera_to_world=_read_pose(fields),
        intrinsics=_read_intrinsics(fields),
        optics=Optics(
            focus_distance=fields.unless_unknown("focus_distance", zero="refused"),
            aperture_radius=fields.unless_unknown("aperture_radius", zero="allowed"),
            # Adapted lenses without electronics leave 0 in the EXIF data.
            f_number=fields.unless_unknown("f_number", zero="unknown"),
            focal_length_mm=fields.unless_unknown("focal_length_mm", zero="unknown"),
            stack_motion=fields.choice("stack_motion", STACK_MOTIONS),
        ),
        stack_id=_read_stack_id(fields),
        stack_index=None if (index := fields.optional("stack_index")) is None else int(index),
        mask=fields.file("mask_path"),
        sharp=fields.file("sharp_file_path"),
        depth=depth,
    )


def _read_stack_id(fields: _CaptureFields) -> str | None:
    value = fields.values.get("stack_id")
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise fields.invalid("stack_id", "a word or a whole number")


def _read_intrinsics(fields: _CaptureFields) -> Intrinsics:
    distortion = [fields.number(key, 0.0) for key in DISTORTION_KEYS]
    if "distortion_params" in fields.values:
        values = as_floats(fields.values["distortion_params"], (6,))
        if values is None or not np.isfinite(values).all():
            raise fields.invalid("distortion_params", f"six numbers: {DISTORTION_KEYS}")
        distortion = values.tolist()
    k1, k2, k3, k4, p1, p2 = distortion
    return Intrinsics(
        fl_x=fields.required("fl_x", positive=True),
        fl_y=fields.required("fl_y", positive=True),
        cx=fields.required("cx"),
        cy=fields.required("cy"),
        width=fields.pixels("w"),
        height=fields.pixels("h"),
        distortion=(k1, k2, k3, k4, p1, p2),
    )


def _read_pose(fields: _CaptureFields) -> np.ndarray:
    def refusal(problem: str) -> MacroSplatError:
        return fields.error("transform_matrix", f"{problem}; estimate this pose again or remove the frame")

    value = fields.values.get("transform_matrix")
    if value is None:
        raise fields.error("transform_matrix", "is missing; add the 4x4 camera-to-world pose")
    pose = as_floats(value, (4, 4))
    if pose is None:
        upper = as_floats(value, (3, 4))
        if upper is None:
            raise fields.invalid("transform_matrix", "4 rows of 4 numbers")
        pose = np.vstack([upper, [0.0, 0.0, 0.0, 1.0]])
    if not np.isfinite(pose).all():
        raise refusal(f"holds {pose[~np.isfinite(pose)][0]}")
    if np.abs(pose).max() > Fields.largest:
        raise refusal(f"holds {pose.flat[np.abs(pose).argmax()]:g}")
    rotation = pose[:3, :3]
    determinant = np.linalg.det(rotation)
    if abs(determinant) < RIGID_TOLERANCE:
        raise refusal(f"is singular (determinant {determinant:.3g})")
    if determinant < 0:
        raise refusal(f"is a mirror image (determinant {determinant:.3g})")
    deviation = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if deviation > RIGID_TOLERANCE or np.abs(pose[3] - [0, 0, 0, 1]).max() > RIGID_TOLERANCE:
        raise refusal(f"is not rigid (columns off by {deviation:.3g})")
    return nearest_rigid(pose)


def _read_applied_transform(fields: _CaptureFields) -> np.ndarray | None:
    value = fields.values.get("applied_transform")
    if value is None:
        return None
    matrix = as_floats(value, (3, 4))
    if matrix is None:
        matrix = as_floats(value, (4, 4))
    if matrix is None or not np.isfinite(matrix).all():
        raise fields.invalid("applied_transform", "3 rows of 4 finite numbers")
    return matrix[:3]


def _read_sparse_points(fields: _CaptureFields, warnings: list[str]) -> SparsePoints | None:
    path = fields.file("ply_file_path")
    if path is None:
        return None
    points = read_points(path)
    if points is None:
        warnings.append(f"{path} holds no points; training starts from random ones")
    return points


def _read_splits(fields: _CaptureFields, frames: list[Frame]) -> dict[str, tuple[str, ...]]:
    known = {frame.name for frame in frames}
    splits: dict[str, tuple[str, ...]] = {}
    for split in ("train", "val", "test"):
        key = f"{split}_filenames"
        value = fields.values.get(key)
        if value is None:
            continue
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise fields.invalid(key, "a list of file names")
        names = tuple(posixpath.normpath(name) for name in value)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise fields.error(key, f"names {_list_names(unknown)}, which no frame has; remove or correct it")
        splits[split] = names
    if "train" in splits and not splits["train"]:
        raise fields.error("train_filenames", "is empty: no view is left for training; list some or remove the key")
    return splits


def _check_names(path: Path, frames: list[Frame]) -> None:
    missing = [frame.name for frame in frames if not os.path.isfile(frame.image)]
    if missing:
        raise MacroSplatError(
            f"{path}: {len(missing)} of {len(frames)} photographs do not exist: {_list_names(missing)}; "
            f"put them into {path.parent} or remove their frames"
        )
    twice = sorted({a.name for a, b in itertools.pairwise(frames) if a.name == b.name})
    if twice:
        raise MacroSplatError(f"{path}: {_list_names(twice)} stands in more than one frame; keep one of each")


def _list_names(names: Iterable[str]) -> str:
    return first_few(map(printable, names))
