"""Where a pinhole camera sees points, by hand."""

from __future__ import annotations

import numpy as np

from macro_splat.ops.pinhole import project

INTRINSICS = np.array([[100.0, 0.0, 60.0], [0.0, 80.0, 45.0], [0.0, 0.0, 1.0]])


def test_pixels_of_points() -> None:
    """The camera stands at z = −1: 100·0.2/2 + 60 = 70 and 80·(−0.1)/2 + 45 = 41."""
    viewmat = np.eye(4)
    viewmat[2, 3] = 1.0
    depth, x, y = project(np.array([[0.2, -0.1, 1.0], [0.0, 0.0, -3.0], [np.nan, 0.0, 1.0]]), viewmat, INTRINSICS)
    np.testing.assert_allclose(depth[:2], [2.0, -2.0])
    np.testing.assert_allclose((x[0], y[0]), (70.0, 41.0))
    assert np.isfinite(x).all()


def test_a_camera_that_is_turned() -> None:
    """It looks along the world's x; what is above the world's axis z lies to its right."""
    viewmat = np.eye(4)
    viewmat[:3, :3] = [[0, 0, 1], [0, -1, 0], [1, 0, 0]]
    depth, x, y = project(np.array([[4.0, 0.0, 0.4]]), viewmat, INTRINSICS)
    np.testing.assert_allclose((depth[0], x[0], y[0]), (4.0, 70.0, 45.0))
