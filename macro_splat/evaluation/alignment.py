"""Undoing the common drift of optimised poses.

When poses are optimised together with the scene, all of them and the scene may move, turn and grow together without
any photograph changing. A held-out view, whose pose is known in the original frame, has to follow that motion before it
can be judged. The motion is found from the training views alone, so no held-out picture is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

GAUSS_NEWTON_STEPS = 12
MAX_POINTS = 300


@dataclass(frozen=True)
class Similarity:
    """x ↦ scale · rotation · x + translation."""

    scale: float
    rotation: Tensor
    """[3, 3]"""
    translation: Tensor
    """[3]"""

    def apply(self, points: Tensor) -> Tensor:
        """Return points [N, 3], moved."""
        return self.scale * points @ self.rotation.T + self.translation

    def move_camera(self, camera_to_world: Tensor) -> Tensor:
        """Return a camera [..., 3, 4] that moves with the scene; its pictures' depth is `scale` times as large."""
        rotation = self.rotation @ camera_to_world[..., :3]
        return torch.cat([rotation, self.apply(camera_to_world[..., 3])[..., None]], dim=-1)


def align_cameras(viewmats: Tensor, true_viewmats: Tensor, points: Tensor, focal_px: Tensor) -> Similarity:
    """Return the motion of the scene that best explains where optimised cameras see what true cameras see.

    Minimises Σ |π(E_i G p_j) − π(T_i p_j)|² in pixels over the similarity G by Gauss–Newton: E_i, T_i world-to-camera,
    p_j points of the scene. Unlike a fit of the camera centres this lets a camera's turn and shift, which the picture
    of a distant object can hardly tell apart, make up for each other.

    Args:
        viewmats: [V, 4, 4] optimised world-to-camera, z forward. true_viewmats: likewise.
        points: [P, 3] on the object, in the frame of the true cameras.
        focal_px: [V].

    Returns:
        The motion from the frame of the true cameras to that of the optimised ones.
    """
    step = max(1, len(points) // MAX_POINTS)
    points, viewmats, true_viewmats = points[::step].double(), viewmats.double(), true_viewmats.double()
    centre = points.mean(dim=0)
    size = (points - centre).norm(dim=1).mean().clamp(min=1e-12)
    target = _project(true_viewmats, points, focal_px)

    def residual(motion: Tensor) -> Tensor:
        return (_project(viewmats, _move(motion, points, centre, size), focal_px) - target).reshape(-1)

    motion = torch.zeros(7, dtype=torch.float64)
    for _ in range(GAUSS_NEWTON_STEPS):
        jacobian = torch.func.jacfwd(residual)(motion)
        motion = motion - torch.linalg.lstsq(jacobian, residual(motion)[:, None]).solution[:, 0]
    scale, rotation = float(torch.exp(motion[6])), _rotation(motion[:3])
    translation = centre + size * motion[3:6] - scale * rotation @ centre
    return Similarity(scale, rotation.float(), translation.float())


def _move(motion: Tensor, points: Tensor, centre: Tensor, size: Tensor) -> Tensor:
    """Turn, grow and shift about the centre; shifts in units of the object's size."""
    return torch.exp(motion[6]) * (points - centre) @ _rotation(motion[:3]).T + centre + size * motion[3:6]


def _rotation(vector: Tensor) -> Tensor:
    zero = torch.zeros_like(vector[0])
    x, y, z = vector
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    return torch.linalg.matrix_exp(skew)


def _project(viewmats: Tensor, points: Tensor, focal_px: Tensor) -> Tensor:
    """Return [V, P, 2] pixels from the principal point."""
    xyz = points @ viewmats[:, :3, :3].transpose(1, 2) + viewmats[:, None, :3, 3]
    return focal_px.double()[:, None, None] * xyz[..., :2] / xyz[..., 2:]
