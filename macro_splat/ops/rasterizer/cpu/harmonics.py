"""Kernels for colours that depend on the direction of view: real spherical harmonics up to degree 3.

Order and signs are those of 3D Gaussian splatting; formulas after Sloan, Efficient Spherical Harmonic Evaluation
(JCGT 2013). The direction is from the camera's centre to the Gaussian's; the colour is max(SH + 1/2, 0).
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from macro_splat.simd import device, items, kernel
from macro_splat.simd.lanes import peek, poke

CHUNK = 512  # Gaussians per work item

_C0 = np.float32(0.28209479177387814)
_C1 = np.float32(0.4886025119029199)
_C2 = np.float32(1.0925484305920792)
_C2_0 = np.float32(0.31539156525252005)
_C2_2 = np.float32(0.5462742152960396)
_C3_3 = np.float32(0.5900435899266435)
_C3_2 = np.float32(2.890611442640554)
_C3_1 = np.float32(0.4570457994644658)
_C3_0 = np.float32(0.3731763325901154)
_C3_2Z = np.float32(1.445305721320277)
_TINY = np.float32(1e-12)
_ONE, _TWO, _THREE, _FIVE = np.float32(1.0), np.float32(2.0), np.float32(3.0), np.float32(5.0)


@device
def _direction(means, centres, g, c):
    """Return the unit vector from the camera to the Gaussian, and 1 / distance."""
    x = peek(means, g * 3) - peek(centres, c * 3)
    y = peek(means, g * 3 + 1) - peek(centres, c * 3 + 1)
    z = peek(means, g * 3 + 2) - peek(centres, c * 3 + 2)
    inv = _ONE / max(np.float32(np.sqrt(x * x + y * y + z * z)), _TINY)
    return x * inv, y * inv, z * inv, inv


@device
def _basis(degree, x, y, z, basis):
    """Fill in the (degree + 1)² basis functions at a unit vector."""
    poke(basis, 0, _C0)
    if degree >= 1:
        poke(basis, 1, -_C1 * y)
        poke(basis, 2, _C1 * z)
        poke(basis, 3, -_C1 * x)
    if degree >= 2:
        poke(basis, 4, _C2 * x * y)
        poke(basis, 5, -_C2 * y * z)
        poke(basis, 6, _C2_0 * (_THREE * z * z - _ONE))
        poke(basis, 7, -_C2 * x * z)
        poke(basis, 8, _C2_2 * (x * x - y * y))
    if degree >= 3:
        five = _FIVE * z * z - _ONE
        poke(basis, 9, -_C3_3 * y * (_THREE * x * x - y * y))
        poke(basis, 10, _C3_2 * x * y * z)
        poke(basis, 11, -_C3_1 * y * five)
        poke(basis, 12, _C3_0 * z * (_FIVE * z * z - _THREE))
        poke(basis, 13, -_C3_1 * x * five)
        poke(basis, 14, _C3_2Z * z * (x * x - y * y))
        poke(basis, 15, -_C3_3 * x * (x * x - _THREE * y * y))


@device
def _basis_backward(degree, x, y, z, v):
    """Return the gradient to the unit vector from the gradients `v` of the basis functions."""
    v_x, v_y, v_z = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    if degree >= 1:
        v_x -= _C1 * peek(v, 3)
        v_y -= _C1 * peek(v, 1)
        v_z += _C1 * peek(v, 2)
    if degree >= 2:
        v4, v5, v6, v7, v8 = _C2 * peek(v, 4), _C2 * peek(v, 5), peek(v, 6), _C2 * peek(v, 7), peek(v, 8)
        v_x += v4 * y - v7 * z + _TWO * _C2_2 * v8 * x
        v_y += v4 * x - v5 * z - _TWO * _C2_2 * v8 * y
        v_z += np.float32(6.0) * _C2_0 * v6 * z - v5 * y - v7 * x
    if degree >= 3:
        v9, v10, v11 = _C3_3 * peek(v, 9), _C3_2 * peek(v, 10), _C3_1 * peek(v, 11)
        v12, v13, v14, v15 = _C3_0 * peek(v, 12), _C3_1 * peek(v, 13), _C3_2Z * peek(v, 14), _C3_3 * peek(v, 15)
        xx, yy, zz = x * x, y * y, z * z
        five = _FIVE * zz - _ONE
        ten_z = np.float32(10.0) * z
        v_x += v10 * y * z - np.float32(6.0) * v9 * x * y - v13 * five + _TWO * v14 * x * z - _THREE * v15 * (xx - yy)
        v_y += v10 * x * z - _THREE * v9 * (xx - yy) - v11 * five - _TWO * v14 * y * z + np.float32(6.0) * v15 * x * y
        v_z += v10 * x * y - ten_z * (v11 * y + v13 * x) + v12 * (np.float32(15.0) * zz - _THREE) + v14 * (xx - yy)
    return v_x, v_y, v_z


@kernel
def shade_forward(queue, means, centres, coefficients, n, bands, degree, radii, colors):
    """Fill in the colours. Items are chunks of `CHUNK` Gaussians of one camera; `bands` is K of coefficients [N, K, 3].

    Gaussians that are not in the image get zeros.
    """
    chunks = (n + CHUNK - 1) // CHUNK
    used = (degree + 1) * (degree + 1)
    basis = np.empty(16, np.float32)
    for item in items(queue):
        c = item // chunks
        start = (item % chunks) * CHUNK
        for g in range(start, min(start + CHUNK, n)):
            row = c * n + g
            red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            if peek(radii, row) > 0:
                x, y, z, _ = _direction(means, centres, g, c)
                _basis(degree, x, y, z, basis)
                red, green, blue = np.float32(0.5), np.float32(0.5), np.float32(0.5)
                for k in range(used):
                    at = (g * bands + k) * 3
                    value = peek(basis, k)
                    red += value * peek(coefficients, at)
                    green += value * peek(coefficients, at + 1)
                    blue += value * peek(coefficients, at + 2)
            zero = np.float32(0.0)
            poke(colors, row * 3, max(red, zero))
            poke(colors, row * 3 + 1, max(green, zero))
            poke(colors, row * 3 + 2, max(blue, zero))


@kernel
def shade_backward(
    queue,
    means,
    centres,
    coefficients,
    n,
    cameras,
    bands,
    degree,
    radii,
    colors,
    v_colors,
    v_coefficients,
    v_means,
    v_centres,
):
    """Fill in the gradients. Items are chunks of `CHUNK` Gaussians; `v_centres` [chunks, C, 3] gets each chunk's share.

    `v_coefficients`, `v_means` and `v_centres` may be empty: then they are not computed; `v_centres` needs `v_means`.
    """
    used = (degree + 1) * (degree + 1)
    basis = np.empty(16, np.float32)
    v_basis = np.empty(16, np.float32)
    zero = np.float32(0.0)
    with_directions = v_means.size > 0 and degree > 0
    for item in items(queue):
        for k in range(cameras * 3 if v_centres.size > 0 else 0):
            poke(v_centres, item * cameras * 3 + k, zero)
        start = item * CHUNK
        for g in range(start, min(start + CHUNK, n)):
            if v_coefficients.size > 0:
                for k in range(bands * 3):
                    poke(v_coefficients, g * bands * 3 + k, zero)
            sum_x, sum_y, sum_z = zero, zero, zero
            for c in range(cameras):
                row = c * n + g
                if peek(radii, row) <= 0:
                    continue
                red = peek(v_colors, row * 3) if peek(colors, row * 3) > zero else zero
                green = peek(v_colors, row * 3 + 1) if peek(colors, row * 3 + 1) > zero else zero
                blue = peek(v_colors, row * 3 + 2) if peek(colors, row * 3 + 2) > zero else zero
                x, y, z, inv = _direction(means, centres, g, c)
                if v_coefficients.size > 0:
                    _basis(degree, x, y, z, basis)
                    for k in range(used):
                        at = (g * bands + k) * 3
                        value = peek(basis, k)
                        poke(v_coefficients, at, peek(v_coefficients, at) + value * red)
                        poke(v_coefficients, at + 1, peek(v_coefficients, at + 1) + value * green)
                        poke(v_coefficients, at + 2, peek(v_coefficients, at + 2) + value * blue)
                if with_directions:
                    for k in range(used):
                        at = (g * bands + k) * 3
                        value = red * peek(coefficients, at) + green * peek(coefficients, at + 1)
                        poke(v_basis, k, value + blue * peek(coefficients, at + 2))
                    v_x, v_y, v_z = _basis_backward(degree, x, y, z, v_basis)
                    along = v_x * x + v_y * y + v_z * z
                    v_x, v_y, v_z = (v_x - along * x) * inv, (v_y - along * y) * inv, (v_z - along * z) * inv
                    sum_x += v_x
                    sum_y += v_y
                    sum_z += v_z
                    if v_centres.size > 0:
                        at = (item * cameras + c) * 3
                        poke(v_centres, at, peek(v_centres, at) - v_x)
                        poke(v_centres, at + 1, peek(v_centres, at + 1) - v_y)
                        poke(v_centres, at + 2, peek(v_centres, at + 2) - v_z)
            if v_means.size > 0:
                poke(v_means, g * 3, sum_x)
                poke(v_means, g * 3 + 1, sum_y)
                poke(v_means, g * 3 + 2, sum_z)
