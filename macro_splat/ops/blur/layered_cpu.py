"""The layered disc blur for processors.

Everything that is gathered lies side by side in eight lanes: the light P, and the front layer's part of it mP and share
m; what is of the back layer is the difference. As in `disc_blur_kernels`, running sums of rows are read where a disc
begins and ends, and their slopes are collected in strips, one for each band of rows, added up in their order.

Sums are kept in float32: at the end of a white row of 6,000 pixels they are good to 0.0003.
"""

# Numba types what it compiles, by rules that mypy does not know.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated, assignment"

from __future__ import annotations

import numpy as np

from macro_splat.ops.blur.disc import MIN_RADIUS
from macro_splat.ops.blur.disc_cpu import half_width, lookup
from macro_splat.ops.blur.layered import SEEN
from macro_splat.simd import device, kernel, run, take
from macro_splat.simd.lanes import f32x8, iota, lane_sum, load, peek, poke, select, store

_BAND = 16  # rows per work item
_MIN, _SEEN = np.float32(MIN_RADIUS), np.float32(SEEN)
_MOST = np.float32(1e6)
_LANES = 8  # light 0..2, of the front layer 4..6, share of the front layer 7


def blur(light, plan, table, blurred, height, width):
    """Fill `blurred`, float32 [H·W·3]; return what the backward pass needs.

    `light` [H·W·3], `table` [K, rows] of half-widths, `plan`: radius, own, carried, share, front and back radius
    [H·W], float32, and kind [H·W] int8, see `_FusedLayeredBlur`.
    """
    sums = np.empty(height * (width + 2) * _LANES, dtype=np.float32)
    # Of each pixel: mean of its one or front disc, mean of its back disc, and the areas of both.
    means = np.empty(height * width * 2 * _LANES, dtype=np.float32)
    areas = np.empty(height * width * 2, dtype=np.float32)
    bands = -(-height // _BAND)
    run(_sum_rows, bands, light, plan[3], sums, height, width)
    run(_blur_rows, bands, sums, *plan, table, blurred, means, areas, height, width)
    return sums, means, areas


def blur_backward(plan, table, state, upstream, gradient, by_radius, height, width):
    """Fill `gradient` [H·W·3] and `by_radius` [H·W] with the derivatives by light and radius, given `upstream`'s."""
    sums, means, areas = state
    bands = -(-height // _BAND)
    first_row = np.arange(bands) * _BAND
    reach = np.empty(bands, dtype=np.int64)
    run(_reach_of_bands, bands, *plan, reach, height, width)
    top = np.maximum(first_row - reach, 0)
    bottom = np.minimum(first_row + _BAND + reach, height)  # exclusive
    offset = np.concatenate([[0], np.cumsum(bottom - top)])
    strips = np.zeros(offset[-1] * (width + 2) * _LANES, dtype=np.float32)
    given = (sums, *plan, table, means, areas, upstream)
    run(_spread_rows, bands, *given, top, offset, strips, by_radius, height, width)
    run(_collect_rows, bands, plan[3], top, bottom, offset, strips, gradient, height, width)


@kernel
def _sum_rows(queue, light, share, sums, height, width):
    while True:
        band = take(queue)
        if band < 0:
            break
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
    """Where a row of a disc begins and ends: the sums' places [left, right], and how far on from there to the next."""
    left, right = max(x + 0.5 - half, 0.0), min(x + 0.5 + half, np.float64(width))
    i, j = int(left), int(right)
    return left, right, i, j, np.float32(left - i), np.float32(right - j)


@device
def _gather(sums, table, radius, y, x, height, width):
    """Mean of all lanes over the disc, and its area within the image."""
    pitch = (width + 2) * _LANES
    if radius <= _MIN:
        at = y * pitch + x * _LANES
        return load(sums, at + _LANES) - load(sums, at), np.float32(1.0)
    k, share, rows = lookup(table, radius)
    covered, total = 0.0, f32x8(0.0)
    for dy in range(min(rows, height)):
        half, _ = half_width(table, k, share, dy)
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
    """Not a number counts as none; nothing changes beyond the size of any image."""
    return min(radius, _MOST) if radius > 0.0 else np.float32(0.0)


@device
def _radii(radius, own, carried, front_radius, back_radius, kind, pixel):
    """Of the whole pixel, and of its two layers."""
    r = peek(radius, pixel)
    share = peek(own, pixel)
    whole = share * r + (np.float32(1.0) - share) * peek(carried, pixel)
    front = r if peek(kind, pixel) == 2 else peek(front_radius, pixel)
    back = r if peek(kind, pixel) == 3 else peek(back_radius, pixel)
    return _sane(whole), _sane(front), _sane(back)


@kernel
def _blur_rows(
    queue,
    sums,
    radius,
    own,
    carried,
    share,
    front_radius,
    back_radius,
    kind,
    table,
    blurred,
    means,
    areas,
    height,
    width,
):
    near = np.empty(_LANES, dtype=np.float32)
    far = np.empty(_LANES, dtype=np.float32)
    while True:
        band = take(queue)
        if band < 0:
            break
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
    """Numbers side by side, without a detour through memory."""
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
    k, share, rows = lookup(table, radius)
    growing, borders = 0.0, f32x8(0.0)  # of the area, and of the sum
    for dy in range(min(rows, height)):
        half, growth = half_width(table, k, share, dy)
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
def _spread_rows(
    queue, sums, radius, own, carried, share, front_radius, back_radius, kind, table, means, areas, upstream,
    top, offset, strips, by_radius, height, width,
):  # fmt: skip
    while True:
        band = take(queue)
        if band < 0:
            break
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
def _reach_of_bands(queue, radius, own, carried, share, front_radius, back_radius, kind, reach, height, width):
    while True:
        band = take(queue)
        if band < 0:
            break
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
    while True:
        band = take(queue)
        if band < 0:
            break
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
