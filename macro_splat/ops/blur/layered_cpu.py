"""The layered disc blur for processors.

Everything that is gathered lies side by side in eight lanes: the light P, and the front layer's part of it mP and share
m; what is of the back layer is the difference.

Forward: running sums of all rows, then for every pixel the difference of two of their values per row of its disc.
Backward: the slope on a running sum's values is collected where the forward pass read them, and a running sum from the
right turns it into the slope on the pixels. Pixels of several rows collect in the same place, so each band of rows
collects in a strip of its own, and the strips are added up in their order: results do not depend on the threads.

Sums are kept in float32: at the end of a white row of 6,000 pixels they are good to 0.0003.
"""

# Numba types what it compiles, by rules that mypy does not know.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated, assignment"

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from macro_splat.ops.blur.disc import MIN_RADIUS, TABLE_STEPS, half_width_table
from macro_splat.ops.blur.layers import MIN_SEEN, Layers
from macro_splat.simd import device, flat, items, kernel, run
from macro_splat.simd.lanes import f32x8, iota, lane_sum, load, peek, poke, select, store

_BAND = 16  # rows per work item
_STEPS, _MIN, _SEEN = np.float64(TABLE_STEPS), np.float32(MIN_RADIUS), np.float32(MIN_SEEN)
_MAX = np.float32(1e6)
_LANES = 8  # light 0..2, of the front layer 4..6, share of the front layer 7


class Plan(NamedTuple):
    """What is blurred how; of all pixels."""

    radius: np.ndarray
    """Of the pixel's own disc, pixels. float32 [H·W]"""
    own: np.ndarray
    """How far that radius counts, 0..1; the rest is `carried`. float32 [H·W]"""
    carried: np.ndarray
    """Radius from elsewhere. float32 [H·W]"""
    share: np.ndarray
    """Of the front layer, 0..1. float32 [H·W]"""
    front_radius: np.ndarray
    """Of the front layer where it is not the pixel's own. float32 [H·W]"""
    back_radius: np.ndarray
    """Of the back layer where it is not the pixel's own. float32 [H·W]"""
    kind: np.ndarray
    """0: one surface; at an edge, 1: of neither layer, 2: of the front one, 3: of the back one. int8 [H·W]"""
    table: np.ndarray
    """Half-widths, see `half_width_table`. float64 [K, rows]"""


