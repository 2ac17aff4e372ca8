"""Structural similarity fused for processors.

An image [H, W, C] is taken as H rows of W·C numbers: a filter along the row then has its taps C numbers apart, and
eight neighbours are eight lanes whatever they stand for. The window is separable: filter along the columns, then
along the row, one row of windows at a time in buffers that stay in the cache.

With m, n the means of x and y, E and F the means of x² + y² and of xy over a window, the similarity is

    S = L·P / (M·Q),  L = 2mn + C1,  P = 2(F − mn) + C2,  M = m² + n² + C1,  Q = E − m² − n² + C2

and its slopes, with m, E and F taken as independent,

    ∂S/∂m = 2n(P − L)/(MQ) − 2mS(1/M − 1/Q),  ∂S/∂E = −S/Q,  ∂S/∂F = 2L/(MQ).

A pixel of x then has the gradient  G[∂S/∂m] + 2x·G[∂S/∂E] + y·G[∂S/∂F], G being the sum over the windows that hold
the pixel, weighted as the window weighs it.
"""

# Numba types what it compiles, by rules that mypy does not know.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from macro_splat.ops.ssim.window import C1, C2, WINDOW, gaussian_window
from macro_splat.simd import flat, items, kernel, run
from macro_splat.simd.lanes import LANES, f32x8, i32x8, iota, lane_sum, load, select, store

_G = tuple(np.float32(weight) for weight in gaussian_window())
_REACH = WINDOW - 1
_C1, _C2 = np.float32(C1), np.float32(C2)
_BAND = 8  # rows per work item


class FusedSSIM(torch.autograd.Function):
    """`ssim` by two kernels: one for the similarity and its slopes per window, one that gathers these per pixel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        height, width, channels = x.shape
        rows, row = height - _REACH, (width - _REACH) * channels
        with_slopes = ctx.needs_input_grad[0]
        sums = np.empty(rows, dtype=np.float64)
        ctx.slopes = np.empty(3 * rows * _slope_stride(width, channels) if with_slopes else 0, dtype=np.float32)
        ctx.scale = 1.0 / (rows * row) if weight is None else 1.0
        weights = flat(None if weight is None else weight[..., None].expand(*weight.shape, channels))
        if weight is not None:
            weights = np.concatenate([weights, np.zeros(LANES, dtype=np.float32)])  # the last lanes read past the end
        images, sizes = (flat(x), flat(y)), (rows, row, width * channels, channels)
        run(
            _compare_rows,
            -(-rows // _BAND),
            *images,
            weights,
            weight is not None,
            *sizes,
            sums,
            ctx.slopes,
            with_slopes,
        )
        ctx.save_for_backward(x, y)
        return x.new_tensor(float(sums.sum()) * ctx.scale)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        x, y = ctx.saved_tensors
        height, width, channels = x.shape
        gradient = x.new_empty(x.shape)
        factor = np.float32(float(upstream) * ctx.scale)
        sizes = (height, width * channels, channels, _slope_stride(width, channels))
        run(_gather_rows, -(-height // _BAND), flat(x), flat(y), ctx.slopes, factor, *sizes, flat(gradient))
        return gradient, None, None


def _slope_stride(width, channels):
    """Return the length of a row of slopes: with zeros as far as the window reaches, and room for the last lanes."""
    return (width + _REACH) * channels + LANES


@kernel
def _compare_rows(queue, x, y, weight, weighted, rows, row, image_row, channels, sums, slopes, with_slopes):
    mean_x = np.empty(image_row + LANES, dtype=np.float32)
    mean_y, square, product = np.empty_like(mean_x), np.empty_like(mean_x), np.empty_like(mean_x)
    edge = _REACH * channels
    stride = row + 2 * edge + LANES
    zero = f32x8(np.float32(0))
    for band in items(queue):
        for i in range(band * _BAND, min((band + 1) * _BAND, rows)):
            for start in range(0, image_row, LANES):
                j = min(start, image_row - LANES)  # the last lanes are done twice rather than read past the end
                m, n, e, f = zero, zero, zero, zero
                for k in range(WINDOW):
                    at = (i + k) * image_row + j
                    u, v = load(x, at), load(y, at)
                    m = m + u * _G[k]
                    n = n + v * _G[k]
                    e = e + (u * u + v * v) * _G[k]
                    f = f + (u * v) * _G[k]
                store(mean_x, j, m)
                store(mean_y, j, n)
                store(square, j, e)
                store(product, j, f)

            total = 0.0
            here = i * stride
            plane = rows * stride
            if with_slopes:
                for p in range(3):
                    for j in range(edge):
                        slopes[p * plane + here + j] = 0
                        slopes[p * plane + here + edge + row + j] = 0
            for j in range(0, row, LANES):
                m, n, e, f = zero, zero, zero, zero
                for k in range(WINDOW):
                    at = j + k * channels
                    m = m + load(mean_x, at) * _G[k]
                    n = n + load(mean_y, at) * _G[k]
                    e = e + load(square, at) * _G[k]
                    f = f + load(product, at) * _G[k]
                L = m * n * 2 + _C1
                P = (f - m * n) * 2 + _C2
                M = m * m + n * n + _C1
                Q = e - m * m - n * n + _C2
                inside = iota() + j < i32x8(row)
                w = load(weight, i * row + j) if weighted else f32x8(np.float32(1))
                w = select(inside, w, np.float32(0))
                over = w / (M * Q)
                S = L * P * over
                total += lane_sum(select(inside, S, np.float32(0)))
                if with_slopes:
                    at = here + edge + j
                    by_mean = (n * (P - L) * over - m * S * (Q - M) / (M * Q)) * 2
                    store(slopes, at, select(inside, by_mean, np.float32(0)))
                    store(slopes, at + plane, select(inside, -S / Q, np.float32(0)))
                    store(slopes, at + 2 * plane, select(inside, L * over * 2, np.float32(0)))
            sums[i] = total


@kernel
def _gather_rows(queue, x, y, slopes, factor, height, image_row, channels, stride, gradient):
    by_mean = np.empty(stride, dtype=np.float32)
    by_square, by_product = np.empty_like(by_mean), np.empty_like(by_mean)
    rows = height - _REACH
    plane = rows * stride
    zero = f32x8(np.float32(0))
    for band in items(queue):
        for i in range(band * _BAND, min((band + 1) * _BAND, height)):
            first, last = max(i - _REACH, 0), min(i, rows - 1)
            for start in range(0, stride, LANES):
                j = min(start, stride - LANES)
                a, b, c = zero, zero, zero
                for r in range(first, last + 1):
                    at = r * stride + j
                    g = _G[i - r]
                    a = a + load(slopes, at) * g
                    b = b + load(slopes, at + plane) * g
                    c = c + load(slopes, at + 2 * plane) * g
                store(by_mean, j, a)
                store(by_square, j, b)
                store(by_product, j, c)
            for start in range(0, image_row, LANES):
                j = min(start, image_row - LANES)
                a, b, c = zero, zero, zero
                for k in range(WINDOW):
                    at = j + k * channels
                    a = a + load(by_mean, at) * _G[k]
                    b = b + load(by_square, at) * _G[k]
                    c = c + load(by_product, at) * _G[k]
                at = i * image_row + j
                store(gradient, at, (a + load(x, at) * b * 2 + load(y, at) * c) * factor)
