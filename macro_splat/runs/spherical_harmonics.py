"""Real spherical harmonics of splat colours, and how their coefficients turn with an object."""

from __future__ import annotations

import math

import torch
from torch import Tensor

C0 = 0.5 / math.sqrt(math.pi)
"""The harmonic of degree 0; a colour is 0.5 + C0 · f_dc."""


def basis(directions: Tensor, degree: int) -> Tensor:
    """Return the (degree + 1)² real harmonics with the Condon-Shortley phase, in the order of 3D Gaussian splatting.

    Formulas: the associated Legendre polynomials in Cartesian form (Sloan, Stupid Spherical Harmonics Tricks, 2008,
    appendix A2). Within a degree l the order is m = -l … l.

    Args:
        directions: unit vectors [..., 3].
        degree: 0 to 3.

    Returns:
        [..., (degree + 1)²]
    """
    x, y, z = directions.unbind(-1)
    norm1 = math.sqrt(3 / (4 * math.pi))
    norm2 = 0.5 * math.sqrt(15 / math.pi)
    values = [torch.full_like(x, C0)]
    if degree > 0:
        values += [-norm1 * y, norm1 * z, -norm1 * x]
    if degree > 1:
        values += [
            norm2 * x * y,
            -norm2 * y * z,
            0.25 * math.sqrt(5 / math.pi) * (3 * z * z - 1),
            -norm2 * x * z,
            0.5 * norm2 * (x * x - y * y),
        ]
    if degree > 2:
        a, b, c = (math.sqrt(k / math.pi) for k in (35 / 32, 105 / 4, 21 / 32))
        values += [
            -a * y * (3 * x * x - y * y),
            b * x * y * z,
            -c * y * (5 * z * z - 1),
            0.25 * math.sqrt(7 / math.pi) * z * (5 * z * z - 3),
            -c * x * (5 * z * z - 1),
            0.5 * b * z * (x * x - y * y),
            -a * x * (x * x - 3 * y * y),
        ]
    return torch.stack(values, dim=-1)


def rotate(coefficients: Tensor, rotation: Tensor) -> Tensor:
    """Coefficients of the same colours after the object was turned: f'(d) = f(R⁻¹ d) for every direction d.

    The harmonics of one degree span a space that rotations leave to itself, so for each degree there is one matrix;
    it is found from the harmonics at more directions than it has rows, where the system is exact.

    Args:
        coefficients: [N, (degree + 1)², C].
        rotation: R [3, 3], orthonormal with determinant 1.

    Returns:
        [N, (degree + 1)², C], of the same dtype.
    """
    degree = math.isqrt(coefficients.shape[1]) - 1
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(64, 3, dtype=torch.float64, generator=generator), dim=1)
    before = basis(directions @ rotation.double().cpu(), degree)  # rows are (R⁻¹ d)ᵀ = dᵀ R
    after = basis(directions, degree)
    turned = coefficients.clone()
    for l in range(1, degree + 1):
        band = slice(l * l, (l + 1) ** 2)
        matrix = torch.linalg.lstsq(after[:, band], before[:, band]).solution
        turned[:, band] = torch.einsum("ij,njc->nic", matrix.to(coefficients), coefficients[:, band])
    return turned