class FusedLayeredBlur(torch.autograd.Function):
    """`layered_blur` in one go over the pixels."""

    @staticmethod
    def forward(ctx: Any, light: Tensor, radius: Tensor, own: Tensor, carried: Tensor, layers: Layers | None) -> Tensor:
        height, width = radius.shape
        pixels, bands = height * width, -(-height // _BAND)
        ctx.plan = plan = _plan(radius, own, carried, layers)
        blurred = light.new_empty(light.shape)
        sums = np.empty(height * (width + 2) * _LANES, dtype=np.float32)
        # Of each pixel: mean of its one or front disc, mean of its back disc, and the areas of both.
        means, areas = np.empty(pixels * 2 * _LANES, dtype=np.float32), np.empty(pixels * 2, dtype=np.float32)
        run(_sum_rows, bands, flat(light), plan.share, sums, height, width)
        run(_blur_rows, bands, sums, plan, flat(blurred), means, areas, height, width)
        ctx.shape, ctx.state = radius.shape, (sums, plan, means, areas)
        return blurred

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        height, width = ctx.shape
        bands = -(-height // _BAND)
        gradient, by_radius = upstream.new_empty(upstream.shape), upstream.new_empty(ctx.shape)
        first_row = np.arange(bands) * _BAND
        reach = np.empty(bands, dtype=np.int64)
        run(_reach_of_bands, bands, ctx.plan, reach, height, width)
        top = np.maximum(first_row - reach, 0)
        bottom = np.minimum(first_row + _BAND + reach, height)  # exclusive
        offset = np.concatenate([[0], np.cumsum(bottom - top)])
        strips = np.zeros(offset[-1] * (width + 2) * _LANES, dtype=np.float32)
        run(_spread_rows, bands, *ctx.state, flat(upstream), top, offset, strips, flat(by_radius), height, width)
        run(_collect_rows, bands, ctx.plan.share, top, bottom, offset, strips, flat(gradient), height, width)
        return gradient, by_radius, None, None, None


def _plan(radius: Tensor, own: Tensor, carried: Tensor, layers: Layers | None) -> Plan:
    largest = max(float(radius.detach().max()), float(carried.max()))
    if layers is None:
        none = flat(torch.zeros_like(carried))
        planes, kind = (none, none, none), np.zeros(radius.numel(), np.int8)
    else:
        planes = (flat(layers.share), flat(layers.front_radius), flat(layers.back_radius))
        kind = flat(layers.edge.to(torch.int8) + (layers.edge & layers.in_front) + 2 * (layers.edge & layers.behind))
        largest = max(largest, float(layers.front_radius.max()), float(layers.back_radius.max()))
    return Plan(flat(radius), flat(own), flat(carried), *planes, kind, half_width_table(largest))


@kernel
def _sum_rows(queue, light, share, sums, height, width):
    for band in items(queue):
        for y in range(band * _BAND, min((band + 1) * _BAND, height)):
            p0 = p1 = p2 = m0 = m1 = m2 = m = 0.0
            at = y * (width + 2) * _LANES
            for x in range(width + 2):
                poke(sums, at, p0)
                poke(sums, at + 1, p1)
                poke(sums, at + 2, p2)
                poke(sums, at + 3, 0.0)
                poke(sums, at + 4, m0)
                poke(sums, at + 5, m1)
                poke(sums, at + 6, m2)
                poke(sums, at + 7, m)
                at += _LANES
                if x < width:  # the last two are the same
                    pixel = y * width + x
                    front = np.float64(peek(share, pixel))
                    r, g, b = peek(light, 3 * pixel), peek(light, 3 * pixel + 1), peek(light, 3 * pixel + 2)
                    p0, p1, p2 = p0 + r, p1 + g, p2 + b
                    if front > 0.0:
                        m0, m1, m2, m = m0 + front * r, m1 + front * g, m2 + front * b, m + front


@device
def _span(x, half, width):
    """Return where a row of a disc begins and ends, its places in the sums, and how far from there to the next ones."""
    left, right = max(x + 0.5 - half, 0.0), min(x + 0.5 + half, np.float64(width))
    i, j = int(left), int(right)
    return left, right, i, j, np.float32(left - i), np.float32(right - j)


@device
def _lookup(table, radius):
    """Return the table's row for a radius, or -1 if it is too large, the next row's share, and the rows of its disc."""
    at = np.float64(radius) * _STEPS
    k = int(at)
    if k + 1 < table.shape[0]:
        return k, at - k, table.shape[1]
    return -1, np.float64(radius), int(radius + 1.5)


@device
def _half_width(table, k, share, dy):
    """Return the half-width of a disc in a row, and its slope by the radius. `k`, `share`: of `_lookup`."""
    if k >= 0:
        growth = table[k + 1, dy] - table[k, dy]
        return table[k, dy] + growth * share, growth * _STEPS
    inner, outer = (dy - 0.5) / share, min((dy + 0.5) / share, 1.0)
    if inner >= 1.0:
        return 0.0, 0.0
    angle = math.asin(outer) - math.asin(inner)
    chords = outer * math.sqrt(1.0 - outer * outer) - inner * math.sqrt(1.0 - inner * inner)
    return 0.5 * share * share * (chords + angle), share * angle


@device
def _gather(sums, table, radius, y, x, height, width):
    """Return the mean of all lanes over the disc, and its area within the image."""
    pitch = (width + 2) * _LANES
    if radius <= _MIN:
        at = y * pitch + x * _LANES
        return load(sums, at + _LANES) - load(sums, at), np.float32(1.0)
    k, share, rows = _lookup(table, radius)
    covered, total = 0.0, f32x8(0.0)
    for dy in range(min(rows, height)):
        half, _ = _half_width(table, k, share, dy)
        if half == 0.0:
            break
        left, right, i, j, u, v = _span(x, half, width)
        for side in range(2 if dy > 0 else 1):
            row = y + dy if side == 0 else y - dy
            if row < 0 or row >= height:
                continue
            covered += right - left
            begin, end = row * pitch + i * _LANES, row * pitch + j * _LANES
            low, high = load(sums, begin), load(sums, end)
            total = (
                total + (high - low) + (load(sums, end + _LANES) - high) * v - (load(sums, begin + _LANES) - low) * u
            )
    return total * np.float32(1.0 / covered), np.float32(covered)


@device
def _sane(radius):
    """Return the radius; not a number counts as none; nothing changes beyond the size of any image."""
    return min(radius, _MAX) if radius > 0.0 else np.float32(0.0)


@device
def _radii(radius, own, carried, front_radius, back_radius, kind, pixel):
    """Return the radii of the whole pixel and of its two layers."""
    r = peek(radius, pixel)
    share = peek(own, pixel)
    whole = share * r + (np.float32(1.0) - share) * peek(carried, pixel)
    front = r if peek(kind, pixel) == 2 else peek(front_radius, pixel)
    back = r if peek(kind, pixel) == 3 else peek(back_radius, pixel)
    return _sane(whole), _sane(front), _sane(back)


@kernel
def _blur_rows(queue, sums, plan, blurred, means, areas, height, width):
    radius, own, carried, _, front_radius, back_radius, kind, table = plan
    near = np.empty(_LANES, dtype=np.float32)
    far = np.empty(_LANES, dtype=np.float32)
    for band in items(queue):
        for y in range(band * _BAND, min((band + 1) * _BAND, height)):
            for x in range(width):
                pixel = y * width + x
                whole, front, back = _radii(radius, own, carried, front_radius, back_radius, kind, pixel)
                poke(areas, 2 * pixel + 1, 0.0)
                if peek(kind, pixel) > 0:
                    mean, area = _gather(sums, table, back, y, x, height, width)
                    store(far, 0, mean)
                    seen = np.float32(1.0) - peek(far, 7)
                    if seen > _SEEN:
                        store(means, (2 * pixel + 1) * _LANES, mean)
                        poke(areas, 2 * pixel + 1, area)
                        mean, area = _gather(sums, table, front, y, x, height, width)
                        store(means, 2 * pixel * _LANES, mean)
                        poke(areas, 2 * pixel, area)
                        store(near, 0, mean)
                        through = (np.float32(1.0) - peek(near, 7)) / seen
                        for c in range(3):
                            behind = peek(far, c) - peek(far, 4 + c)
                            poke(blurred, 3 * pixel + c, peek(near, 4 + c) + through * behind)
                        continue
                mean, area = _gather(sums, table, whole, y, x, height, width)
                store(means, 2 * pixel * _LANES, mean)
                poke(areas, 2 * pixel, area)
                for c in range(3):
                    poke(blurred, 3 * pixel + c, peek(means, 2 * pixel * _LANES + c))


@device
def _lanes(p0, p1, p2, m0, m1, m2, m):
    """Return numbers side by side, without a detour through memory."""
    lane = iota()
    high = select(lane == 4, m0, select(lane == 5, m1, select(lane == 6, m2, select(lane == 7, m, f32x8(0.0)))))
    return select(lane == 0, p0, select(lane == 1, p1, select(lane == 2, p2, high)))


@device
def _spread(strips, shift, sums, table, radius, area, slope, mean, y, x, height, width):
    """Add the slopes on all lanes of one disc's mean to the strips; return the slope by the radius."""
    pitch = (width + 2) * _LANES
    if radius <= _MIN:
        at = (shift + y) * pitch + x * _LANES
        store(strips, at, load(strips, at) - slope)
        store(strips, at + _LANES, load(strips, at + _LANES) + slope)
        return np.float32(0.0)
    part = slope * (np.float32(1.0) / area)
    k, share, rows = _lookup(table, radius)
    growing, borders = 0.0, f32x8(0.0)  # of the area, and of the sum
    for dy in range(min(rows, height)):
        half, growth = _half_width(table, k, share, dy)
        if half == 0.0:
            break
        left, right, i, j, u, v = _span(x, half, width)
        grows_left = np.float32(growth) if left > 0.0 else np.float32(0.0)
        grows_right = np.float32(growth) if right < width else np.float32(0.0)
        for side in range(2 if dy > 0 else 1):
            row = y + dy if side == 0 else y - dy
            if row < 0 or row >= height:
                continue
            begin, end = row * pitch + i * _LANES, row * pitch + j * _LANES
            borders = borders + (load(sums, end + _LANES) - load(sums, end)) * grows_right
            borders = borders + (load(sums, begin + _LANES) - load(sums, begin)) * grows_left
            growing += grows_left + grows_right
            begin, end = begin + shift * pitch, end + shift * pitch
            store(strips, begin, load(strips, begin) - part * (np.float32(1.0) - u))
            store(strips, begin + _LANES, load(strips, begin + _LANES) - part * u)
            store(strips, end, load(strips, end) + part * (np.float32(1.0) - v))
            store(strips, end + _LANES, load(strips, end + _LANES) + part * v)
    return lane_sum(part * (borders - mean * np.float32(growing)))


@kernel
def _spread_rows(queue, sums, plan, means, areas, upstream, top, offset, strips, by_radius, height, width):
    radius, own, carried, _, front_radius, back_radius, kind, table = plan
    for band in items(queue):
        shift = offset[band] - top[band]
        for y in range(band * _BAND, min((band + 1) * _BAND, height)):
            for x in range(width):
                pixel = y * width + x
                poke(by_radius, pixel, 0.0)
                r, g, b = peek(upstream, 3 * pixel), peek(upstream, 3 * pixel + 1), peek(upstream, 3 * pixel + 2)
                if r == 0.0 and g == 0.0 and b == 0.0:
                    continue
                whole, front, back = _radii(radius, own, carried, front_radius, back_radius, kind, pixel)
                near = load(means, 2 * pixel * _LANES)
                area, area_back = peek(areas, 2 * pixel), peek(areas, 2 * pixel + 1)
                none = np.float32(0.0)
                if area_back == 0.0:
                    slope = _lanes(r, g, b, none, none, none, none)
                    by_whole = _spread(strips, shift, sums, table, whole, area, slope, near, y, x, height, width)
                    poke(by_radius, pixel, by_whole * peek(own, pixel))
                    continue
                # blurred = near_mP + (1 - near_m) · (far_P - far_mP) / (1 - far_m)
                at = 2 * pixel * _LANES
                seen = np.float32(1.0) - peek(means, at + 15)
                through = (np.float32(1.0) - peek(means, at + 7)) / seen
                by_free = (
                    r * (peek(means, at + 8) - peek(means, at + 12))
                    + g * (peek(means, at + 9) - peek(means, at + 13))
                    + b * (peek(means, at + 10) - peek(means, at + 14))
                ) / seen
                far = load(means, at + _LANES)
                slope = _lanes(none, none, none, r, g, b, -by_free)
                by_front = _spread(strips, shift, sums, table, front, area, slope, near, y, x, height, width)
                r, g, b = r * through, g * through, b * through
                slope = _lanes(r, g, b, -r, -g, -b, by_free * through)
                by_back = _spread(strips, shift, sums, table, back, area_back, slope, far, y, x, height, width)
                if peek(kind, pixel) == 2:
                    poke(by_radius, pixel, by_front)
                elif peek(kind, pixel) == 3:
                    poke(by_radius, pixel, by_back)


@kernel
def _reach_of_bands(queue, plan, reach, height, width):
    radius, own, carried, _, front_radius, back_radius, kind, _ = plan
    for band in items(queue):
        largest = np.float32(0.0)
        for pixel in range(band * _BAND * width, min((band + 1) * _BAND, height) * width):
            whole, front, back = _radii(radius, own, carried, front_radius, back_radius, kind, pixel)
            largest = max(largest, whole, np.float32(0.0))
            if peek(kind, pixel) > 0:
                largest = max(largest, front, back)
        reach[band] = int(largest + 1.5)


@kernel
def _collect_rows(queue, share, top, bottom, offset, strips, gradient, height, width):
    line = np.empty((width + 2) * _LANES, dtype=np.float32)
    pitch = (width + 2) * _LANES
    for band in items(queue):
        for y in range(band * _BAND, min((band + 1) * _BAND, height)):
            line[:] = 0.0
            for other in range(top.shape[0]):
                if top[other] <= y < bottom[other]:
                    row = offset[other] + y - top[other]
                    for x in range(width + 2):
                        at = x * _LANES
                        store(line, at, load(line, at) + load(strips, row * pitch + at))
            # The last value stands for the one before it, as the running sums end with the same value twice.
            at = (width + 1) * _LANES
            p0, p1, p2 = np.float64(line[at]), np.float64(line[at + 1]), np.float64(line[at + 2])
            m0, m1, m2 = np.float64(line[at + 4]), np.float64(line[at + 5]), np.float64(line[at + 6])
            for x in range(width - 1, -1, -1):
                at -= _LANES
                p0, p1, p2 = p0 + peek(line, at), p1 + peek(line, at + 1), p2 + peek(line, at + 2)
                m0, m1, m2 = m0 + peek(line, at + 4), m1 + peek(line, at + 5), m2 + peek(line, at + 6)
                pixel = y * width + x
                front = peek(share, pixel)
                poke(gradient, 3 * pixel, p0 + front * m0)
                poke(gradient, 3 * pixel + 1, p1 + front * m1)
                poke(gradient, 3 * pixel + 2, p2 + front * m2)
