"""Kernels that project Gaussians into images, eight at a time.

Elliptical weighted averaging (Zwicker et al., EWA Volume Splatting, 2001) with the conventions of gsplat 1.4
(`fully_fused_projection`). A Gaussian's covariance on the image is T·Tᵀ with the 2x3 matrix T = J·W·R·S: the
Jacobian of the perspective, the camera's rotation, the Gaussian's rotation and scales. Its determinant is taken as
|t₁ × t₂|², which cannot lose its digits for thin Gaussians as a·c − b² does.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from macro_splat.simd import device, items, kernel
from macro_splat.simd.lanes import (
    ceil,
    f32x8,
    i32x8,
    iota,
    lane_sum,
    load,
    mask_bits,
    maximum,
    minimum,
    peek,
    poke,
    select,
    sqrt,
    store,
)

CHUNK = 512  # Gaussians per work item, a multiple of 8
_FOV_MARGIN = 0.15  # of the image's size: how far outside it the perspective is still linearised where it is
_MAX_RADIUS = 2.0**30
_MIN_DET = 1e-12  # pixels⁴; only without eps2d: too thin to meet a pixel's centre, and its conic would overflow
_MAX_FLOAT = float(np.finfo(np.float32).max)
_POSE_TERMS = 12  # the upper 3x4 part of a view matrix


class Gaussians(NamedTuple):
    """N Gaussians and the C cameras that see them, or the gradients to them. All float32, flat; see `rasterization`."""

    means: np.ndarray
    """[N, 3]"""
    quats: np.ndarray
    """[N, 4]"""
    scales: np.ndarray
    """[N, 3]"""
    opacities: np.ndarray
    """[N]"""
    viewmats: np.ndarray
    """[C, 4, 4]; of gradients, each chunk's share to the upper three rows, [chunks, C, 12], or empty"""
    Ks: np.ndarray
    """[C, 3, 3]; of gradients empty"""
    blur_variance: np.ndarray
    """[C, N], or empty"""


class Projected(NamedTuple):
    """What the images see of the Gaussians, or the gradients to it. Flat."""

    means2d: np.ndarray
    """Centres, pixels. float32 [C, N, 2]"""
    depths: np.ndarray
    """z of the centres in the camera, world units. float32 [C, N]"""
    conics: np.ndarray
    """(a, b, c) of the inverse covariance, pixels⁻². float32 [C, N, 3]"""
    opacities: np.ndarray
    """With antialiasing and blur. float32 [C, N]"""
    radii: np.ndarray
    """3σ along the longer axis, pixels; 0 = not in the image. int32 [C, N]; of gradients empty"""


@device
def _load_rows(array, row, count, width, columns):
    """Read eight rows of `width` numbers, transposed, into `columns`; rows past `count` repeat the last."""
    for i in range(8):
        start = (row + min(i, count - 1)) * width
        for k in range(width):
            poke(columns, k * 8 + i, peek(array, start + k))


@device
def _store_rows(columns, array, row, count, width):
    """Write `count` rows of `width` numbers from the transposed `columns`."""
    for i in range(count):
        start = (row + i) * width
        for k in range(width):
            poke(array, start + k, peek(columns, k * 8 + i))


@device
def _rotation(columns, at):
    """Return rotations of eight quaternions wxyz in `columns`, row by row, with the unit quaternions and 1 / length.

    A zero quaternion counts as the identity.
    """
    w, x, y, z = load(columns, at), load(columns, at + 8), load(columns, at + 16), load(columns, at + 24)
    inv = 1.0 / maximum(sqrt(w * w + x * x + y * y + z * z), 1e-12)
    w, x, y, z = w * inv, x * inv, y * inv, z * inv
    rows = (
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y - w * z),
        2.0 * (x * z + w * y),
        2.0 * (x * y + w * z),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z - w * x),
        2.0 * (x * z - w * y),
        2.0 * (y * z + w * x),
        1.0 - 2.0 * (x * x + y * y),
    )
    return rows, (w, x, y, z), inv


