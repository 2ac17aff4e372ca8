"""The `macro-rig-data` dataparser: a capture as nerfstudio's cameras, in model units, with the metric scale kept.

Imported while nerfstudio builds its registry of dataparsers: nothing here may import its methods, engine or
datamanagers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from nerfstudio.cameras.camera_utils import auto_orient_and_center_poses
from nerfstudio.cameras.cameras import CAMERA_MODEL_TO_TYPE, Cameras
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor

from macro_splat.capture import Capture, Frame, read_capture
from macro_splat.capture.plausibility import entrance_pupil_radius_mm
from macro_splat.data.lens import Lens
from macro_splat.data.random_points import points_in_view
from macro_splat.data.split import group_by_pose, split_frames
from macro_splat.errors import MacroSplatError
from macro_splat.photographs.exif import Exif, read_exif
from macro_splat.utils.messages import printable

Orientation: TypeAlias = Literal["pca", "up", "vertical", "none"]
MIN_POINTS = 10
"""A smaller cloud is taken for none."""


@dataclass
class MacroDataParserConfig(DataParserConfig):
    """A capture of macro photographs: nerfstudio's transforms.json, with the optics of each view where known."""

    _target: type = field(default_factory=lambda: MacroDataParser)
    """target class to instantiate"""
    data: Path = Path()
    """The capture's folder, or a json file in it (transforms_noisy.json, say)."""
    scale_factor: float = 1.0
    """Enlarges the model frame by this much, after auto_scale_poses."""
    scene_scale: float = 1.0
    """Half the edge of the scene box in model units."""
    orientation_method: Orientation = "up"
    """How the model frame is turned: see nerfstudio's auto_orient_and_center_poses."""
    center_method: Literal["poses", "focus", "none"] = "focus"
    """Where the model frame's origin lies: amid the cameras, at the point they look at (the object), or unchanged."""
    auto_scale_poses: bool = True
    """Scale so that the cameras fit the box of +/- 1. The metric scale is kept in the metadata."""
    eval_interval: int = 8
    """Without split lists in the capture: hold out one pose in so many (all slices of its stack); 0 = none."""
    load_3D_points: bool = True
    """Start from the capture's sparse points."""
    train_on_sharp: bool = False
    """Train on the all-in-focus photographs (sharp_file_path): the upper bound that a benchmark compares with."""
    ignore_optics: bool = False
    """Forget focus distance, aperture and f-number: everything about the lens is estimated."""


