"""Kernels that blend the tiles' lists into pixels, and their gradients.

A tile of 16x16 pixels is 32 blocks of 4x2, one vector each; everything about its pixels is kept block by block. For
each Gaussian of a tile a 32-bit mask says which blocks its ellipse touches. Constants are those of gsplat 1.4
(`rasterize_to_pixels`): alpha is clamped to 0.999 and dropped under 1/255, a pixel ends before the Gaussian that would
take its transmittance to 1e-4.

Longer than other files: forward and backward walk the same masks and lists, and are only read side by side.
"""

# mypy: disable-error-code="no-untyped-def, assignment"

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from macro_splat.ops.rasterizer.cpu.binning import GEOMETRY, TILE
from macro_splat.simd import device, items, kernel
from macro_splat.simd.lanes import (
    absolute,
    bits_of,
    ceil,
    f32x8,
    float_from_bits,
    floor,
    i32x8,
    iota,
    lane_max,
    lane_or,
    lane_sums,
    load,
    mask_bits,
    maximum,
    minimum,
    peek,
    poke,
    select,
    sqrt,
    store,
    to_float,
    to_int,
    trailing_zeros,
)

PIXELS = TILE * TILE
REDUCE_CHUNK = 1024  # records per work item
_BLOCKS = PIXELS // 8
_BATCH = 64  # Gaussians whose masks are made ahead
_ALPHA_MAX = np.float32(0.999)
_TRANSMITTANCE_MIN = np.float32(1e-4)
_ALPHA_TINY = np.float32(1e-10)
_LN2 = np.float32(math.log(2.0))
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
_FAR = np.float32(1e9)


class Images(NamedTuple):
    """What is rendered, C images."""

    width: int
    height: int
    channels: int
    """X: of colours and depth."""
    expected_depth: bool
    """Whether the last channel is divided by alpha."""
    backgrounds: np.ndarray
    """float32 [C, X], flat; empty for black"""
    render: np.ndarray
    """float32 [C, H, W, X], flat"""
    alphas: np.ndarray
    """float32 [C, H, W], flat"""


class Kept(NamedTuple):
    """What the backward pass needs of the forward pass; pixels by tile and block."""

    transmittances: np.ndarray
    """What each pixel leaves of the background. float32 [tiles, PIXELS], flat"""
    last_entries: np.ndarray
    """The last entry of its tile's list that counts for a pixel, -1 for none. int32 [tiles, PIXELS], flat"""
    masks: np.ndarray
    """Which blocks of its tile each list entry touches. int32 [L]"""


@device
def _exp2_neg(q):
    """Return 2^-q for 0 ≤ q < 126, to 1e-7: 2^round(-q), by the exponent's bits, times a polynomial of the rest."""
    shifted = np.float32(12582912.0) - q  # 1.5·2²³: the rounded -q lands in the lowest bits
    rest = q + (shifted - np.float32(12582912.0))
    p = np.float32(-0.001327647011741167) * rest + np.float32(0.009675541319486515)
    p = p * rest + np.float32(-0.05550713279298552)
    p = p * rest + np.float32(0.24022119724212557)
    p = p * rest + np.float32(-0.693146967061208)
    p = p * rest + np.float32(1.000000071654569)
    return float_from_bits(bits_of(p) + (bits_of(shifted) << 23))


@device
def _pixel_centres():
    """Return x and y of the pixels' centres from the tile's corner, in the blocks' order."""
    x, y = np.empty(PIXELS, np.float32), np.empty(PIXELS, np.float32)
    for block in range(_BLOCKS):
        store(x, block * 8, to_float((iota() & 3) + (block & 3) * 4) + _HALF)
        store(y, block * 8, to_float((iota() >> 2) + (block >> 2) * 2) + _HALF)
    return x, y


