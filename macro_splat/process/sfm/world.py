"""A sensible world for poses and points that came in an arbitrary one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macro_splat.process.geometry import rotation_from_z

MIN_UP_LENGTH = 0.5
"""Cameras whose mean up direction is shorter than this were rotated about their axes: their up says nothing."""


def upright_world(
    camera_to_world: NDArray[np.float64], points: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the similarity x ↦ scale · rotation · x + translation into a world with the object at the origin and z up.

    The origin is the median of the points and the median distance of the cameras from it is 1. Up is perpendicular to
    the cameras' x axes, which are level when cameras are held level; where that leaves it open (all cameras in a row)
    the mean of their up directions; where cameras were rotated about their axes, the normal of the plane they lie in,
    on the cameras' side of the object.

    Args:
        camera_to_world: [V, 4, 4], OpenGL axes. points: [N, 3].

    Returns:
        scale, rotation [3, 3], translation [3].
    """
    axes, positions = camera_to_world[:, :3, :3], camera_to_world[:, :3, 3]
    centre = np.median(points, axis=0)
    up = axes[:, :, 1].mean(axis=0)
    if np.linalg.norm(up) >= MIN_UP_LENGTH:
        spread, directions = np.linalg.eigh(np.einsum("vi,vj->ij", axes[:, :, 0], axes[:, :, 0]) / len(axes))
        if spread[1] > 4 * spread[0] + 1e-3:
            up = directions[:, 0] * np.sign(directions[:, 0] @ up)
    else:
        _, _, directions = np.linalg.svd(positions - positions.mean(axis=0))
        side = (positions - centre).mean(axis=0)
        up = directions[2] * (1.0 if directions[2] @ side >= 0 else -1.0)
    rotation = np.ascontiguousarray(rotation_from_z(up / np.linalg.norm(up)).T)
    scale = 1.0 / float(np.median(np.linalg.norm(positions - centre, axis=1)))
    return scale, rotation, -scale * rotation @ centre


def move_cameras(
    camera_to_world: NDArray[np.float64], scale: float, rotation: NDArray[np.float64], translation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return cameras [V, 4, 4] in the world that the similarity leads to; they stay rigid."""
    moved = camera_to_world.copy()
    moved[:, :3, :3] = rotation @ camera_to_world[:, :3, :3]
    moved[:, :3, 3] = scale * camera_to_world[:, :3, 3] @ rotation.T + translation
    return moved