class MacroDataParser(DataParser):
    """Reads a capture into `DataparserOutputs`.

    Metadata for the model, on top of what nerfstudio defines (`points3D_xyz`, `points3D_rgb`):

    - `scene_unit`: "mm", "cm", "m" or None; `mm_per_unit`: float or None
    - `dataparser_scale`: model units per scene unit; `dataparser_transform` [3, 4] float64: x_model = scale (R x + t).
      Unlike the outputs' fields of these names they leave `applied_transform` and `applied_scale` out: they lead
      back to the frame of transforms.json itself
    - `lens`: the `Lens` of this split's views. The engraved values of a lens that is focused close are off by a fifth
      and more: what EXIF tags tell is a start, not a given value, and is told where the scale is known alone
    - `stack_id` [N, 1] int64: the pose of each view, shared by the frames of a stack
    - `points3D_measured`: whether the points are on surfaces; without a cloud, training starts from random ones
    - `sharp_filenames`, `depth_filenames`, `mask_filenames`: a list with a path or None for each view

    `Cameras.metadata` holds `lens` too, and `train_idx` [N, 1] int64: the index in the training split, -1 outside. Both
    survive indexing and every dataloader.
    """

    config: MacroDataParserConfig
    downscale_factor: int | None = None
    """Set by nerfstudio in inference; photographs are always read at full size and reduced by the datamanager."""

    def __init__(self, config: MacroDataParserConfig):
        super().__init__(config=config)
        self._capture: Capture | None = None
        self._exifs: dict[Path, Exif] = {}

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs: Any) -> DataparserOutputs:
        capture = self._read()
        poses, transform, scale = self._model_frame(capture)
        pose_groups = group_by_pose(capture.frames)
        train = split_frames(capture, "train", self.config.eval_interval)
        indices = split_frames(capture, split, self.config.eval_interval)
        if split != "train" and indices == train:
            self._warn(f"{capture.path} holds no view out: evaluation uses the training photographs")
        frames = [capture.frames[i] for i in indices]
        images, sharpened = [frame.image for frame in frames], set()
        if split == "train" and self.config.train_on_sharp:
            images = self._sharp_photographs(capture, frames)
            sharpened = set(indices)
        lens = self._lens(capture, indices, scale, sharpened, keep_pinholes=split != "train")
        in_training = {i: n for n, i in enumerate(train)}
        train_idx = torch.tensor([[in_training.get(i, -1)] for i in indices])
        masks = [frame.mask for frame in frames if frame.mask is not None]
        metadata = {
            "scene_unit": capture.scene_unit,
            "mm_per_unit": capture.mm_per_unit,
            "dataparser_scale": scale,
            "dataparser_transform": torch.from_numpy(transform),
            "lens": lens,
            "stack_id": torch.tensor([[pose_groups[i]] for i in indices]),
            "mask_filenames": [frame.mask for frame in frames],
            "sharp_filenames": [frame.sharp for frame in frames],
            "depth_filenames": [frame.depth for frame in frames],
        }
        measured = self.config.load_3D_points and capture.points is not None and len(capture.points.xyz) >= MIN_POINTS
        if measured and capture.points is not None:
            xyz = (capture.points.xyz @ transform[:, :3].T + transform[:, 3]) * scale
            metadata["points3D_xyz"] = torch.from_numpy(xyz).float()
            metadata["points3D_rgb"] = torch.from_numpy(capture.points.rgb)
        elif split == "train":
            xyz = _random_points(frames, poses[indices], lens)
            metadata["points3D_xyz"] = xyz
            metadata["points3D_rgb"] = torch.full(xyz.shape, 128, dtype=torch.uint8)
        metadata["points3D_measured"] = measured
        original, original_scale = _include_applied(capture, transform, scale)
        box = self.config.scene_scale * torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])
        return DataparserOutputs(
            image_filenames=images,
            cameras=_cameras(capture, frames, poses[indices], {"lens": lens, "train_idx": train_idx}),
            scene_box=SceneBox(aabb=box),
            mask_filenames=masks if len(masks) == len(frames) else None,
            dataparser_scale=original_scale,
            dataparser_transform=torch.from_numpy(original).float(),
            metadata=metadata,
        )

    @staticmethod
    def _warn(message: str) -> None:
        # Names of files may hold what rich takes for markup, or what steers a terminal.
        CONSOLE.log(printable(message), style="yellow", markup=False)

    def _read(self) -> Capture:
        """The capture, read once for all splits."""
        if self._capture is None:
            self._capture = read_capture(self.config.data)
            for warning in self._capture.warnings:
                self._warn(f"Warning: {warning}")
        return self._capture

    def _model_frame(self, capture: Capture) -> tuple[np.ndarray, np.ndarray, float]:
        """Poses in model units [N, 3, 4], the rigid transform [3, 4] and the scale that made them, all float64."""
        poses = np.stack([frame.camera_to_world for frame in capture.frames])
        orientation = cast(Orientation, capture.orientation_override or self.config.orientation_method)
        center = self.config.center_method
        if center == "focus" and not _look_at_a_point(poses):
            center = "poses"
        if orientation in ("up", "vertical") and np.linalg.norm(poses[:, :3, 1].mean(0)) < 1e-3:
            orientation = "none"  # the cameras' up vectors cancel: no direction is up
        # nerfstudio works in float32: shift first, so that a scene far from its origin keeps its digits.
        shift = np.zeros(3) if center == "none" else poses[:, :3, 3].mean(0)
        shifted = poses.copy()
        shifted[:, :3, 3] -= shift
        _, moved = auto_orient_and_center_poses(torch.from_numpy(shifted).float(), orientation, center)
        transform = moved.numpy().astype(np.float64)
        u, _, vt = np.linalg.svd(transform[:, :3])
        transform[:, :3] = u @ vt  # a rotation to the last digit: distances must not change
        transform[:, 3] -= transform[:, :3] @ shift
        oriented = transform @ poses
        scale = self.config.scale_factor
        if self.config.auto_scale_poses:
            scale /= _extent(capture, oriented[:, :, 3])
        oriented[:, :, 3] *= scale
        return oriented, transform, float(scale)

    def _sharp_photographs(self, capture: Capture, frames: Sequence[Frame]) -> list[Path]:
        lacking = [f.name for f in frames if f.sharp is None and f.optics.aperture_radius != 0]
        if lacking:
            raise MacroSplatError(
                f"{capture.path}: {len(lacking)} of {len(frames)} training views, {lacking[0]} first, have no "
                "`sharp_file_path`, which train_on_sharp needs; add them or train without it"
            )
        return [frame.sharp or frame.image for frame in frames]

    def _lens(
        self, capture: Capture, indices: Sequence[int], scale: float, sharpened: set[int], keep_pinholes: bool
    ) -> Lens:
        """Return the optics of the given frames, lengths in model units."""
        rows = []
        for i in indices:
            frame, optics = capture.frames[i], capture.frames[i].optics
            exif = self._exif(capture, frame)
            f_number = optics.f_number or exif.f_number
            focal_length = optics.focal_length_mm or exif.focal_length_mm
            row = [optics.focus_distance, optics.aperture_radius, None, None, f_number, focal_length]
            if capture.mm_per_unit is not None:
                starts = (exif.object_distance_mm, entrance_pupil_radius_mm(f_number, focal_length))
                row[2:4] = [None if mm is None else mm / capture.mm_per_unit for mm in starts]
            if self.config.ignore_optics:
                pinhole = keep_pinholes and optics.aperture_radius == 0
                row = [None, 0.0 if pinhole else None, None, None, None, focal_length]
            if i in sharpened:
                row[1] = 0.0
            rows.append([float("nan") if value is None else value for value in row])
        values = torch.tensor(rows, dtype=torch.float64)
        values[:, :4] *= scale
        return Lens(*values.float().split(1, dim=1))

    def _exif(self, capture: Capture, frame: Frame) -> Exif:
        """What the tags of a photograph say; nothing where the capture has no scale or says it itself."""
        optics = frame.optics
        known = optics.aperture_radius is not None or (optics.f_number and optics.focal_length_mm)
        if capture.mm_per_unit is None or (optics.focus_distance is not None and known):
            return Exif()
        if frame.image not in self._exifs:
            self._exifs[frame.image] = read_exif(frame.image)
        return self._exifs[frame.image]


