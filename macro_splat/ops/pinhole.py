"""Where a pinhole camera sees points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def project(
    points: NDArray[Any], viewmat: NDArray[Any], K: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the depth of points, and their x and y in pixels.

    Args:
        points: [P, 3]. viewmat: [4, 4] world to camera, looking along +z. K: [3, 3] intrinsics in pixels.

    Returns:
        [P] each; x and y mean something where the depth is positive, and are never NaN.
    """
    xyz = points @ viewmat[:3, :3].T + viewmat[:3, 3]
    depth = xyz[:, 2]
    safe = np.where(depth > 0, depth, 1.0)
    x, y = (np.nan_to_num(K[i, i] * xyz[:, i] / safe + K[i, 2], nan=-1.0) for i in (0, 1))
    return depth, x, y
