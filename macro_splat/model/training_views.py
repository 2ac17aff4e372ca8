"""Where the training views are: which of them a camera is, and how far a camera is from what they look at."""

from __future__ import annotations

import torch
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from macro_splat.data.random_points import centre_of_attention
from macro_splat.defocus.per_view_lens import PerViewLens
from macro_splat.defocus.virtual_lens import VirtualLens

SAME_PLACE = 0.02
"""A viewer's camera is that of a training view within this share of its distance from the scene: poses get refined."""


class TrainingViews:
    """The poses of the training cameras, in model units."""

    def __init__(self, cameras: Cameras) -> None:
        self.poses: Tensor = cameras.camera_to_worlds[:, :3, :4].cpu()
        """[V, 3, 4] camera to world."""
        self.centre: Tensor = torch.from_numpy(centre_of_attention(self.poses.double().numpy(), 1.0)).float()
        """[3] what they look at."""

    def index_of(self, camera: Cameras) -> int | None:
        """Index of the view that a camera is, or None.

        The dataparser's `train_idx` tells. A camera without it, as the viewer's, is the view that its `cam_idx` names
        as long as it is in that place.
        """
        metadata = camera.metadata or {}
        if "train_idx" in metadata:
            index = int(metadata["train_idx"])
            return index if index >= 0 else None
        view = int(metadata.get("cam_idx", -1))
        if not 0 <= view < len(self.poses):
            return None
        place, there = camera.camera_to_worlds[0, :3, 3].cpu(), self.poses[view, :3, 3]
        near = (place - there).norm() <= SAME_PLACE * (self.centre - there).norm()
        return view if bool(near) else None

    def centre_depth(self, poses: Tensor) -> Tensor:
        """[N] depth of the scene's centre; its distance for cameras that look away. ``poses``: [N, 3, 4]."""
        way = self.centre - poses[:, :, 3]
        depth = -(way * poses[:, :, 2]).sum(dim=1)
        return torch.where(depth > 0, depth, way.norm(dim=1).clamp(min=1e-6))

    @torch.no_grad()
    def typical_lens(self, lens: PerViewLens, camera: Cameras) -> VirtualLens:
        """The median pupil, focused relative to the scene's centre as the median view is.

        Args:
            lens: of these views. camera: any one camera.
        """
        share = float((self.centre_depth(self.poses) * lens.inverse_focus_distance().cpu()).median())
        depth = float(self.centre_depth(camera.camera_to_worlds[:, :3, :4].cpu()))
        return VirtualLens(depth / share if share > 0 else float("inf"), float(lens.aperture_radius().median()))
