"""A run in lengths that can be read: its cameras, lenses and splats in the capture's own frame, in mm where known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from nerfstudio.models.splatfacto import SH2RGB
from numpy.typing import NDArray

from macro_splat.defocus.thin_lens import depth_of_field, distance_of
from macro_splat.runs.clean import object_gaussians
from macro_splat.runs.frame import output_frame
from macro_splat.runs.views import object_middle, training_poses

if TYPE_CHECKING:
    from macro_splat.runs.load import Run

SHARP_PX = 2.0
"""Diameter of the circle of confusion that still counts as sharp, in pixels."""
OPAQUE = 0.5


@dataclass(frozen=True, eq=False)
class RunGeometry:
    """Lengths in `unit`; V training views, N opaque splats."""

    unit: str | None
    """None: the capture's scale is unknown, and lengths are in its own units."""
    cameras: NDArray[np.float64]
    """[V, 4, 4] refined poses."""
    centre: NDArray[np.float64]
    """[3] of the object."""
    points: NDArray[np.float64]
    """[N, 3]."""
    object_points: NDArray[np.float64]
    """[M, 3] centres of the splats that are the object's: those that an export keeps."""
    colours: NDArray[np.uint8]
    """[N, 3]."""
    focus: NDArray[np.float64] | None
    """[V] focus distances; None without a lens."""
    sharp_from: NDArray[np.float64] | None
    sharp_to: NDArray[np.float64] | None
    """[V] the depths between which the circle of confusion is at most `SHARP_PX`; infinite where it has no end."""
    object_from: NDArray[np.float64]
    object_to: NDArray[np.float64]
    """[V] depths between which the object lies."""

    def size(self) -> NDArray[np.float64] | None:
        """Length, width and height [3] of the whole object along its own principal axes, the longest first."""
        if len(self.object_points) < 4:
            return None
        axes = np.linalg.eigh(np.cov(self.object_points.T))[1]
        return np.sort(np.ptp(self.object_points @ axes, axis=0))[::-1]


@torch.no_grad()
def run_geometry(run: Run) -> RunGeometry:
    """Everything from the model's frame to the capture's: x_model = s (R x + t)."""
    model, metadata = run.model, run.metadata
    # Other dataparsers than ours do not say how they moved the scene.
    scale, mm = float(metadata.get("dataparser_scale", 1.0)), metadata.get("mm_per_unit")
    transform = np.asarray(metadata.get("dataparser_transform", np.eye(3, 4)), dtype=np.float64)
    rotation, shift = transform[:, :3], transform[:, 3]
    per_unit = 1.0 if mm is None else float(mm)
    to_unit = per_unit / scale

    def to_world(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return (points / scale - shift) @ rotation * per_unit

    poses = training_poses(run)
    middle = object_middle(model, poses)
    opaque = (torch.sigmoid(model.opacities) > OPAQUE).squeeze(-1)
    means = model.means[opaque].cpu().numpy().astype(np.float64)
    dc = model.features_dc[opaque].cpu()
    colours = SH2RGB(dc) if model.config.sh_degree > 0 else torch.sigmoid(dc)
    cameras = poses.copy()
    cameras[:, :3, :3] = rotation.T @ poses[:, :3, :3]
    cameras[:, :3, 3] = to_world(poses[:, :3, 3])
    points, centre = to_world(means), to_world(middle[None])[0]
    of_object, _ = object_gaussians(run, output_frame(metadata))
    object_points = of_object.means.numpy().astype(np.float64)
    depths = _depths(cameras, object_points)
    focus = sharp_from = sharp_to = None
    if model.lens is not None:
        focal = run.datamanager.train_dataset.cameras.fx.reshape(-1).double().cpu().numpy()
        inverse = model.lens.inverse_focus_distance().double().cpu().numpy()
        radius = model.lens.aperture_radius().double().cpu().numpy()
        focus = distance_of(inverse) * to_unit
        sharp_from, sharp_to = (edge * to_unit for edge in depth_of_field(inverse, radius * focal, SHARP_PX))
    return RunGeometry(
        unit="mm" if mm is not None else metadata.get("scene_unit"),
        cameras=cameras,
        centre=centre,
        points=points,
        object_points=object_points,
        colours=(255 * colours.clamp(0, 1)).round().byte().numpy(),
        focus=focus,
        sharp_from=sharp_from,
        sharp_to=sharp_to,
        object_from=depths[0],
        object_to=depths[1],
    )


def _depths(cameras: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2, V] the depths between which the points lie for each camera."""
    if not len(points):
        return np.full((2, len(cameras)), np.nan)
    depths = [(pose[:3, 3] - points) @ pose[:3, 2] for pose in cameras]
    return np.array([[depth.min() for depth in depths], [depth.max() for depth in depths]])