@device
def _block_mask(u, v, a, b, c, t):
    """Return which blocks hold a pixel centre within the ellipse q ≤ t; u, v from the tile's corner. Some too many."""
    inv = _ONE / a
    tilt = _HALF * b * inv
    wide = t * np.float32(1.0001) * inv + np.float32(1e-3)
    narrow = np.float32(0.9999) * max(c * inv - tilt * tilt, _ZERO)
    upper = to_float(iota() << 1) + (_HALF - v)
    lower = upper + _ONE
    upper_square, lower_square = wide - narrow * upper * upper, wide - narrow * lower * lower
    upper_half, lower_half = sqrt(maximum(upper_square, _ZERO)), sqrt(maximum(lower_square, _ZERO))
    upper_mid, lower_mid = u - tilt * upper, u - tilt * lower
    left = minimum(
        select(upper_square >= _ZERO, upper_mid - upper_half, _FAR),
        select(lower_square >= _ZERO, lower_mid - lower_half, _FAR),
    )
    right = maximum(
        select(upper_square >= _ZERO, upper_mid + upper_half, -_FAR),
        select(lower_square >= _ZERO, lower_mid + lower_half, -_FAR),
    )
    first = to_int(ceil(minimum(maximum(left - np.float32(0.51), _ZERO), np.float32(TILE))))
    last = to_int(floor(maximum(minimum(right - np.float32(0.49), np.float32(TILE - 1)), -_ONE)))
    columns = (i32x8(15) << (first >> 2)) & (i32x8(15) >> (3 - (last >> 2)))
    return lane_or(select(first <= last, columns, 0) << (iota() << 2))


@device
def _transpose_bits(masks, waiting):
    """Turn the blocks that each Gaussian of a batch touches into the Gaussians that touch each block."""
    m0, m1, m2, m3 = load(masks, 0), load(masks, 8), load(masks, 16), load(masks, 24)
    m4, m5, m6, m7 = load(masks, 32), load(masks, 40), load(masks, 48), load(masks, 56)
    for block in range(_BLOCKS):
        shift = i32x8(_BLOCKS - 1 - block)  # brings the block's bit to where the sign is
        low = _sign_bits(m0, shift) | _sign_bits(m1, shift) << 8
        low |= _sign_bits(m2, shift) << 16 | _sign_bits(m3, shift) << 24
        high = _sign_bits(m4, shift) | _sign_bits(m5, shift) << 8
        high |= _sign_bits(m6, shift) << 16 | _sign_bits(m7, shift) << 24
        poke(waiting, block, low | high << 32)


@device
def _sign_bits(value, shift):
    return np.int64(mask_bits((value << shift) < 0))


@device
def _clear(array, count):
    for i in range(0, count, 8):
        store(array, i, f32x8(_ZERO))


