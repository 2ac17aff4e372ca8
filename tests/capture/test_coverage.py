"""Where the object is and from which sides it was photographed, against cameras placed by their angles."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from macro_splat.capture.coverage import azimuth_gaps, directions, object_centre
from macro_splat.capture.format import SparsePoints

OBJECT = np.array([3.0, -2.0, 5.0])


def camera(azimuth: float, elevation: float, distance: float = 100.0) -> NDArray[np.float64]:
    """[4, 4] of a camera that looks at OBJECT."""
    a, e = np.radians([azimuth, elevation])
    back = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(back, right), back], axis=1)
    pose[:3, 3] = OBJECT + distance * back
    return pose


def test_centre_is_where_the_axes_cross() -> None:
    cameras = np.stack([camera(0, 20), camera(70, 35, 80.0), camera(200, -10, 150.0)])
    misleading = SparsePoints(np.full((5, 3), 900.0), np.zeros((5, 3), np.uint8))
    np.testing.assert_allclose(object_centre(cameras, misleading), OBJECT, atol=1e-9)


def test_centre_of_parallel_cameras_is_that_of_the_points() -> None:
    cameras = np.stack([camera(30, 20)] * 3)
    cameras[:, 0, 3] += [0.0, 5.0, 10.0]
    points = SparsePoints(np.array([[0.0, 0, 0], [2, 4, 6], [50, 5, 7]]), np.zeros((3, 3), np.uint8))
    np.testing.assert_allclose(object_centre(cameras, points), [2, 4, 6])
    assert object_centre(cameras, None) is None


def test_directions_are_the_angles_of_the_cameras() -> None:
    angles = [(0.0, 20.0), (170.0, -35.0), (-120.0, 80.0), (90.0, 0.0)]
    seen = directions(np.stack([camera(*pair) for pair in angles]), OBJECT)
    np.testing.assert_allclose(seen, angles, atol=1e-9)


@pytest.mark.parametrize(
    ("azimuths", "gaps"),
    [
        ([0, 60, 120, 180, -120, -60], []),
        ([0, 50, 100, 150, -160, -50], [(-160, 110)]),
        ([-100, 0, 100], [(100, 160), (-100, 100), (0, 100)]),
        ([20], [(20, 360)]),
        ([], []),
    ],
)
def test_gaps(azimuths: list[float], gaps: list[tuple[float, float]]) -> None:
    seen = np.array([(azimuth, 30.0) for azimuth in azimuths]).reshape(-1, 2)
    found = azimuth_gaps(seen, 60.0)
    np.testing.assert_allclose(np.array(found).reshape(-1, 2), np.array(gaps).reshape(-1, 2))


def test_a_camera_overhead_closes_no_gap_and_makes_none() -> None:
    ring = [(azimuth, 30.0) for azimuth in range(-180, 90, 45)]
    overhead = (120.0, 85.0)
    assert azimuth_gaps(np.array([*ring, overhead]), 60.0) == azimuth_gaps(np.array(ring), 60.0) != []
    assert azimuth_gaps(np.array([overhead]), 60.0) == []
