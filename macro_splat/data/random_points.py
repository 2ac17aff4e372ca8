"""Points to start from where a capture has no sparse cloud: spread through the space that its cameras look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macro_splat.capture.coverage import nearest_to_axes

COUNT = 12_000
FILL = 0.7
"""Radius of the ball of points over that of the largest ball seen whole by the median view: objects fill pictures."""
SEEN_BY = 0.5
"""Share of the views that must see a point."""


def centre_of_attention(poses: NDArray[np.float64], fallback_distance: float) -> NDArray[np.float64]:
    """The point [3] closest to all optical axes; where they are all but parallel, ``fallback_distance`` along them.

    Args:
        poses: [N, 3, 4] camera-to-world, the camera looking along −z.
        fallback_distance: used where the axes do not meet in front of the cameras.
    """
    centre = _crossing(poses)
    if centre is None:
        centre = (poses[:, :, 3] - fallback_distance * poses[:, :, 2]).mean(axis=0)
    return centre


def axes_meet(poses: NDArray[np.float64]) -> bool:
    """Whether the cameras [N, 3, 4] look at one thing: their axes are not all but parallel, and meet before them."""
    return _crossing(poses) is not None


def _crossing(poses: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return where the axes cross, if that lies before most cameras."""
    centre = nearest_to_axes(poses)
    if centre is None or np.median(((centre - poses[:, :, 3]) * -poses[:, :, 2]).sum(axis=1)) <= 0:
        return None
    return centre


def points_in_view(
    poses: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    sizes: NDArray[np.int64],
    fallback_distance: float,
    *,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Random points, uniform in the ball around what the cameras look at, as far as half of the cameras see them,
    or as many as do.

    Args:
        poses: [N, 3, 4] camera-to-world, the camera looking along −z, y up.
        intrinsics: [N, 4] fl_x, fl_y, cx, cy in pixels.
        sizes: [N, 2] width and height in pixels.
        fallback_distance: see `centre_of_attention`.

    Returns:
        [P, 3] positions, at most `COUNT`.
    """
    generator = np.random.default_rng(seed)
    centre = centre_of_attention(poses, fallback_distance)
    distance = np.linalg.norm(poses[:, :, 3] - centre, axis=1)
    radius = FILL * float(np.median(distance * (sizes / 2 / intrinsics[:, :2]).min(axis=1)))
    direction = generator.normal(size=(4 * COUNT, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    points = centre + radius * direction * generator.random((4 * COUNT, 1)) ** (1 / 3)
    seen = np.zeros(len(points))
    for pose, (fl_x, fl_y, cx, cy), (width, height) in zip(poses, intrinsics, sizes, strict=True):
        x, y, z = ((points - pose[:, 3]) @ pose[:, :3]).T
        depth = np.where(z < 0, -z, np.inf)
        column, row = fl_x * x / depth + cx, cy - fl_y * y / depth
        seen += (z < 0) & (column > 0) & (column < width) & (row > 0) & (row < height)
    enough = min(SEEN_BY * len(poses), seen.max())  # cameras side by side may have little in common
    return points[seen >= enough][:COUNT].astype(np.float32)