@device
def _pose(viewmats, c):
    """Return the upper three rows of a view matrix, row by row."""
    o = c * 16
    return (
        peek(viewmats, o),
        peek(viewmats, o + 1),
        peek(viewmats, o + 2),
        peek(viewmats, o + 3),
        peek(viewmats, o + 4),
        peek(viewmats, o + 5),
        peek(viewmats, o + 6),
        peek(viewmats, o + 7),
        peek(viewmats, o + 8),
        peek(viewmats, o + 9),
        peek(viewmats, o + 10),
        peek(viewmats, o + 11),
    )


@device
def _intrinsics(Ks, c, width, height):
    """Return fx, fy, cx, cy and the slopes x/z and y/z at which the linearisation stops, lower and upper."""
    fx, fy = peek(Ks, c * 9), peek(Ks, c * 9 + 4)
    cx, cy = peek(Ks, c * 9 + 2), peek(Ks, c * 9 + 5)
    mx, my = np.float32(_FOV_MARGIN) * width, np.float32(_FOV_MARGIN) * height
    return fx, fy, cx, cy, -(cx + mx) / fx, (width - cx + mx) / fx, -(cy + my) / fy, (height - cy + my) / fy


@device
def _project_centres(columns, pose, near, far):
    """Return centres in the camera, 1 / z, and which lie between the planes (elsewhere z = 1, to keep NaN away)."""
    x, y, z = load(columns, 0), load(columns, 8), load(columns, 16)
    camera_z = pose[8] * x + pose[9] * y + pose[10] * z + pose[11]
    visible = (camera_z >= near) & (camera_z <= far)
    camera_x = pose[0] * x + pose[1] * y + pose[2] * z + pose[3]
    camera_y = pose[4] * x + pose[5] * y + pose[6] * z + pose[7]
    camera_z = select(visible, camera_z, 1.0)
    return camera_x, camera_y, camera_z, 1.0 / camera_z, visible


@device
def _image_axes(pose, rotation, fx, fy, rz, slope_x, slope_y):
    """Return J·W, two rows of three, and J·W·R, likewise."""
    j00, j02, j11, j12 = fx * rz, -fx * slope_x * rz, fy * rz, -fy * slope_y * rz
    p0, p1, p2 = j00 * pose[0] + j02 * pose[8], j00 * pose[1] + j02 * pose[9], j00 * pose[2] + j02 * pose[10]
    q0, q1, q2 = j11 * pose[4] + j12 * pose[8], j11 * pose[5] + j12 * pose[9], j11 * pose[6] + j12 * pose[10]
    u0 = p0 * rotation[0] + p1 * rotation[3] + p2 * rotation[6]
    u1 = p0 * rotation[1] + p1 * rotation[4] + p2 * rotation[7]
    u2 = p0 * rotation[2] + p1 * rotation[5] + p2 * rotation[8]
    w0 = q0 * rotation[0] + q1 * rotation[3] + q2 * rotation[6]
    w1 = q0 * rotation[1] + q1 * rotation[4] + q2 * rotation[7]
    w2 = q0 * rotation[2] + q1 * rotation[5] + q2 * rotation[8]
    return (j00, j02, j11, j12), (p0, p1, p2), (q0, q1, q2), (u0, u1, u2), (w0, w1, w2)


@device
def _covariance(t, r):
    """Return entries a, b, c of T·Tᵀ and its determinant |t × r|²."""
    a = t[0] * t[0] + t[1] * t[1] + t[2] * t[2]
    b = t[0] * r[0] + t[1] * r[1] + t[2] * r[2]
    c = r[0] * r[0] + r[1] * r[1] + r[2] * r[2]
    n0, n1, n2 = t[1] * r[2] - t[2] * r[1], t[2] * r[0] - t[0] * r[2], t[0] * r[1] - t[1] * r[0]
    return a, b, c, n0 * n0 + n1 * n1 + n2 * n2


@device
def _widened_det(det, trace, variance):
    """Return det(Σ + v·I)."""
    return det + variance * (trace + variance)


