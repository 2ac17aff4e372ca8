"""The Gaussians that a training starts from: the sparse points of a capture, made dense enough to cover surfaces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

NEIGHBOURS = 6


def densify_initial_points(
    points: NDArray[np.float32], colors: NDArray[np.float32], target: int, *, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Add points between neighbours until there are ``target``, so that a surface seen by few points is covered.

    Blurred photographs give structure-from-motion few points and densification weak gradients: a start that is dense
    already helps more than any other single measure. A new point is a random mixture of a point and one of its nearest
    neighbours; pairs farther apart than three times the median distance are left alone (they bridge a gap).

    Args:
        points: [P, 3] positions.
        colors: [P, 3] of the same points, any range.
        target: number of points wanted; where there are as many already, none are added.

    Returns:
        Positions and colours, the given points first, each once.
    """
    points, first_of_each = np.unique(points, axis=0, return_index=True)  # a double has no size to start with
    order = np.argsort(first_of_each)
    points, colors = points[order], colors[first_of_each[order]]
    generator = np.random.default_rng(seed)
    missing = target - len(points)
    if missing <= 0 or len(points) <= NEIGHBOURS:
        return points, colors
    distance, neighbour = cKDTree(points).query(points, NEIGHBOURS + 1)
    first = np.repeat(np.arange(len(points)), NEIGHBOURS)
    second, length = neighbour[:, 1:].ravel(), distance[:, 1:].ravel()
    near = (length > 0) & (length <= 3.0 * np.median(length))
    first, second, length = first[near], second[near], length[near]
    if len(first) == 0:
        return points, colors
    # Long pairs leave more of the surface uncovered, so they get more of the new points.
    pick = generator.choice(len(first), missing, p=length / length.sum())
    share = generator.uniform(0.2, 0.8, (missing, 1)).astype(points.dtype)
    between = (1 - share) * points[first[pick]] + share * points[second[pick]]
    mixed = (1 - share) * colors[first[pick]] + share * colors[second[pick]]
    return np.concatenate([points, between]), np.concatenate([colors, mixed.astype(colors.dtype)])