def _look_at_a_point(poses: np.ndarray) -> bool:
    """Whether the optical axes differ enough to meet somewhere: 2 degrees (root mean square) or more."""
    axes = poses[:, :3, 2]
    return float(np.linalg.eigvalsh(np.eye(3) - axes.T @ axes / len(axes))[0]) > np.deg2rad(2.0) ** 2


def _extent(capture: Capture, positions: np.ndarray) -> float:
    """What becomes 1 model unit: the largest camera coordinate, or where all cameras are in one place, a distance."""
    extent = float(np.abs(positions).max())
    reach = max(1.0, float(np.abs(np.stack([f.camera_to_world[:3, 3] for f in capture.frames])).max()))
    if extent > 1e-6 * reach:
        return extent
    focus = [f.optics.focus_distance for f in capture.frames if f.optics.focus_distance is not None]
    return float(np.median(focus)) if focus else 1.0


def _include_applied(capture: Capture, transform: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
    """The same map from the data that an earlier tool started with, as nerfstudio's own parser reports it."""
    if capture.applied_transform is None:
        return transform, scale * capture.applied_scale
    applied = np.vstack([capture.applied_transform, [0.0, 0.0, 0.0, 1.0]])
    return transform @ applied, scale * capture.applied_scale


def _random_points(frames: Sequence[Frame], poses: np.ndarray, lens: Lens) -> Tensor:
    cameras = [frame.intrinsics for frame in frames]
    intrinsics = np.array([(camera.fl_x, camera.fl_y, camera.cx, camera.cy) for camera in cameras])
    sizes = np.array([(camera.width, camera.height) for camera in cameras])
    focus = lens.focus_distance[~lens.focus_distance.isnan()]
    distance = float(focus.median()) if len(focus) else 1.0
    return torch.from_numpy(points_in_view(poses, intrinsics, sizes, distance))


def _cameras(capture: Capture, frames: Sequence[Frame], poses: np.ndarray, metadata: dict[str, Any]) -> Cameras:
    intrinsics = [frame.intrinsics for frame in frames]

    def column(name: str, dtype: torch.dtype) -> Tensor:
        return torch.tensor([[getattr(camera, name)] for camera in intrinsics], dtype=dtype)

    return Cameras(
        camera_to_worlds=torch.from_numpy(poses).float(),
        fx=column("fl_x", torch.float32),
        fy=column("fl_y", torch.float32),
        cx=column("cx", torch.float32),
        cy=column("cy", torch.float32),
        width=column("width", torch.int64),
        height=column("height", torch.int64),
        distortion_params=torch.tensor([camera.distortion for camera in intrinsics], dtype=torch.float32),
        camera_type=CAMERA_MODEL_TO_TYPE[capture.camera_model],
        metadata=metadata,
    )
