"""Poses of cameras, camera to world [4, 4] with OpenGL axes: x right, y up, looking along -z."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def look_at_pose(
    azimuth: float,
    elevation: float,
    radius: float,
    look_at: Sequence[float] = (0.0, 0.0, 0.0),
    roll: float = 0.0,
) -> NDArray[np.float64]:
    """Return the pose of a camera that looks at a point from a distance, z up.

    Args:
        azimuth: of the camera as seen from the point, degrees ccw from +x.
        elevation: of the camera as seen from the point, degrees above the xy plane.
        roll: degrees that the camera is rotated ccw about its own axis, seen from behind it.
    """
    a, e, r = np.radians([azimuth, elevation, roll])
    back = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    up = np.cross(back, right)
    pose = np.eye(4)
    pose[:3, 0] = np.cos(r) * right + np.sin(r) * up
    pose[:3, 1] = np.cos(r) * up - np.sin(r) * right
    pose[:3, 2] = back
    pose[:3, 3] = np.asarray(look_at) + radius * back
    return pose


def slide(camera_to_world: NDArray[np.float64], forward: float) -> NDArray[np.float64]:
    """Return the pose moved along its optical axis, as a rail does; forward is towards the object."""
    moved = camera_to_world.copy()
    moved[:3, 3] -= forward * camera_to_world[:3, 2]
    return moved


def rotation_from_z(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smallest rotation [3, 3] that takes z to a unit vector (Rodrigues' formula)."""
    if axis[2] < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    x, y, _ = np.cross([0.0, 0.0, 1.0], axis)
    skew = np.array([[0, 0, y], [0, 0, -x], [-y, x, 0]])
    return np.eye(3) + (skew + skew @ skew / (1 + axis[2]))
