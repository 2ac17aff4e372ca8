"""A photograph as another camera at the same place sees it."""

import math

import pytest
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType

from macro_splat.viewer.photograph import NOTHING, photograph_seen_by


def camera(width: int, height: int, focal: float, turn: float = 0.0) -> Cameras:
    """Turned to the left around its vertical axis."""
    c, s = math.cos(turn), math.sin(turn)
    pose = torch.tensor([[[c, 0.0, s, 1.0], [0.0, 1.0, 0.0, 2.0], [-s, 0.0, c, 3.0]]])
    return Cameras(pose, focal, focal, width / 2, height / 2, width, height, camera_type=CameraType.PERSPECTIVE)


def waves(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A smooth picture [..., 3] of directions: x to the right and y up over the way ahead."""
    return torch.stack([0.5 + 0.4 * torch.sin(6 * x), 0.5 + 0.4 * torch.sin(5 * y + 1), 0.5 + 0.4 * x * y], dim=-1)


def directions(width: int, height: int, focal: float) -> tuple[torch.Tensor, torch.Tensor]:
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return (u - width / 2) / focal, -(v - height / 2) / focal


def test_same_camera_gives_the_same_picture() -> None:
    photograph = torch.rand(12, 16, 3, generator=torch.Generator().manual_seed(0))
    picture, inside = photograph_seen_by(camera(16, 12, 20.0), photograph, camera(16, 12, 20.0))
    torch.testing.assert_close(picture, photograph, atol=1e-5, rtol=0)
    assert inside.all()


@pytest.mark.parametrize("turn", [0.0, 0.15, -0.3])
@pytest.mark.parametrize("focal", [60.0, 150.0])
def test_other_focal_length_and_direction(focal: float, turn: float) -> None:
    taken_by, viewer = camera(160, 120, 120.0), camera(80, 60, focal, turn)
    picture, inside = photograph_seen_by(viewer, waves(*directions(160, 120, 120.0)), taken_by)
    x, y = directions(80, 60, focal)
    # A camera turned left by an angle sees at x what lies at tan(atan(x) - angle) of the other, closed form.
    c, s = math.cos(turn), math.sin(turn)
    ahead = c + s * x
    expected = waves((c * x - s) / ahead, y / ahead)
    seen = ((c * x - s) / ahead).abs() < 160 / 2 / 120
    seen &= (y / ahead).abs() < 120 / 2 / 120
    assert torch.equal(inside[..., 0], seen)
    assert float(seen.float().mean()) > 0.2
    torch.testing.assert_close(picture[seen], expected[seen], atol=0.02, rtol=0)
    assert (picture[~seen] == NOTHING).all()


def test_nothing_is_seen_behind() -> None:
    photograph = torch.rand(12, 16, 3)
    _, inside = photograph_seen_by(camera(16, 12, 20.0, math.pi), photograph, camera(16, 12, 20.0))
    assert not inside.any()
