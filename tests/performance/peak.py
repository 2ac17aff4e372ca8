"""What one thread of this processor can do at most: fused multiply-adds on eight float32 lanes at a time."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import time

import numpy as np

from macro_splat.simd import kernel, run, take
from macro_splat.simd.lanes import LANES, f32x8, load, store

_ROUNDS = 1_000_000
_CHAINS = 12  # independent, to fill the pipelines; with the two factors they fit sixteen registers


@kernel
def _multiply_add(queue, numbers, rounds):
    while take(queue) >= 0:
        m, p = load(numbers, 0), load(numbers, LANES)
        a, b, c, d = f32x8(0.1), f32x8(0.2), f32x8(0.3), f32x8(0.4)
        e, f, g, h = f32x8(0.5), f32x8(0.6), f32x8(0.7), f32x8(0.8)
        q, r, s, t = f32x8(0.9), f32x8(1.1), f32x8(1.2), f32x8(1.3)
        for _ in range(rounds):
            a, b, c, d = a * m + p, b * m + p, c * m + p, d * m + p
            e, f, g, h = e * m + p, f * m + p, g * m + p, h * m + p
            q, r, s, t = q * m + p, r * m + p, s * m + p, t * m + p
        store(numbers, 2 * LANES, a + b + c + d + e + f + g + h + q + r + s + t)


def measure_peak_flops() -> float:
    """Float32 operations per second of one thread, the best of several tries."""
    numbers = np.full(3 * LANES, 0.5, dtype=np.float32)
    run(_multiply_add, 1, numbers, 1000)
    best = float("inf")
    for _ in range(7):
        begin = time.thread_time()
        run(_multiply_add, 1, numbers, _ROUNDS)
        best = min(best, time.thread_time() - begin)
    return 2 * LANES * _CHAINS * _ROUNDS / best