@device
def _place(row, column):
    """Return where the blocks' order holds a pixel of the tile."""
    return ((row >> 1) * (TILE // 4) + (column >> 2)) * 8 + (row & 1) * 4 + (column & 3)


@device
def _gather(image, first, width, rows, columns, channels, channel, pixels, at):
    """Bring one channel of a tile, whose first pixel is number `first` of the image, into the blocks' order."""
    for row in range(rows):
        for column in range(columns):
            value = peek(image, (first + row * width + column) * channels + channel)
            poke(pixels, at + _place(row, column), value)


@device
def _scatter(pixels, at, image, first, width, rows, columns, channels, channel):
    """Bring a channel back, the other way."""
    for row in range(rows):
        for column in range(columns):
            value = peek(pixels, at + _place(row, column))
            poke(image, (first + row * width + column) * channels + channel, value)


@device
def _copy_record(records, at, stride, x0, y0, local, to):
    """Copy a record, its centre now counted from the tile's corner."""
    for k in range(0, stride, 8):
        store(local, to + k, load(records, at + k))
    poke(local, to, peek(records, at) - x0)
    poke(local, to + 1, peek(records, at + 1) - y0)


@device
def _load_batch(records, stride, entries, batch, size, x0, y0, local, masks, batch_masks):
    """Copy the records of `size` list entries from number `batch` on, and find which blocks each of them touches."""
    for i in range(size):
        to = i * stride
        at = np.int64(peek(entries, (batch + i) * 2)) * stride
        _copy_record(records, at, stride, np.float32(x0), np.float32(y0), local, to)
        u, v, t = peek(local, to), peek(local, to + 1), peek(local, to + 6)
        mask = _block_mask(u, v, peek(local, to + 2), peek(local, to + 3), peek(local, to + 4), t)
        poke(masks, batch + i, mask)
        poke(batch_masks, i, mask)
    for i in range(size, _BATCH):
        poke(batch_masks, i, 0)


@kernel
def composite_forward(queue, bins, images, kept):
    """Fill in `images.render` and `alphas`, and `kept`. Items are tiles."""
    _, _, records, stride, _, tile_starts, entries, tiles_by_length, tile_rows, tile_columns = bins
    width, height, channels, expected_depth, backgrounds, render, alphas = images
    transmittances, last_entries, masks = kept
    centre_x, centre_y = _pixel_centres()
    local = np.empty(_BATCH * stride, np.float32)
    left = np.empty(PIXELS, np.float32)  # transmittance, negative once the pixel is done
    last = np.empty(PIXELS, np.int32)
    sums = np.empty((stride - GEOMETRY) * PIXELS, np.float32)
    batch_masks = np.empty(_BATCH, np.int32)
    waiting = np.empty(_BLOCKS, np.int64)  # which Gaussians of the batch touch a block
    for item in items(queue):
        tile = peek(tiles_by_length, item)
        camera = tile // (tile_rows * tile_columns)
        y0 = tile // tile_columns % tile_rows * TILE
        x0 = tile % tile_columns * TILE
        start, end = peek(tile_starts, tile), peek(tile_starts, tile + 1)
        live = np.int64(0)
        for block in range(_BLOCKS):
            at = block * 8
            inside = (load(centre_x, at) < np.float32(width - x0)) & (load(centre_y, at) < np.float32(height - y0))
            store(left, at, select(inside, f32x8(_ONE), -_ONE))
            store(last, at, i32x8(-1))
            if mask_bits(inside) != 0:
                live |= np.int64(1) << block
        _clear(sums, (stride - GEOMETRY) * PIXELS)

        for batch in range(start, end, _BATCH):
            if live == 0:
                break
            size = min(_BATCH, end - batch)
            _load_batch(records, stride, entries, batch, size, x0, y0, local, masks, batch_masks)
            _transpose_bits(batch_masks, waiting)

            blocks = live
            while blocks != 0:
                block = trailing_zeros(blocks)
                blocks &= blocks - 1
                todo = peek(waiting, block)
                if todo == 0:
                    continue
                at = block * 8
                x, y = load(centre_x, at), load(centre_y, at)
                remaining, newest = load(left, at), load(last, at)
                sum0, sum1 = load(sums, at), load(sums, at + PIXELS)
                sum2, sum3 = load(sums, at + 2 * PIXELS), load(sums, at + 3 * PIXELS)
                while todo != 0:
                    i = trailing_zeros(todo)
                    todo &= todo - 1
                    o = i * stride
                    dx, dy = x - peek(local, o), y - peek(local, o + 1)
                    q = (peek(local, o + 2) * dx + peek(local, o + 3) * dy) * dx + peek(local, o + 4) * dy * dy
                    alpha = minimum(peek(local, o + 5) * _exp2_neg(q), _ALPHA_MAX)
                    drawn = (q >= _ZERO) & (q <= peek(local, o + 6))
                    after = remaining - alpha * remaining
                    going_on = after > _TRANSMITTANCE_MIN
                    counts = drawn & going_on
                    weight = select(counts, alpha * remaining, _ZERO)
                    ends = select(drawn & ~going_on, -absolute(remaining), remaining)
                    remaining = select(counts, after, ends)
                    newest = select(counts, np.int32(batch - start + i), newest)
                    sum0 = sum0 + weight * peek(local, o + 8)
                    sum1 = sum1 + weight * peek(local, o + 9)
                    sum2 = sum2 + weight * peek(local, o + 10)
                    sum3 = sum3 + weight * peek(local, o + 11)
                    for k in range(4, channels):
                        more = at + k * PIXELS
                        store(sums, more, load(sums, more) + weight * peek(local, o + GEOMETRY + k))
                    if mask_bits(remaining > _ZERO) == 0:
                        live &= ~(np.int64(1) << block)
                        break
                store(left, at, remaining)
                store(last, at, newest)
                store(sums, at, sum0)
                store(sums, at + PIXELS, sum1)
                store(sums, at + 2 * PIXELS, sum2)
                store(sums, at + 3 * PIXELS, sum3)

        for at in range(0, PIXELS, 8):
            rest = absolute(load(left, at))
            store(transmittances, tile * PIXELS + at, rest)
            store(last_entries, tile * PIXELS + at, load(last, at))
            alpha = _ONE - rest
            store(left, at, alpha)
            if backgrounds.size > 0:
                for k in range(channels):
                    value = load(sums, k * PIXELS + at) + rest * peek(backgrounds, camera * channels + k)
                    store(sums, k * PIXELS + at, value)
            if expected_depth:
                depth = (channels - 1) * PIXELS + at
                store(sums, depth, load(sums, depth) / maximum(alpha, _ALPHA_TINY))
        rows, columns = min(TILE, height - y0), min(TILE, width - x0)
        first = (camera * height + y0) * width + x0
        _scatter(left, 0, alphas, first, width, rows, columns, 1, 0)
        for k in range(channels):
            _scatter(sums, k * PIXELS, render, first, width, rows, columns, channels, k)


@kernel
def composite_backward(queue, bins, images, kept, v_render, v_alphas, absgrad, touched_slots, v_slots):
    """Write, for each list entry, sums over the tile's pixels to the entry's slot of `v_slots`. Items are tiles.

    With g the gradient to σ = q·ln 2 at a pixel (dx, dy) from the centre, they are, per slot of `stride` numbers:
    Σg, Σg·dx, Σg·dy, Σg·dx², Σg·dx·dy, Σg·dy², Σ|g·∂q/∂dx|, Σ|g·∂q/∂dy|, and the gradients of the channels.
    Slots that `touched_slots` does not mark are left as they are. Longer than other functions: its innermost loop
    carries a score of sums in registers.
    """
    _, _, records, stride, _, tile_starts, entries, tiles_by_length, tile_rows, tile_columns = bins
    width, height, channels, expected_depth, backgrounds, render, _ = images
    transmittances, last_entries, masks = kept
    centre_x, centre_y = _pixel_centres()
    values = stride - GEOMETRY
    local = np.empty(stride, np.float32)
    left = np.empty(PIXELS, np.float32)
    behind = np.empty(PIXELS, np.float32)  # what lies behind the Gaussian at hand, weighted with the image's gradient
    v_pixels = np.empty(values * PIXELS, np.float32)
    weights = np.empty(PIXELS, np.float32)
    last = np.empty(PIXELS, np.int32)
    block_last = np.empty(_BLOCKS, np.int32)
    for item in items(queue):
        tile = peek(tiles_by_length, item)
        start = peek(tile_starts, tile)
        camera = tile // (tile_rows * tile_columns)
        y0 = tile // tile_columns % tile_rows * TILE
        x0 = tile % tile_columns * TILE
        newest = np.int32(-1)
        for block in range(_BLOCKS):
            ends = load(last_entries, tile * PIXELS + block * 8)
            store(last, block * 8, ends)
            end = lane_max(ends)
            poke(block_last, block, end)
            newest = max(newest, end)
        if newest < 0:
            continue
        _clear(v_pixels, values * PIXELS)
        rows, columns = min(TILE, height - y0), min(TILE, width - x0)
        first = (camera * height + y0) * width + x0
        for k in range(channels):
            _gather(v_render, first, width, rows, columns, channels, k, v_pixels, k * PIXELS)
        _clear(behind, PIXELS)
        _gather(v_alphas, first, width, rows, columns, 1, 0, behind, 0)
        if expected_depth:
            _clear(weights, PIXELS)
            _gather(render, first, width, rows, columns, channels, channels - 1, weights, 0)
        for at in range(0, PIXELS, 8):
            rest = load(transmittances, tile * PIXELS + at)
            v_alpha = load(behind, at)
            if expected_depth:
                alpha = _ONE - rest
                depth = (channels - 1) * PIXELS + at
                v_depth = load(v_pixels, depth) / maximum(alpha, _ALPHA_TINY)
                store(v_pixels, depth, v_depth)
                v_alpha = v_alpha - select(alpha >= _ALPHA_TINY, v_depth * load(weights, at), _ZERO)
            if backgrounds.size > 0:
                for k in range(channels):
                    v_alpha = v_alpha - load(v_pixels, k * PIXELS + at) * peek(backgrounds, camera * channels + k)
            store(left, at, rest)
            store(behind, at, -(rest * v_alpha))

        live = np.int64(0)
        live_from = np.int64(1) << 40
        for number in range(newest, -1, -1):
            if number < live_from:
                # Blocks come alive as the walk goes to the front; looked up once per batch.
                live_from = np.int64(number) // _BATCH * _BATCH
                live = 0
                for block in range(_BLOCKS):
                    if peek(block_last, block) >= live_from:
                        live |= np.int64(1) << block
            blocks = np.int64(peek(masks, start + number)) & live
            if blocks == 0:
                continue
            record = np.int64(peek(entries, (start + number) * 2))
            _copy_record(records, record * stride, stride, np.float32(x0), np.float32(y0), local, 0)
            u, v, opacity, t = peek(local, 0), peek(local, 1), peek(local, 5), peek(local, 6)
            a, b, c = peek(local, 2), peek(local, 3), peek(local, 4)
            channel0, channel1, channel2, channel3 = peek(local, 8), peek(local, 9), peek(local, 10), peek(local, 11)
            sum_g, sum_x, sum_y = f32x8(_ZERO), f32x8(_ZERO), f32x8(_ZERO)
            sum_xx, sum_xy, sum_yy = f32x8(_ZERO), f32x8(_ZERO), f32x8(_ZERO)
            abs_x, abs_y = f32x8(_ZERO), f32x8(_ZERO)
            sum0, sum1, sum2, sum3 = f32x8(_ZERO), f32x8(_ZERO), f32x8(_ZERO), f32x8(_ZERO)
            todo = blocks
            while todo != 0:
                block = trailing_zeros(todo)
                todo &= todo - 1
                at = block * 8
                dx, dy = load(centre_x, at) - u, load(centre_y, at) - v
                by = b * dy
                q = (a * dx + by) * dx + c * dy * dy
                raw = opacity * _exp2_neg(q)
                drawn = (q >= _ZERO) & (q <= t) & (load(last, at) >= np.int32(number))
                alpha = select(drawn, minimum(raw, _ALPHA_MAX), _ZERO)
                inv = _ONE / (_ONE - alpha)
                before = load(left, at) * inv
                store(left, at, before)
                weight = alpha * before
                v0, v1 = load(v_pixels, at), load(v_pixels, at + PIXELS)
                v2, v3 = load(v_pixels, at + 2 * PIXELS), load(v_pixels, at + 3 * PIXELS)
                value = channel0 * v0 + channel1 * v1 + (channel2 * v2 + channel3 * v3)
                sum0 = sum0 + weight * v0
                sum1 = sum1 + weight * v1
                sum2 = sum2 + weight * v2
                sum3 = sum3 + weight * v3
                if channels > 4:
                    for k in range(4, channels):
                        value = value + peek(local, GEOMETRY + k) * load(v_pixels, at + k * PIXELS)
                    store(weights, at, weight)
                hidden = load(behind, at)
                store(behind, at, hidden + weight * value)
                g = select(drawn & (raw <= _ALPHA_MAX), raw * (hidden * inv - before * value), _ZERO)
                gx, gy = g * dx, g * dy
                sum_g = sum_g + g
                sum_x = sum_x + gx
                sum_y = sum_y + gy
                sum_xx = sum_xx + gx * dx
                sum_xy = sum_xy + gx * dy
                sum_yy = sum_yy + gy * dy
                if absgrad:
                    abs_x = abs_x + absolute(g * (np.float32(2.0) * a * dx + by))
                    abs_y = abs_y + absolute(g * (np.float32(2.0) * c * dy + b * dx))
            to = np.int64(peek(entries, (start + number) * 2 + 1))
            poke(touched_slots, to, 1)
            to *= stride
            store(v_slots, to, lane_sums(sum_g, sum_x, sum_y, sum_xx, sum_xy, sum_yy, abs_x, abs_y))
            zero = f32x8(_ZERO)
            store(v_slots, to + GEOMETRY, lane_sums(sum0, sum1, sum2, sum3, zero, zero, zero, zero))
            for k in range(4, channels, 4):
                sum0, sum1, sum2, sum3 = zero, zero, zero, zero
                todo = blocks
                while todo != 0:
                    at = trailing_zeros(todo) * 8
                    todo &= todo - 1
                    weight = load(weights, at)
                    at += k * PIXELS
                    sum0 = sum0 + weight * load(v_pixels, at)
                    sum1 = sum1 + weight * load(v_pixels, at + PIXELS)
                    sum2 = sum2 + weight * load(v_pixels, at + 2 * PIXELS)
                    sum3 = sum3 + weight * load(v_pixels, at + 3 * PIXELS)
                four = lane_sums(sum0, sum1, sum2, sum3, zero, zero, zero, zero)
                store(weights, 0, four)
                for i in range(4):
                    poke(v_slots, to + GEOMETRY + k + i, peek(weights, i))


@kernel
def reduce_gradients(
    queue, bins, touched_slots, v_slots, conics, opacities, color_channels, with_depth, v_means2d, v_absolute,
    v_conics, v_opacities, v_colors, v_depths,
):  # fmt: skip
    """Add up each record's slots and undo the record's units. Items are chunks of `REDUCE_CHUNK` records.

    The outputs, [C, N, …], must hold zeros for the Gaussians that have no record. `v_absolute` may be empty.
    """
    gaussians, first_slots, stride = bins.gaussians, bins.first_slots, bins.stride
    m = gaussians.size
    used = GEOMETRY + color_channels + (1 if with_depth else 0)
    sums = np.empty(stride, np.float32)
    for chunk in items(queue):
        for r in range(chunk * REDUCE_CHUNK, min((chunk + 1) * REDUCE_CHUNK, m)):
            for k in range(0, used, 8):
                total = f32x8(_ZERO)
                for slot in range(peek(first_slots, r), peek(first_slots, r + 1)):
                    if peek(touched_slots, slot) != 0:
                        total = total + load(v_slots, slot * stride + k)
                store(sums, k, total)
            row = np.int64(peek(gaussians, r))
            a, b, c = peek(conics, row * 3), peek(conics, row * 3 + 1), peek(conics, row * 3 + 2)
            sum_x, sum_y = peek(sums, 1), peek(sums, 2)
            poke(v_means2d, row * 2, -(a * sum_x + b * sum_y))
            poke(v_means2d, row * 2 + 1, -(b * sum_x + c * sum_y))
            poke(v_conics, row * 3, _HALF * peek(sums, 3))
            poke(v_conics, row * 3 + 1, peek(sums, 4))
            poke(v_conics, row * 3 + 2, _HALF * peek(sums, 5))
            poke(v_opacities, row, -peek(sums, 0) / peek(opacities, row))
            if v_absolute.size > 0:
                poke(v_absolute, row * 2, _LN2 * peek(sums, 6))
                poke(v_absolute, row * 2 + 1, _LN2 * peek(sums, 7))
            for k in range(color_channels):
                poke(v_colors, row * color_channels + k, peek(sums, GEOMETRY + k))
            if with_depth:
                poke(v_depths, row, peek(sums, GEOMETRY + color_channels))
