"""Kernels that list, for every tile of every image, the Gaussians that touch it, nearest first.

The visible Gaussians are sorted by depth once, and packed in that order into records. Each tile's list is then filled
in the order of the records, so that it needs no sort of its own. A Gaussian is listed for a tile only if the ellipse
where its alpha reaches 1/255 meets the tile.
"""

# mypy: disable-error-code="no-untyped-def, assignment"

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from macro_splat.ops.rasterizer.cpu.projection import Projected
from macro_splat.simd import device, items, kernel, run, take
from macro_splat.simd.lanes import peek, poke

TILE = 16  # pixels
GEOMETRY = 8  # numbers of a record before its channels
_CHUNKS = 16  # parts of the record list that are binned independently
_ALPHA_MIN = np.float32(1.0 / 255.0)
_LOG2E = np.float32(math.log2(math.e))
_LN2 = np.float32(math.log(2.0))
_RADIX = 11  # bits
_SHAPE = 8  # numbers that say where an ellipse lies

_TINY = np.float32(1e-30)
_ZERO, _HALF, _ONE, _TWO, _FOUR = (np.float32(x) for x in (0.0, 0.5, 1.0, 2.0, 4.0))
_THREE, _FIVE, _SEVEN, _NINE = (np.float32(x) for x in (3.0, 5.0, 7.0, 9.0))
_PER_TILE = np.float32(1.0 / TILE)
_MANY = np.float32(2.0**20)  # more tiles than there are
_SQRT_HALF_BITS = np.int32(0x3F3504F3)  # of √½ as a float32
_TWO_LOG2E = np.float32(2.0 * math.log2(math.e))


class Bins(NamedTuple):
    """The visible Gaussians of all cameras, and the tiles' lists of them. M records, L entries, all arrays flat."""

    gaussians: np.ndarray
    """Camera · N + Gaussian of each record, by camera and then depth. int32 [M]"""
    tiles_per_gauss: np.ndarray
    """How many tiles list each Gaussian. int32 [C · N]"""
    records: np.ndarray
    """Numbers of each record, see `pack`. float32 [M, GEOMETRY + channels]"""
    stride: int
    """Numbers per record."""
    first_slots: np.ndarray
    """Where each record's entries begin in an array by record and tile; the last element is L. int64 [M + 1]"""
    tile_starts: np.ndarray
    """Where each tile's list begins; tiles by camera, row, column; the last element is L. int64 [tiles + 1]"""
    entries: np.ndarray
    """The tiles' lists: the record, and its slot in the array by record and tile. int32 [L, 2]"""
    tiles_by_length: np.ndarray
    """Tiles with the longest lists first. int64 [tiles]"""
    tile_rows: int
    """Of one image."""
    tile_columns: int


@kernel
def sort_by_depth(queue, radii, depths, opacities, n, order, counts):
    """Sort the Gaussians that can be seen, by radix; equal depths keep their order. Items are cameras.

    `order` [C, N] gets camera · N + Gaussian, `counts` [C] how many there are.
    """
    keys, spare_keys = np.empty(n, np.int32), np.empty(n, np.int32)
    ids, spare_ids = np.empty(n, np.int32), np.empty(n, np.int32)
    histogram = np.empty(1 << _RADIX, np.int64)
    bits = np.empty(1, np.float32)
    bits_as_int = bits.view(np.int32)
    for c in items(queue):
        m = 0
        low, high = np.int32(0x7FFFFFFF), np.int32(0)
        for g in range(n):
            row = c * n + g
            if peek(radii, row) > 0 and peek(opacities, row) >= _ALPHA_MIN:
                # Bits of positive floats are in the order of their values. A negative near plane lets negative
                # depths through: their bits are turned round.
                poke(bits, 0, peek(depths, row))
                key = peek(bits_as_int, 0)
                if key < 0:
                    key = -(key & np.int32(0x7FFFFFFF))
                low, high = min(low, key), max(high, key)
                poke(keys, m, key)
                poke(ids, m, row)
                m += 1
        span = np.int64(high) - np.int64(low)
        shift = 0
        while m > 1 and (span >> shift) > 0:
            histogram[:] = 0
            for i in range(m):
                digit = ((np.int64(peek(keys, i)) - low) >> shift) & ((1 << _RADIX) - 1)
                poke(histogram, digit, peek(histogram, digit) + 1)
            total = 0
            for digit in range(1 << _RADIX):
                count = peek(histogram, digit)
                poke(histogram, digit, total)
                total += count
            for i in range(m):
                key = peek(keys, i)
                digit = ((np.int64(key) - low) >> shift) & ((1 << _RADIX) - 1)
                at = peek(histogram, digit)
                poke(histogram, digit, at + 1)
                poke(spare_keys, at, key)
                poke(spare_ids, at, peek(ids, i))
            keys, spare_keys = spare_keys, keys
            ids, spare_ids = spare_ids, ids
            shift += _RADIX
        for i in range(m):
            poke(order, c * n + i, peek(ids, i))
        poke(counts, c, m)


