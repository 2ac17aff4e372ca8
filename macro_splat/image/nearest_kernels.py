"""The nearest known pixel by two sweeps over the image, each forth and back along every row."""

# Numba types what it compiles, by rules that mypy does not know.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from macro_splat.simd import device, kernel, run, take

_FAR = 1 << 14  # rows or columns off: farther than any image is wide


def nearest_known(known):
    """Row and column [H, W] int32 of the nearest pixel that is known; `known` [H, W] bool with at least one of them."""
    row, column = np.empty(known.shape, dtype=np.int32), np.empty(known.shape, dtype=np.int32)
    run(_sweep, 1, known, row, column)
    return row, column


@device
def _offer(row, column, y, x, from_y, from_x, best):
    """Take over a neighbour's pixel if it is closer than `best`; the square of the distance then."""
    r, c = row[from_y, from_x], column[from_y, from_x]
    distance = (r - y) * (r - y) + (c - x) * (c - x)
    if distance < best:
        row[y, x], column[y, x] = r, c
        return distance
    return best


@kernel
def _sweep(queue, known, row, column):
    if take(queue) < 0:
        return
    height, width = known.shape
    for y in range(height):
        for x in range(width):
            row[y, x] = y if known[y, x] else y - _FAR
            column[y, x] = x
    for down in range(2):
        for k in range(height):
            y = k if down == 0 else height - 1 - k
            before = y - 1 if down == 0 else y + 1
            inside = 0 <= before < height
            for forth in range(2):
                for j in range(width):
                    x = j if forth == 0 else width - 1 - j
                    if known[y, x]:
                        continue
                    r, c = row[y, x] - y, column[y, x] - x
                    best = r * r + c * c
                    if forth == 0:
                        if x > 0:
                            best = _offer(row, column, y, x, y, x - 1, best)
                        if inside:
                            if x > 0:
                                best = _offer(row, column, y, x, before, x - 1, best)
                            best = _offer(row, column, y, x, before, x, best)
                            if x < width - 1:
                                best = _offer(row, column, y, x, before, x + 1, best)
                    elif x < width - 1:
                        _offer(row, column, y, x, y, x + 1, best)