@kernel
def project_forward(queue, given, width, height, near, far, radius_clip, eps2d, antialiased, found):
    """Fill in `found`, `Projected`, from `given`, `Gaussians`: zeros where they are not in the image.

    Items are chunks of `CHUNK` Gaussians of one camera, camera-major.
    """
    means, quats, scales, opacities, viewmats, Ks, blur_variance = given
    means2d, depths, conics, effective_opacities, radii = found
    n = opacities.size
    chunks = (n + CHUNK - 1) // CHUNK
    columns = np.empty(14 * 8, np.float32)
    results = np.empty(7 * 8, np.float32)
    for item in items(queue):
        c = item // chunks
        pose = _pose(viewmats, c)
        fx, fy, cx, cy, low_x, high_x, low_y, high_y = _intrinsics(Ks, c, width, height)
        start = (item % chunks) * CHUNK
        for first in range(start, min(start + CHUNK, n), 8):
            count = min(8, n - first)
            _load_rows(means, first, count, 3, columns)
            x, y, z, rz, visible = _project_centres(columns, pose, near, far)
            radius = f32x8(0.0)
            if mask_bits(visible) != 0:
                _load_rows(quats, first, count, 4, columns[24:])
                _load_rows(scales, first, count, 3, columns[56:])
                _load_rows(opacities, first, count, 1, columns[80:])
                rotation, _, _ = _rotation(columns, 24)
                slope_x = minimum(maximum(x * rz, low_x), high_x)
                slope_y = minimum(maximum(y * rz, low_y), high_y)
                _, _, _, u, w = _image_axes(pose, rotation, fx, fy, rz, slope_x, slope_y)
                s0, s1, s2 = load(columns, 56), load(columns, 64), load(columns, 72)
                a, b, d, det = _covariance((u[0] * s0, u[1] * s1, u[2] * s2), (w[0] * s0, w[1] * s1, w[2] * s2))

                variance = f32x8(eps2d)
                if blur_variance.size > 0:
                    _load_rows(blur_variance, c * n + first, count, 1, columns[88:])
                    variance = variance + load(columns, 88)
                full_det = _widened_det(det, a + d, variance)
                kept_det = det if antialiased else _widened_det(det, a + d, f32x8(eps2d))
                visible = visible & (full_det > _MIN_DET) & (full_det <= _MAX_FLOAT)
                inv_det = 1.0 / select(visible, full_det, 1.0)
                factor = sqrt(kept_det * inv_det)

                half_trace = 0.5 * (a + d) + variance
                half_gap = 0.5 * (a - d)
                spread = sqrt(maximum(half_gap * half_gap + b * b, 0.01))
                u_px, v_px = fx * x * rz + cx, fy * y * rz + cy
                radius = ceil(3.0 * sqrt(half_trace + spread))
                visible = (
                    visible
                    & (radius > radius_clip)
                    & (u_px + radius > 0.0)
                    & (u_px - radius < width)
                    & (v_px + radius > 0.0)
                    & (v_px - radius < height)
                )
                radius = select(visible, minimum(radius, _MAX_RADIUS), 0.0)
                store(results, 0, select(visible, u_px, 0.0))
                store(results, 8, select(visible, v_px, 0.0))
                store(results, 16, select(visible, z, 0.0))
                store(results, 24, select(visible, (d + variance) * inv_det, 0.0))
                store(results, 32, select(visible, -b * inv_det, 0.0))
                store(results, 40, select(visible, (a + variance) * inv_det, 0.0))
                store(results, 48, select(visible, load(columns, 80) * factor, 0.0))
            else:
                for k in range(7):
                    store(results, k * 8, f32x8(0.0))
            row = c * n + first
            _store_rows(results, means2d, row, count, 2)
            _store_rows(results[16:], depths, row, count, 1)
            _store_rows(results[24:], conics, row, count, 3)
            _store_rows(results[48:], effective_opacities, row, count, 1)
            store(results, 0, radius)
            for i in range(count):
                poke(radii, row + i, np.int32(peek(results, i)))


