"""A way around the object for the camera, as the training cameras went."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.coverage import azimuth_gaps, directions

WIDEST_GAP = 120.0
"""Degrees of azimuth without a training camera, above which the sides beyond are taken for unseen."""
ROUND = 4.0
"""How many times flatter than wide the cameras' directions lie for their plane to be taken for that of a turntable."""


def orbit(camera_to_world: NDArray[np.float64], centre: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Poses on the training cameras' own circle, at their median height and distance, looking at the object.

    Where they saw the object from all sides it goes all around; else from one end of what they saw to the other and
    back. The last pose is followed by the first: the film can be repeated.

    Args:
        camera_to_world: [V, 3 or 4, 4] of the training cameras, OpenGL axes.
        centre: [3] of the object. count: of poses, >= 1.

    Returns:
        [count, 3, 4].
    """
    places = camera_to_world[:, :3, 3] - centre
    distances = np.linalg.norm(places, axis=1)
    to_upright = _upright(camera_to_world[:, :3, 1], places / np.maximum(distances, 1e-12)[:, None])
    upright = np.tile(np.eye(4), (len(places), 1, 1))
    upright[:, :3, 3] = places @ to_upright.T
    seen = directions(upright, np.zeros(3))
    elevation = np.radians(np.median(seen[:, 1]))
    azimuths = _azimuths(seen, count)
    level = np.cos(elevation)
    back = np.stack([level * np.cos(azimuths), level * np.sin(azimuths), np.full(count, np.sin(elevation))], axis=1)
    right = np.stack([-np.sin(azimuths), np.cos(azimuths), np.zeros(count)], axis=1)
    poses = np.empty((count, 3, 4))
    poses[:, :, 0] = right @ to_upright
    poses[:, :, 1] = np.cross(back, right) @ to_upright
    poses[:, :, 2] = back @ to_upright
    poses[:, :, 3] = centre + np.median(distances) * poses[:, :, 2]
    return poses


def _azimuths(seen: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Radians, [count]: all around, or to and fro where there is a wide gap, slower at the turning points."""
    gaps = azimuth_gaps(seen, WIDEST_GAP)
    turn = 2 * np.pi * np.arange(count) / count
    if not gaps:
        return np.radians(seen[0, 0]) + turn
    start, width = gaps[0].start + gaps[0].width, 360.0 - gaps[0].width
    return np.radians(start + width * 0.5 * (1 - np.cos(turn)))


def _upright(up: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation [3, 3] that makes the axis around which the cameras went the z axis.

    It is the normal of the plane nearest to the directions' tips where they lie flat, as on a turntable, else the mean
    of the cameras' own up vectors.

    Args:
        up, directions: [V, 3] unit vectors, of the cameras and from the object to them.
    """
    mean_up = up.mean(axis=0)
    spread, axes = np.linalg.eigh(np.cov(directions.T, bias=True)) if len(directions) > 3 else (np.zeros(3), np.eye(3))
    axis = axes[:, 0] if spread[1] > ROUND * max(spread[0], 1e-9) else mean_up
    if axis @ mean_up < 0:
        axis = -axis
    norm = float(np.linalg.norm(axis))
    axis = axis / norm if norm > 1e-6 else np.array([0.0, 0.0, 1.0])
    helper = np.eye(3)[np.abs(axis).argmin()]
    x = np.cross(helper, axis)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(axis, x), axis])
