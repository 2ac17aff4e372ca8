"""The nearest known pixel, first within every row, then across the rows, as far as the best so far leaves a chance."""

# Numba types what it compiles, by rules that mypy does not know.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import math

import numpy as np

from macro_splat.simd import items, kernel, run
from macro_splat.simd.lanes import LANES, i32x8, lane_max, load, minimum, peek, poke, select, store

_BAND = 16  # rows per work item
_NONE = 1 << 15  # columns off: farther than any image is wide


def nearest_known(values, known, limit):
    """Return the value [H, W] of the nearest known pixel, and its distance: 0 and infinity where that is over `limit`.

    `values` floating point [H, W], `known` bool [H, W], `limit` in pixels.
    """
    height, width = known.shape
    pitch = width + LANES
    off = np.empty(height * pitch, dtype=np.int32)  # squared distance to the nearest known pixel of the row
    column = np.empty(height * pitch, dtype=np.int32)  # and where that is
    carried = np.empty(height * width, dtype=values.dtype)
    distance = np.empty(height * width, dtype=values.dtype)
    bands = -(-height // _BAND)
    run(_scan_rows, bands, known.reshape(-1).view(np.uint8), off, column, height, width)
    limit = math.floor(min(limit, height + width))
    run(_scan_columns, bands, values.reshape(-1), off, column, limit, carried, distance, height, width)
    return carried.reshape(height, width), distance.reshape(height, width)


@kernel
def _scan_rows(queue, known, off, column, height, width):
    pitch = width + LANES
    for band in items(queue):
        for y in range(band * _BAND, min((band + 1) * _BAND, height)):
            last = -_NONE
            for x in range(width):
                if peek(known, y * width + x) != 0:
                    last = x
                poke(column, y * pitch + x, last)
            last = width + _NONE
            for x in range(width - 1, -1, -1):
                if peek(known, y * width + x) != 0:
                    last = x
                before = peek(column, y * pitch + x)
                nearest = before if x - before <= last - x else last
                poke(column, y * pitch + x, nearest)
                poke(off, y * pitch + x, (nearest - x) * (nearest - x))
            for x in range(width, pitch):
                poke(off, y * pitch + x, 0)  # beside the image: nothing to look for


@kernel
def _scan_columns(queue, values, off, column, limit, carried, distance, height, width):
    pitch = width + LANES
    rows = np.empty(LANES, dtype=np.int32)
    squares = np.empty(LANES, dtype=np.int32)
    for band in items(queue):
        for y in range(band * _BAND, min((band + 1) * _BAND, height)):
            for x in range(0, width, LANES):
                best, row = load(off, y * pitch + x), i32x8(y)
                best = minimum(best, i32x8(limit * limit + 1))
                for dy in range(1, limit + 1):
                    square = dy * dy
                    if square >= lane_max(best):
                        break
                    if y >= dy:
                        offered = load(off, (y - dy) * pitch + x) + square
                        row = select(offered < best, i32x8(y - dy), row)
                        best = minimum(best, offered)
                    if y + dy < height:
                        offered = load(off, (y + dy) * pitch + x) + square
                        row = select(offered < best, i32x8(y + dy), row)
                        best = minimum(best, offered)
                store(rows, 0, row)
                store(squares, 0, best)
                for lane in range(min(LANES, width - x)):
                    pixel = y * width + x + lane
                    if squares[lane] > limit * limit:
                        poke(carried, pixel, 0.0)
                        poke(distance, pixel, np.inf)
                    else:
                        from_row = rows[lane]
                        poke(carried, pixel, peek(values, from_row * width + peek(column, from_row * pitch + x + lane)))
                        poke(distance, pixel, np.sqrt(np.float32(squares[lane])))
