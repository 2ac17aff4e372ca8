"""The orbit goes where the training cameras went."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from macro_splat.video.path import orbit

CENTRE = np.array([0.3, -0.2, 0.1])
DISTANCE = 0.7


def ring(azimuths: NDArray[np.float64], elevations: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Cameras [V, 3, 4] around `CENTRE`, looking at it, z up; degrees."""
    a, e = np.radians(azimuths), np.radians(np.broadcast_to(elevations, azimuths.shape))
    back = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=1)
    right = np.stack([-np.sin(a), np.cos(a), 0 * a], axis=1)
    return np.stack([right, np.cross(back, right), back, CENTRE + DISTANCE * back], axis=2)


def angles(poses: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Azimuths and elevations in degrees."""
    x, y, z = (poses[:, :, 3] - CENTRE).T / DISTANCE
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arcsin(z))


def test_a_whole_ring_gives_a_whole_circle_at_its_height() -> None:
    poses = orbit(ring(np.arange(0, 360, 30.0), 25.0), CENTRE, 48)
    azimuth, elevation = angles(poses)
    np.testing.assert_allclose(elevation, 25.0, atol=1e-6)
    np.testing.assert_allclose(np.diff(np.unwrap(np.radians(azimuth))), 2 * np.pi / 48, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(poses[:, :, 3] - CENTRE, axis=1), DISTANCE)


def test_every_pose_is_an_upright_look_at_the_centre() -> None:
    poses = orbit(ring(np.arange(0, 360, 40.0), np.arange(9) * 4.0), CENTRE, 20)
    rotations = poses[:, :, :3]
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (20, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)
    np.testing.assert_allclose(poses[:, :, 3] - DISTANCE * poses[:, :, 2], np.tile(CENTRE, (20, 1)), atol=1e-9)
    assert (poses[:, 2, 1] > 0.5).all()  # their up is up


def test_what_nobody_photographed_is_not_shown() -> None:
    azimuth, _ = angles(orbit(ring(np.arange(-40, 41, 10.0), np.tile([10.0, 20.0, 30.0], 3)), CENTRE, 60))
    assert azimuth.min() == pytest.approx(-40, abs=6)
    assert azimuth.max() == pytest.approx(40, abs=6)
    steps = np.abs(np.diff(np.append(azimuth, azimuth[0])))
    assert steps.max() < 8  # to and fro without a jump, also from the last pose to the first


@pytest.mark.parametrize("elevation", [0.0, 25.0])
def test_a_tilted_turntable_is_circled_about_its_own_axis(elevation: float) -> None:
    """The scene turned as a whole turns the path with it."""
    generator = np.random.default_rng(1)
    tilt = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    tilt *= np.sign(np.linalg.det(tilt))
    cameras = ring(np.arange(0, 360, 24.0), elevation)
    turned = cameras.copy()
    turned[:, :, :3] = tilt @ cameras[:, :, :3]
    turned[:, :, 3] = (cameras[:, :, 3] - CENTRE) @ tilt.T + CENTRE
    poses = orbit(turned, CENTRE, 12)
    heights = (poses[:, :, 3] - CENTRE) @ (tilt @ np.array([0, 0, 1.0]))
    np.testing.assert_allclose(heights, DISTANCE * np.sin(np.radians(elevation)), atol=1e-9)
    np.testing.assert_allclose(poses[:, :, 3].mean(axis=0), CENTRE + heights[0] * tilt[:, 2], atol=1e-9)


def test_a_single_camera_is_enough() -> None:
    poses = orbit(ring(np.array([30.0]), 20.0), CENTRE, 5)
    assert np.isfinite(poses).all()
    np.testing.assert_allclose(poses[0, :, 3], ring(np.array([30.0]), 20.0)[0, :, 3], atol=1e-9)
