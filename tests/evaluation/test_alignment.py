"""The common drift of optimised poses, against motions made up here."""

import math

import pytest
import torch

from macro_splat.compat.viewmat import get_viewmat
from macro_splat.evaluation import Similarity, align_cameras


def rotation(axis: int, angle: float) -> torch.Tensor:
    c, s = math.cos(angle), math.sin(angle)
    planes = {0: (1, 2), 1: (0, 2), 2: (0, 1)}[axis]
    matrix = torch.eye(3)
    i, j = planes
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def ring(count: int) -> torch.Tensor:
    """Camera-to-world [count, 3, 4] of cameras that look at the origin from 1 unit away."""
    poses = []
    for i in range(count):
        back = rotation(2, 2 * math.pi * i / count) @ torch.tensor([math.cos(0.4), 0.0, math.sin(0.4)])
        right = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), back)
        right = right / right.norm()
        poses.append(torch.stack([right, torch.linalg.cross(back, right), back, back], dim=1))
    return torch.stack(poses)


@pytest.fixture
def points() -> torch.Tensor:
    return 0.1 * torch.randn(200, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
def test_a_known_motion_is_found(points: torch.Tensor) -> None:
    true = ring(8)
    turn = rotation(0, 0.03) @ rotation(1, -0.02) @ rotation(2, 0.05)
    moved = Similarity(1.04, turn, torch.tensor([0.02, -0.01, 0.03]))
    found = align_cameras(get_viewmat(moved.move_camera(true)), get_viewmat(true), points, torch.full((8,), 1000.0))
    assert found.scale == pytest.approx(1.04, abs=1e-4)
    torch.testing.assert_close(found.rotation, moved.rotation, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.translation, moved.translation, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_without_motion_nothing_moves(points: torch.Tensor) -> None:
    true = ring(5)
    found = align_cameras(get_viewmat(true), get_viewmat(true), points, torch.full((5,), 1000.0))
    torch.testing.assert_close(found.move_camera(true), true, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_independent_noise_is_averaged_not_followed(points: torch.Tensor) -> None:
    true = ring(24)
    noisy = true.clone()
    noisy[:, :, 3] += 0.002 * torch.randn(24, 3, generator=torch.Generator().manual_seed(2))
    found = align_cameras(get_viewmat(noisy), get_viewmat(true), points, torch.full((24,), 1000.0))
    # The motion of one camera is 2 px; of the mean of 24 about 0.4.
    shift = 1000.0 * (found.apply(points) - points).norm(dim=1).mean()
    assert 0.0 < shift < 1.5


def test_a_moved_camera_sees_the_moved_scene_as_before(points: torch.Tensor) -> None:
    camera = ring(3)
    motion = Similarity(1.3, rotation(1, 0.4), torch.tensor([0.1, 0.2, -0.3]))

    def view(poses: torch.Tensor, xyz: torch.Tensor) -> torch.Tensor:
        viewmat = get_viewmat(poses)
        return xyz @ viewmat[:, :3, :3].transpose(1, 2) + viewmat[:, None, :3, 3]

    before, after = view(camera, points), view(motion.move_camera(camera), motion.apply(points))
    torch.testing.assert_close(after, 1.3 * before, atol=1e-5, rtol=1e-5)
