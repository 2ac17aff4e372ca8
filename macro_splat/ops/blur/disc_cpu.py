"""The disc blur for processors.

Forward: running sums of all rows, then for every pixel the difference of two of their values per row of its disc.
Backward: the slope on a running sum's values is collected where the forward pass read them, and a running sum from the
right turns it into the slope on the pixels. Pixels of several rows collect in the same place, so each band of rows
collects in a strip of its own, and the strips are added up in their order: results do not depend on the threads.
"""

# Numba types what it compiles, by rules that mypy does not know.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import math

import numpy as np

from macro_splat.ops.blur.disc import MIN_RADIUS, TABLE_STEPS
from macro_splat.simd import device, kernel, run, take

_BAND = 16  # rows per work item
_STEPS, _MIN = np.float64(TABLE_STEPS), np.float32(MIN_RADIUS)


def blur(image, radius, table, blurred, height, width, channels):
    """Fill `blurred`, float32 [H·W·C]; return the running sums and the covered areas, which the backward pass needs.

    `image` [H·W·C] and `radius` [H·W], float32; `table` [K, rows] of half-widths.
    """
    sums = np.empty((height, width + 2, channels), dtype=np.float64)
    area = np.empty(height * width, dtype=np.float32)
    bands = -(-height // _BAND)
    run(_sum_rows, bands, image, sums, height, width, channels)
    run(_blur_rows, bands, sums, radius, table, blurred, area, height, width, channels)
    return sums, area


def blur_backward(radius, table, blurred, state, upstream, gradient, by_radius, height, width, channels):
    """Fill `gradient` [H·W·C] and `by_radius` [H·W] with the derivatives by image and radius, given `upstream`'s."""
    sums, area = state
    bands = -(-height // _BAND)
    first_row = np.arange(bands) * _BAND
    band_radius = np.zeros(bands * _BAND, dtype=np.float32)
    band_radius[:height] = radius.reshape(height, width).max(axis=1)
    reach = np.ceil(band_radius.reshape(bands, _BAND).max(axis=1) + 0.5).astype(np.int64)
    top = np.maximum(first_row - reach, 0)
    bottom = np.minimum(first_row + _BAND + reach, height)  # exclusive
    offset = np.concatenate([[0], np.cumsum(bottom - top)])
    strips = np.zeros((offset[-1], width + 2, channels), dtype=np.float32)
    touched = np.empty((offset[-1], 2), dtype=np.int32)  # first and last column of each of their rows
    touched[:] = (width + 2, -1)
    sizes = (height, width, channels)
    run(
        _spread_rows,
        bands,
        sums,
        radius,
        table,
        blurred,
        area,
        upstream,
        top,
        offset,
        strips,
        touched,
        by_radius,
        *sizes,
    )
    run(_collect_rows, bands, top, bottom, offset, strips, touched, gradient, *sizes)


@kernel
def _sum_rows(queue, image, sums, height, width, channels):
    while True:
        band = take(queue)
        if band < 0:
            break
        for y in range(band * _BAND, min((band + 1) * _BAND, height)):
            for c in range(channels):
                total = 0.0
                for x in range(width):
                    sums[y, x, c] = total
                    total += image[(y * width + x) * channels + c]
                sums[y, width, c] = total
                sums[y, width + 1, c] = total


@device
def lookup(table, radius):
    """Where the table holds a radius, and how many rows its disc has: its row, -1 if it is too large, and the share."""
    at = np.float64(radius) * _STEPS
    k = int(at)
    if k + 1 < table.shape[0]:
        return k, at - k, table.shape[1]
    return -1, np.float64(radius), int(radius + 1.5)


@device
def half_width(table, k, share, dy):
    """Half-width of a disc in a row, and its slope by the radius. `k`, `share`: of `lookup`."""
    if k >= 0:
        growth = table[k + 1, dy] - table[k, dy]
        return table[k, dy] + growth * share, growth * _STEPS
    inner, outer = (dy - 0.5) / share, min((dy + 0.5) / share, 1.0)
    if inner >= 1.0:
        return 0.0, 0.0
    angle = math.asin(outer) - math.asin(inner)
    chords = outer * math.sqrt(1.0 - outer * outer) - inner * math.sqrt(1.0 - inner * inner)
    return 0.5 * share * share * (chords + angle), share * angle


@kernel
def _blur_rows(queue, sums, radius, table, blurred, area, height, width, channels):
    total = np.empty(channels, dtype=np.float64)
    while True:
        band = take(queue)
        if band < 0:
            break
        for y in range(band * _BAND, min((band + 1) * _BAND, height)):
            for x in range(width):
                pixel = y * width + x
                if radius[pixel] <= _MIN:  # most of a plain background
                    area[pixel] = 1.0
                    for c in range(channels):
                        blurred[pixel * channels + c] = sums[y, x + 1, c] - sums[y, x, c]
                    continue
                k, share, rows = lookup(table, radius[pixel])
                covered = 0.0
                for c in range(channels):
                    total[c] = 0.0
                for dy in range(min(rows, height)):
                    half, _ = half_width(table, k, share, dy)
                    if half == 0.0:
                        break
                    left, right = max(x + 0.5 - half, 0.0), min(x + 0.5 + half, np.float64(width))
                    i, j = int(left), int(right)
                    u, v = left - i, right - j
                    for side in range(2 if dy > 0 else 1):
                        row = y + dy if side == 0 else y - dy
                        if row < 0 or row >= height:
                            continue
                        covered += right - left
                        for c in range(channels):
                            low = sums[row, i, c] + (sums[row, i + 1, c] - sums[row, i, c]) * u
                            high = sums[row, j, c] + (sums[row, j + 1, c] - sums[row, j, c]) * v
                            total[c] += high - low
                area[pixel] = covered
                for c in range(channels):
                    blurred[pixel * channels + c] = total[c] / covered


@kernel
def _spread_rows(
    queue,
    sums,
    radius,
    table,
    blurred,
    area,
    upstream,
    top,
    offset,
    strips,
    touched,
    by_radius,
    height,
    width,
    channels,
):
    part = np.empty(channels, dtype=np.float64)
    while True:
        band = take(queue)
        if band < 0:
            break
        shift = offset[band] - top[band]
        for y in range(band * _BAND, min((band + 1) * _BAND, height)):
            for x in range(width):
                pixel = y * width + x
                by_radius[pixel] = 0.0
                any_slope = False
                for c in range(channels):
                    any_slope |= upstream[pixel * channels + c] != 0.0
                if not any_slope:
                    continue
                if radius[pixel] <= _MIN:
                    touched[shift + y, 0] = min(touched[shift + y, 0], x)
                    touched[shift + y, 1] = max(touched[shift + y, 1], x + 1)
                    for c in range(channels):
                        strips[shift + y, x + 1, c] += upstream[pixel * channels + c]
                        strips[shift + y, x, c] -= upstream[pixel * channels + c]
                    continue
                k, share, rows = lookup(table, radius[pixel])
                through = 0.0  # Σ upstream · blurred / area
                for c in range(channels):
                    part[c] = upstream[pixel * channels + c] / area[pixel]
                    through += part[c] * blurred[pixel * channels + c]
                slope = 0.0
                for dy in range(min(rows, height)):
                    half, growth = half_width(table, k, share, dy)
                    if half == 0.0:
                        break
                    left, right = x + 0.5 - half, x + 0.5 + half
                    grows_left, grows_right = left > 0.0, right < width
                    left, right = max(left, 0.0), min(right, np.float64(width))
                    i, j = int(left), int(right)
                    u, v = left - i, right - j
                    for side in range(2 if dy > 0 else 1):
                        row = y + dy if side == 0 else y - dy
                        if row < 0 or row >= height:
                            continue
                        inside = 0.0
                        touched[shift + row, 0] = min(touched[shift + row, 0], i)
                        touched[shift + row, 1] = max(touched[shift + row, 1], j + 1)
                        for c in range(channels):
                            strips[shift + row, j, c] += part[c] * (1.0 - v)
                            strips[shift + row, j + 1, c] += part[c] * v
                            strips[shift + row, i, c] -= part[c] * (1.0 - u)
                            strips[shift + row, i + 1, c] -= part[c] * u
                            if grows_right:
                                inside += part[c] * (sums[row, j + 1, c] - sums[row, j, c])
                            if grows_left:
                                inside += part[c] * (sums[row, i + 1, c] - sums[row, i, c])
                        slope += growth * (inside - through * (int(grows_left) + int(grows_right)))
                by_radius[pixel] = slope


@kernel
def _collect_rows(queue, top, bottom, offset, strips, touched, gradient, height, width, channels):
    line = np.empty((width + 2, channels), dtype=np.float64)
    total = np.empty(channels, dtype=np.float64)
    while True:
        band = take(queue)
        if band < 0:
            break
        for y in range(band * _BAND, min((band + 1) * _BAND, height)):
            line[:] = 0.0
            for other in range(top.shape[0]):
                if top[other] <= y < bottom[other]:
                    at = offset[other] + y - top[other]
                    for x in range(touched[at, 0], touched[at, 1] + 1):
                        for c in range(channels):
                            line[x, c] += strips[at, x, c]
            # The last value stands for the one before it, as the running sums end with the same value twice.
            for c in range(channels):
                total[c] = line[width + 1, c]
            for x in range(width - 1, -1, -1):
                for c in range(channels):
                    total[c] += line[x + 1, c]
                    gradient[(y * width + x) * channels + c] = total[c]