@device
def _log2(x, bits, bits_as_int):
    """Return the logarithm of a positive float to 2e-7; `bits` and `bits_as_int` are one number's memory.

    x = 2ᵉ·m with √½ ≤ m < √2, and ln m = 2·artanh((m - 1) / (m + 1)).
    """
    poke(bits, 0, x)
    exponent = (peek(bits_as_int, 0) - _SQRT_HALF_BITS) >> 23
    poke(bits_as_int, 0, peek(bits_as_int, 0) - (exponent << 23))
    m = peek(bits, 0)
    s = (m - _ONE) / (m + _ONE)
    s2 = s * s
    series = ((_TWO_LOG2E / _NINE * s2 + _TWO_LOG2E / _SEVEN) * s2 + _TWO_LOG2E / _FIVE) * s2 + _TWO_LOG2E / _THREE
    return np.float32(exponent) + s * (series * s2 + _TWO_LOG2E)


@device
def _first_tile(x):
    """Return the tile of the first pixel whose centre is not before x; 0 where that is outside, and for NaN."""
    tile = (x - _HALF) * _PER_TILE
    return np.int64(min(tile, _MANY)) if tile > _ZERO else 0


@device
def _end_tile(x, tiles):
    """Return one past the tile of the last pixel whose centre is not behind x, at most `tiles`; that also for NaN."""
    tile = (x - _HALF) * _PER_TILE
    if not tile < np.float32(tiles):
        return tiles
    return np.int64(tile + _ONE) if tile > -_ONE else 0


@device
def _write_shape(a, b, c, t, v, limit, tile_rows, shape, at):
    """Return what the tile test needs of the ellipse a·x² + b·x·y + c·y² ≤ t around a centre in the row v.

    The shape is (first tile row, end, reach, tilt, slope, wide, narrow): the ellipse goes `reach` to either side, to
    the right at y = `tilt` and to the left at -`tilt`; at y it covers -slope·y ± √(wide - narrow·y²). `limit` is an
    upper bound of its extent, for thin ellipses whose determinant is lost in rounding.
    """
    t = t * np.float32(1.0001) + np.float32(1e-4)
    inv_a = np.float32(1.0) / a
    det = max(_FOUR * a * c - b * b, _TINY)
    scale = _FOUR * t / det
    half_height = min(limit, np.float32(np.sqrt(scale * a)))
    reach = min(limit, np.float32(np.sqrt(scale * c)))
    poke(shape, at, _first_tile(v - half_height))
    poke(shape, at + 1, _end_tile(v + half_height, tile_rows))
    poke(shape, at + 2, reach)
    poke(shape, at + 3, -_HALF * b * reach / c)
    poke(shape, at + 4, _HALF * b * inv_a)
    poke(shape, at + 5, t * inv_a)
    poke(shape, at + 6, det * _HALF * _HALF * inv_a * inv_a)
    poke(shape, at + 7, 0.0)


