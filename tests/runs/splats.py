"""Small scenes of splats for exports."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from macro_splat.runs.cameras import TrainingCamera
from macro_splat.runs.gaussians import Gaussians


def random_splats(count: int = 200, degree: int = 3, seed: int = 0) -> Gaussians:
    """A cloud within about 1 unit, coloured differently from every side."""
    g = torch.Generator().manual_seed(seed)
    sh = torch.randn(count, (degree + 1) ** 2, 3, generator=g)
    sh[:, 1:] *= 0.2
    return Gaussians(
        means=0.4 * torch.randn(count, 3, generator=g),
        quats=torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=1),
        scales=(0.5 * torch.randn(count, 3, generator=g) - 2.5).exp(),
        opacities=torch.rand(count, generator=g),
        sh=sh,
    )


def ball(radius: float = 10.0, count: int = 6000, sigma: float = 0.5) -> Gaussians:
    """Flat opaque splats on a sphere at the origin (Fibonacci's lattice), red above and blue below."""
    i = torch.arange(count) + 0.5
    z = 1 - 2 * i / count
    angle = math.pi * (1 + math.sqrt(5)) * i
    ring = (1 - z * z).sqrt()
    normal = torch.stack([ring * angle.cos(), ring * angle.sin(), z], dim=1)
    # The quaternion that turns the z axis to the normal.
    quats = torch.stack([1 + normal[:, 2], -normal[:, 1], normal[:, 0], torch.zeros(count)], dim=1)
    color = torch.where(z[:, None] > 0, torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.9]))
    return Gaussians(
        means=radius * normal,
        quats=torch.nn.functional.normalize(quats, dim=1),
        scales=torch.tensor([sigma, sigma, 0.02]).repeat(count, 1),
        opacities=torch.full((count,), 0.95),
        sh=((color - 0.5) / 0.28209479177387814)[:, None],
    )


def looking_at_origin(position: Tensor, focal_px: float, size: int) -> TrainingCamera:
    """A camera that looks at the origin."""
    forward = -position.double() / position.double().norm()
    right = torch.linalg.cross(forward, torch.tensor([0.0, 0.1, 1.0]).double())
    right /= right.norm()
    matrix = torch.eye(4).double()
    matrix[:3, :3] = torch.stack([right, torch.linalg.cross(forward, right), forward])
    matrix[:3, 3] = -matrix[:3, :3] @ position.double()
    k = torch.tensor([[focal_px, 0, size / 2], [0, focal_px, size / 2], [0, 0, 1]])
    return TrainingCamera(matrix, k, size, size, None)


def views_around(distance: float, focal_px: float = 300.0, size: int = 80, count: int = 14) -> list[TrainingCamera]:
    """Cameras on a sphere around the origin."""
    i = torch.arange(count) + 0.5
    z, angle = 1 - 2 * i / count, math.pi * (1 + math.sqrt(5)) * i
    ring = (1 - z * z).sqrt()
    positions = distance * torch.stack([ring * angle.cos(), ring * angle.sin(), z], dim=1)
    return [looking_at_origin(position, focal_px, size) for position in positions]
