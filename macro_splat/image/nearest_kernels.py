"""The nearest known pixel by two sweeps over the image, each forth and back along every row."""

# Numba types what it compiles, by rules that mypy does not know.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from macro_splat.simd import device, kernel, run, take


def nearest_known(known):
    """Flat index [H, W] int64 of the nearest pixel that is known; `known` [H, W] bool with at least one of them."""
    height, width = known.shape
    source = np.full((height, width), -1, dtype=np.int64)
    run(_sweep, 1, known, source)
    return source


@device
def _offer(source, y, x, from_y, from_x, best):
    """Take over a neighbour's source if it is closer than `best`; the square of the distance then."""
    height, width = source.shape
    if from_y < 0 or from_y >= height or from_x < 0 or from_x >= width:
        return best
    index = source[from_y, from_x]
    if index < 0:
        return best
    row, column = index // width, index % width
    distance = (row - y) * (row - y) + (column - x) * (column - x)
    if distance < best:
        source[y, x] = index
        return distance
    return best


@device
def _own(source, y, x):
    index = source[y, x]
    if index < 0:
        return np.int64(1) << 60
    row, column = index // source.shape[1], index % source.shape[1]
    return (row - y) * (row - y) + (column - x) * (column - x)


@kernel
def _sweep(queue, known, source):
    if take(queue) < 0:
        return
    height, width = source.shape
    for y in range(height):
        for x in range(width):
            if known[y, x]:
                source[y, x] = y * width + x
    for down in range(2):
        for k in range(height):
            y = k if down == 0 else height - 1 - k
            before = y - 1 if down == 0 else y + 1
            for x in range(width):
                if not known[y, x]:
                    best = _own(source, y, x)
                    best = _offer(source, y, x, y, x - 1, best)
                    best = _offer(source, y, x, before, x - 1, best)
                    best = _offer(source, y, x, before, x, best)
                    best = _offer(source, y, x, before, x + 1, best)
            for x in range(width - 1, -1, -1):
                if not known[y, x]:
                    _offer(source, y, x, y, x + 1, _own(source, y, x))