@kernel
def project_backward(queue, given, width, height, eps2d, antialiased, conics, radii, v_found, v_given):
    """Fill in `v_given`, the gradients to `given`, from `v_found`; `conics` and `radii` are of the forward pass.

    Items are chunks of `CHUNK` Gaussians. Gradients whose arrays are empty are not computed. Longer than other
    functions: everything in it is a step of one chain of derivatives, whose values would all have to be handed on.
    """
    means, quats, scales, opacities, viewmats, Ks, blur_variance = given
    v_means2d, v_depths, v_conics, v_effective, _ = v_found
    v_means, v_quats, v_scales, v_opacities, v_poses, _, v_blur = v_given
    n, cameras = opacities.size, viewmats.size // 16
    columns = np.empty(12 * 8, np.float32)
    seen = np.empty(10 * 8, np.float32)
    sums = np.empty(11 * 8, np.float32)
    pose_sums = np.empty(cameras * _POSE_TERMS * 8, np.float32)
    zero = f32x8(0.0)
    for item in items(queue):
        if v_poses.size > 0:
            for k in range(cameras * _POSE_TERMS):
                store(pose_sums, k * 8, zero)
        start = item * CHUNK
        for first in range(start, min(start + CHUNK, n), 8):
            count = min(8, n - first)
            in_range = iota() < i32x8(count)
            for k in range(11):
                store(sums, k * 8, zero)
            loaded = False
            for c in range(cameras):
                row = c * n + first
                any_visible = 0
                for i in range(count):
                    any_visible |= peek(radii, row + i)
                if any_visible == 0:
                    if v_blur.size > 0:
                        for i in range(count):
                            poke(v_blur, row + i, 0.0)
                    continue
                if not loaded:
                    _load_rows(means, first, count, 3, columns)
                    _load_rows(quats, first, count, 4, columns[24:])
                    _load_rows(scales, first, count, 3, columns[56:])
                    _load_rows(opacities, first, count, 1, columns[80:])
                    loaded = True
                for i in range(8):
                    poke(seen, i, np.float32(peek(radii, row + min(i, count - 1))))
                _load_rows(v_means2d, row, count, 2, seen[8:])
                _load_rows(v_depths, row, count, 1, seen[24:])
                _load_rows(v_conics, row, count, 3, seen[32:])
                _load_rows(v_effective, row, count, 1, seen[56:])
                visible = in_range & (load(seen, 0) > 0.0)
                v_u, v_v = select(visible, load(seen, 8), 0.0), select(visible, load(seen, 16), 0.0)
                v_depth = select(visible, load(seen, 24), 0.0)
                _load_rows(conics, row, count, 3, seen)

                # The forward pass again.
                pose = _pose(viewmats, c)
                fx, fy, _, _, low_x, high_x, low_y, high_y = _intrinsics(Ks, c, width, height)
                x, y, _, rz, _ = _project_centres(columns, pose, np.float32(-_MAX_FLOAT), np.float32(_MAX_FLOAT))
                rz = select(visible, rz, 0.0)
                rotation, q, inv_length = _rotation(columns, 24)
                slope_x = minimum(maximum(x * rz, low_x), high_x)
                slope_y = minimum(maximum(y * rz, low_y), high_y)
                j, jw0, jw1, u, w = _image_axes(pose, rotation, fx, fy, rz, slope_x, slope_y)
                s0, s1, s2 = load(columns, 56), load(columns, 64), load(columns, 72)
                t = (u[0] * s0, u[1] * s1, u[2] * s2)
                r = (w[0] * s0, w[1] * s1, w[2] * s2)
                a, b, d, det = _covariance(t, r)
                variance = f32x8(eps2d)
                if blur_variance.size > 0:
                    _load_rows(blur_variance, row, count, 1, columns[88:])
                    variance = variance + load(columns, 88)
                full_det = _widened_det(det, a + d, variance)
                inv_det = 1.0 / select(visible, full_det, 1.0)
                kept_variance = f32x8(0.0) if antialiased else f32x8(eps2d)
                kept_det = _widened_det(det, a + d, kept_variance)
                factor = sqrt(select(visible, kept_det, 0.0) * inv_det)

                # From the conic to the covariance: V = -K·G·K for K = Σ⁻¹.
                k0, k1, k2 = load(seen, 0), load(seen, 8), load(seen, 16)
                g0, g1, g2 = load(seen, 32), 0.5 * load(seen, 40), load(seen, 48)
                h00, h01 = k0 * g0 + k1 * g1, k0 * g1 + k1 * g2
                h10, h11 = k1 * g0 + k2 * g1, k1 * g1 + k2 * g2
                v_a, v_b, v_d = -(h00 * k0 + h01 * k1), -(h00 * k1 + h01 * k2), -(h10 * k1 + h11 * k2)
                # From the factor √(kept_det / full_det) on the opacity.
                v_eff = select(visible, load(seen, 56), 0.0)
                v_factor = v_eff * load(columns, 80)
                v_full = -0.5 * v_factor * factor * inv_det
                v_kept = select(factor > 0.0, 0.5 * v_factor * inv_det / factor, 0.0)
                v_variance = v_a + v_d + v_full * (a + d + 2.0 * variance)
                v_a = select(visible, v_a + v_full * (d + variance) + v_kept * (d + kept_variance), 0.0)
                v_b = select(visible, v_b - b * (v_full + v_kept), 0.0)
                v_d = select(visible, v_d + v_full * (a + variance) + v_kept * (a + kept_variance), 0.0)
                if v_blur.size > 0:
                    store(seen, 0, select(visible, v_variance, 0.0))
                    _store_rows(seen, v_blur, row, count, 1)

                # Σ = T·Tᵀ, T = (J·W)·R·S.
                v_t0, v_r0 = 2.0 * (v_a * t[0] + v_b * r[0]), 2.0 * (v_b * t[0] + v_d * r[0])
                v_t1, v_r1 = 2.0 * (v_a * t[1] + v_b * r[1]), 2.0 * (v_b * t[1] + v_d * r[1])
                v_t2, v_r2 = 2.0 * (v_a * t[2] + v_b * r[2]), 2.0 * (v_b * t[2] + v_d * r[2])
                v_s0, v_s1, v_s2 = v_t0 * u[0] + v_r0 * w[0], v_t1 * u[1] + v_r1 * w[1], v_t2 * u[2] + v_r2 * w[2]
                v_u0, v_u1, v_u2 = v_t0 * s0, v_t1 * s1, v_t2 * s2
                v_w0, v_w1, v_w2 = v_r0 * s0, v_r1 * s1, v_r2 * s2

                # The rotation's matrix and its quaternion.
                m00, m01, m02 = (
                    jw0[0] * v_u0 + jw1[0] * v_w0,
                    jw0[0] * v_u1 + jw1[0] * v_w1,
                    jw0[0] * v_u2 + jw1[0] * v_w2,
                )
                m10, m11, m12 = (
                    jw0[1] * v_u0 + jw1[1] * v_w0,
                    jw0[1] * v_u1 + jw1[1] * v_w1,
                    jw0[1] * v_u2 + jw1[1] * v_w2,
                )
                m20, m21, m22 = (
                    jw0[2] * v_u0 + jw1[2] * v_w0,
                    jw0[2] * v_u1 + jw1[2] * v_w1,
                    jw0[2] * v_u2 + jw1[2] * v_w2,
                )
                qw, qx, qy, qz = q
                n0 = 2.0 * (qx * (m21 - m12) + qy * (m02 - m20) + qz * (m10 - m01))
                n1 = 2.0 * (qy * (m01 + m10) + qz * (m02 + m20) + qw * (m21 - m12) - 2.0 * qx * (m11 + m22))
                n2 = 2.0 * (qx * (m01 + m10) + qz * (m12 + m21) + qw * (m02 - m20) - 2.0 * qy * (m00 + m22))
                n3 = 2.0 * (qx * (m02 + m20) + qy * (m12 + m21) + qw * (m10 - m01) - 2.0 * qz * (m00 + m11))
                along = n0 * qw + n1 * qx + n2 * qy + n3 * qz

                # J·W, the Jacobian and the centre in the camera.
                v_p0 = v_u0 * rotation[0] + v_u1 * rotation[1] + v_u2 * rotation[2]
                v_p1 = v_u0 * rotation[3] + v_u1 * rotation[4] + v_u2 * rotation[5]
                v_p2 = v_u0 * rotation[6] + v_u1 * rotation[7] + v_u2 * rotation[8]
                v_q0 = v_w0 * rotation[0] + v_w1 * rotation[1] + v_w2 * rotation[2]
                v_q1 = v_w0 * rotation[3] + v_w1 * rotation[4] + v_w2 * rotation[5]
                v_q2 = v_w0 * rotation[6] + v_w1 * rotation[7] + v_w2 * rotation[8]
                v_j00 = v_p0 * pose[0] + v_p1 * pose[1] + v_p2 * pose[2]
                v_j02 = v_p0 * pose[8] + v_p1 * pose[9] + v_p2 * pose[10]
                v_j11 = v_q0 * pose[4] + v_q1 * pose[5] + v_q2 * pose[6]
                v_j12 = v_q0 * pose[8] + v_q1 * pose[9] + v_q2 * pose[10]
                v_slope_x = select((x * rz >= low_x) & (x * rz <= high_x), -fx * rz * v_j02, 0.0)
                v_slope_y = select((y * rz >= low_y) & (y * rz <= high_y), -fy * rz * v_j12, 0.0)
                v_rz = fx * (v_j00 - slope_x * v_j02 + x * v_u) + fy * (v_j11 - slope_y * v_j12 + y * v_v)
                v_rz = v_rz + x * v_slope_x + y * v_slope_y
                v_x = rz * (fx * v_u + v_slope_x)
                v_y = rz * (fy * v_v + v_slope_y)
                v_z = select(visible, v_depth - rz * rz * v_rz, 0.0)

                v_x, v_y = select(visible, v_x, 0.0), select(visible, v_y, 0.0)
                store(sums, 0, load(sums, 0) + pose[0] * v_x + pose[4] * v_y + pose[8] * v_z)
                store(sums, 8, load(sums, 8) + pose[1] * v_x + pose[5] * v_y + pose[9] * v_z)
                store(sums, 16, load(sums, 16) + pose[2] * v_x + pose[6] * v_y + pose[10] * v_z)
                store(sums, 24, load(sums, 24) + select(visible, (n0 - along * qw) * inv_length, 0.0))
                store(sums, 32, load(sums, 32) + select(visible, (n1 - along * qx) * inv_length, 0.0))
                store(sums, 40, load(sums, 40) + select(visible, (n2 - along * qy) * inv_length, 0.0))
                store(sums, 48, load(sums, 48) + select(visible, (n3 - along * qz) * inv_length, 0.0))
                store(sums, 56, load(sums, 56) + select(visible, v_s0, 0.0))
                store(sums, 64, load(sums, 64) + select(visible, v_s1, 0.0))
                store(sums, 72, load(sums, 72) + select(visible, v_s2, 0.0))
                store(sums, 80, load(sums, 80) + select(visible, v_eff * factor, 0.0))
                if v_poses.size > 0:
                    m0, m1, m2 = load(columns, 0), load(columns, 8), load(columns, 16)
                    terms = (
                        v_x * m0 + j[0] * v_p0,
                        v_x * m1 + j[0] * v_p1,
                        v_x * m2 + j[0] * v_p2,
                        v_x,
                        v_y * m0 + j[2] * v_q0,
                        v_y * m1 + j[2] * v_q1,
                        v_y * m2 + j[2] * v_q2,
                        v_y,
                        v_z * m0 + j[1] * v_p0 + j[3] * v_q0,
                        v_z * m1 + j[1] * v_p1 + j[3] * v_q1,
                        v_z * m2 + j[1] * v_p2 + j[3] * v_q2,
                        v_z,
                    )
                    for k in range(_POSE_TERMS):
                        at = (c * _POSE_TERMS + k) * 8
                        store(pose_sums, at, load(pose_sums, at) + select(visible, terms[k], 0.0))
            _store_rows(sums, v_means, first, count, 3)
            _store_rows(sums[24:], v_quats, first, count, 4)
            _store_rows(sums[56:], v_scales, first, count, 3)
            _store_rows(sums[80:], v_opacities, first, count, 1)
        if v_poses.size > 0:
            for k in range(cameras * _POSE_TERMS):
                poke(v_poses, item * cameras * _POSE_TERMS + k, lane_sum(load(pose_sums, k * 8)))
