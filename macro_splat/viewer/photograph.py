"""A training photograph as the viewer's camera would show it."""

from __future__ import annotations

import torch
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor
from torch.nn import functional

NOTHING = 0.35
"""Grey level beside the photograph."""


def photograph_seen_by(camera: Cameras, photograph: Tensor, taken_by: Cameras) -> tuple[Tensor, Tensor]:
    """Resample a photograph for another camera at the same place, whatever its direction and focal length.

    Args:
        camera, taken_by: one camera each, with the same centre of projection and no distortion.
        photograph: [h, w, 3] in 0..1.

    Returns:
        picture [H, W, 3], grey where the photograph shows nothing, and [H, W, 1] bool, where it shows something.
    """
    width, height = int(camera.width), int(camera.height)
    fx, fy, cx, cy = (float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    columns = torch.arange(width, device=photograph.device) + 0.5
    rows = torch.arange(height, device=photograph.device) + 0.5
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    rays = torch.stack([(u - cx) / fx, -(v - cy) / fy, -torch.ones_like(u)], dim=-1)
    turn = taken_by.camera_to_worlds[0, :3, :3].T @ camera.camera_to_worlds[0, :3, :3]
    rays = rays @ turn.T.to(rays)
    in_front = rays[..., 2] < -1e-6
    depth = torch.where(in_front, -rays[..., 2], torch.ones_like(rays[..., 2]))
    x = float(taken_by.fx) * rays[..., 0] / depth + float(taken_by.cx)
    y = float(taken_by.cy) - float(taken_by.fy) * rays[..., 1] / depth

    source = photograph.permute(2, 0, 1)[None]
    shrink = max(1, int(float(taken_by.fx) / fx))  # averaged first, or fine detail would flicker
    size = [shrink * (length // shrink) for length in source.shape[2:]]
    source = functional.avg_pool2d(source[:, :, : size[0], : size[1]], shrink)
    inside = in_front & (x >= 0) & (x <= size[1]) & (y >= 0) & (y <= size[0])
    grid = torch.stack([2.0 * x / size[1] - 1.0, 2.0 * y / size[0] - 1.0], dim=-1)[None]
    picture = functional.grid_sample(source, grid, padding_mode="border", align_corners=False)[0].permute(1, 2, 0)
    return torch.where(inside[..., None], picture, torch.full_like(picture, NOTHING)), inside[..., None]
