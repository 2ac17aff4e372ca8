"""Random start points lie where the cameras look: compared with cameras whose geometry is known by construction."""

import numpy as np

from macro_splat.data.random_points import COUNT, centre_of_attention, points_in_view


def looking_at(target: np.ndarray, positions: np.ndarray) -> np.ndarray:
    poses = []
    for position in positions:
        back = (position - target) / np.linalg.norm(position - target)
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        poses.append(np.column_stack([right, np.cross(back, right), back, position]))
    return np.array(poses)


def ring(target: np.ndarray, radius: float, count: int = 12) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    ones = np.ones(count)
    return looking_at(target, target + radius * np.column_stack([np.cos(angle), np.sin(angle), 0.4 * ones]))


def test_axes_that_meet() -> None:
    target = np.array([3.0, -2.0, 7.0])
    assert np.allclose(centre_of_attention(ring(target, 5.0), 1.0), target)


def test_parallel_axes_take_the_distance_given() -> None:
    pose = looking_at(np.zeros(3), np.array([[4.0, 0.0, 0.0]]))
    assert np.allclose(centre_of_attention(np.repeat(pose, 5, axis=0), 3.0), [1.0, 0.0, 0.0])


def test_points_surround_the_target_and_are_seen() -> None:
    target = np.array([3.0, -2.0, 7.0])
    poses = ring(target, 5.0)
    intrinsics = np.tile([400.0, 400.0, 160.0, 120.0], (len(poses), 1))
    sizes = np.tile([320, 240], (len(poses), 1))
    points = points_in_view(poses, intrinsics, sizes, 1.0)
    assert points.shape == (COUNT, 3)
    assert np.abs(points.mean(axis=0) - target).max() < 0.05
    # The picture's half height at the target: 120 / 400 of the distance, which is 5·√1.16.
    reach = np.linalg.norm(points - target, axis=1).max()
    assert 0.65 < reach / (0.3 * 5.0 * np.sqrt(1.16)) < 0.7001
    camera = np.linalg.inv(np.vstack([poses[0], [0, 0, 0, 1]])) @ np.column_stack([points, np.ones(COUNT)]).T
    assert (camera[2] < 0).all()