@device
def _tile_columns(shape, at, u, v, tile_row, tile_columns):
    """Return the tile columns, first and end, that the ellipse meets within the pixel centres of one tile row."""
    reach, tilt, slope = peek(shape, at + 2), peek(shape, at + 3), peek(shape, at + 4)
    wide, narrow = peek(shape, at + 5), peek(shape, at + 6)
    top = np.float32(tile_row * TILE) + _HALF - v
    bottom = top + np.float32(TILE - 1)
    right, left = reach, reach
    y = min(max(tilt, top), bottom)
    if y != tilt:
        right = min(reach, np.float32(np.sqrt(max(wide - narrow * y * y, _ZERO))) - slope * y)
    y = min(max(-tilt, top), bottom)
    if y != -tilt:
        left = min(reach, np.float32(np.sqrt(max(wide - narrow * y * y, _ZERO))) + slope * y)
    return _first_tile(u - left), _end_tile(u + right, tile_columns)


@kernel
def pack(
    queue, gaussians, projected, colors, n, stride, color_channels, per_camera_colors, with_depth, tile_rows,
    tile_columns, records, shapes, tiles_per_gauss, counts,
):  # fmt: skip
    """Fill in the records and count each chunk's entries per tile. Items are chunks of the records.

    A record is (u, v, a, b, c, opacity, t, 0, channels …): alpha at (x, y) from the centre is opacity · 2^-q with
    q = a·x² + b·x·y + c·y², and is at least 1/255 where q ≤ t.
    """
    means2d, depths, conics, opacities, radii = projected
    m = gaussians.size
    tiles = tile_rows * tile_columns
    channels = stride - GEOMETRY
    bits = np.empty(1, np.float32)
    bits_as_int = bits.view(np.int32)
    for chunk in items(queue):
        base = chunk * (counts.size // _CHUNKS)
        for i in range(counts.size // _CHUNKS):
            poke(counts, base + i, 0)
        for r in range(m * chunk // _CHUNKS, m * (chunk + 1) // _CHUNKS):
            row = np.int64(peek(gaussians, r))
            camera = 0 if row < n else row // n
            at = r * stride
            opacity = peek(opacities, row)
            t = max(_log2(np.float32(255.0) * opacity, bits, bits_as_int), _ZERO)
            poke(records, at, peek(means2d, row * 2))
            poke(records, at + 1, peek(means2d, row * 2 + 1))
            poke(records, at + 2, _HALF * _LOG2E * peek(conics, row * 3))
            poke(records, at + 3, _LOG2E * peek(conics, row * 3 + 1))
            poke(records, at + 4, _HALF * _LOG2E * peek(conics, row * 3 + 2))
            poke(records, at + 5, opacity)
            poke(records, at + 6, t)
            poke(records, at + 7, 0.0)
            color_row = row if per_camera_colors else row - camera * n
            for k in range(color_channels):
                poke(records, at + GEOMETRY + k, peek(colors, color_row * color_channels + k))
            used = color_channels
            if with_depth:
                poke(records, at + GEOMETRY + used, peek(depths, row))
                used += 1
            for k in range(used, channels):
                poke(records, at + GEOMETRY + k, 0.0)

            # The radius is at least 3σ of the longer axis; the ellipse ends at √(2·t·ln 2)·σ.
            sigmas = np.float32(np.sqrt(_TWO * _LN2 * t)) + np.float32(0.01)
            limit = np.float32(peek(radii, row)) * sigmas * np.float32(1.0 / 3.0) + np.float32(0.01)
            a, b, c = peek(records, at + 2), peek(records, at + 3), peek(records, at + 4)
            u, v = peek(records, at), peek(records, at + 1)
            _write_shape(a, b, c, t, v, limit, tile_rows, shapes, r * _SHAPE)
            touched = 0
            for ty in range(np.int64(peek(shapes, r * _SHAPE)), np.int64(peek(shapes, r * _SHAPE + 1))):
                first, end = _tile_columns(shapes, r * _SHAPE, u, v, ty, tile_columns)
                touched += max(end - first, 0)
                for tile in range(camera * tiles + ty * tile_columns + first, camera * tiles + ty * tile_columns + end):
                    poke(counts, base + tile, peek(counts, base + tile) + 1)
            poke(tiles_per_gauss, row, touched)


@kernel
def add_up(queue, gaussians, counts, tiles_per_gauss, tile_starts, first_slots):
    """Turn the counts into positions, in place; one item."""
    take(queue)
    tiles = tile_starts.size - 1
    total = 0
    for tile in range(tiles):
        poke(tile_starts, tile, total)
        for chunk in range(_CHUNKS):
            count = peek(counts, chunk * tiles + tile)
            poke(counts, chunk * tiles + tile, total)
            total += count
    poke(tile_starts, tiles, total)
    total = 0
    for r in range(gaussians.size):
        poke(first_slots, r, total)
        total += peek(tiles_per_gauss, peek(gaussians, r))
    poke(first_slots, gaussians.size, total)


@kernel
def fill(queue, gaussians, records, shapes, n, stride, tile_rows, tile_columns, positions, first_slots, entries):
    """Write the tiles' lists. Items are chunks of the records."""
    m = gaussians.size
    tiles = tile_rows * tile_columns
    for chunk in items(queue):
        base = chunk * (positions.size // _CHUNKS)
        for r in range(m * chunk // _CHUNKS, m * (chunk + 1) // _CHUNKS):
            u, v = peek(records, r * stride), peek(records, r * stride + 1)
            row_base = base + np.int64(peek(gaussians, r)) // n * tiles
            slot = peek(first_slots, r)
            for ty in range(np.int64(peek(shapes, r * _SHAPE)), np.int64(peek(shapes, r * _SHAPE + 1))):
                first, end = _tile_columns(shapes, r * _SHAPE, u, v, ty, tile_columns)
                for at in range(row_base + ty * tile_columns + first, row_base + ty * tile_columns + end):
                    position = peek(positions, at)
                    poke(positions, at, position + 1)
                    poke(entries, position * 2, r)
                    poke(entries, position * 2 + 1, slot)
                    slot += 1


def bin_gaussians(
    projected: Projected,
    colors: np.ndarray,
    cameras: int,
    tile_rows: int,
    tile_columns: int,
    *,
    color_channels: int,
    per_camera_colors: bool,
    with_depth: bool,
) -> Bins:
    """List the Gaussians of each tile. `colors` [N, channels], or [C, N, channels] with `per_camera_colors`, flat."""
    n = projected.depths.size // cameras
    tiles = cameras * tile_rows * tile_columns
    stride = GEOMETRY + 8 * -(-(color_channels + with_depth) // 8)
    order = np.empty(cameras * n, np.int32)
    seen = np.zeros(cameras, np.int64)
    visible = projected.radii, projected.depths, projected.opacities
    run(sort_by_depth, cameras if n else 0, *visible, n, order, seen)
    gaussians = np.concatenate([order[c * n : c * n + seen[c]] for c in range(cameras)] or [order])

    m = len(gaussians)
    records = np.empty(m * stride, np.float32)
    shapes = np.empty(m * _SHAPE, np.float32)
    tiles_per_gauss = np.zeros(cameras * n, np.int32)
    counts = np.empty(_CHUNKS * tiles, np.int32)
    tile_starts, first_slots = np.empty(tiles + 1, np.int64), np.empty(m + 1, np.int64)
    layout = n, stride, color_channels, per_camera_colors, with_depth, tile_rows, tile_columns
    run(pack, _CHUNKS, gaussians, projected, colors, *layout, records, shapes, tiles_per_gauss, counts)
    run(add_up, 1, gaussians, counts, tiles_per_gauss, tile_starts, first_slots)
    entries = np.empty(int(tile_starts[-1]) * 2, np.int32)
    run(fill, _CHUNKS, gaussians, records, shapes, n, stride, tile_rows, tile_columns, counts, first_slots, entries)
    tiles_by_length = np.argsort(-np.diff(tile_starts), kind="stable")
    lists = first_slots, tile_starts, entries, tiles_by_length
    return Bins(gaussians, tiles_per_gauss, records, stride, *lists, tile_rows, tile_columns)
