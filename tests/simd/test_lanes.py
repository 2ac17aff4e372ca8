"""Every operation on lanes, lane by lane, against numpy."""

import numpy as np
import pytest

from macro_splat.simd import kernel, run, take
from macro_splat.simd.lanes import (
    LANES,
    absolute,
    bits_of,
    ceil,
    f32x8,
    fetch_add,
    float_from_bits,
    floor,
    i32x8,
    iota,
    lane_max,
    lane_or,
    lane_sum,
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

# Whole numbers, halves, both zeros, a tie, infinity and NaN: what comparisons and rounding can get wrong.
X = np.array([1.5, -2.25, 0.0, -0.0, 3.0, np.inf, np.nan, -7.5], np.float32)
Y = np.array([2.0, -2.5, -0.0, 1.0, 3.0, 1.0, 1.0, np.nan], np.float32)
I = np.array([1, -2, 0, 7, 2**31 - 1, -(2**31), 12, -1], np.int32)
J = np.array([3, -2, 5, 1, 1, 31, 4, 2], np.int32)


@kernel
def _floats(queue, x, y, s, out):
    while take(queue) >= 0:
        a, b = load(x, 0), load(y, 0)
        store(out, 0 * LANES, a + b)
        store(out, 1 * LANES, a - s)
        store(out, 2 * LANES, s * b)
        store(out, 3 * LANES, a / b)
        store(out, 4 * LANES, -a)
        store(out, 5 * LANES, sqrt(absolute(a)))
        store(out, 6 * LANES, floor(a))
        store(out, 7 * LANES, ceil(a))
        store(out, 8 * LANES, minimum(a, b))
        store(out, 9 * LANES, maximum(a, s))
        store(out, 10 * LANES, select(a < b, a, s))
        store(out, 11 * LANES, f32x8(s))
        store(out, 12 * LANES, float_from_bits(bits_of(a)))
        store(out, 13 * LANES, to_float(iota()))


def test_float_lanes_against_numpy():
    s = np.float32(2.5)
    out = np.empty(14 * LANES, np.float32)
    run(_floats, 1, X, Y, s, out)
    with np.errstate(all="ignore"):
        want = [X + Y, X - s, s * Y, X / Y, -X, np.sqrt(np.abs(X)), np.floor(X), np.ceil(X)]
        want += [np.where(X < Y, X, Y), np.where(s < X, X, s), np.where(X < Y, X, s), np.full(8, s), X, np.arange(8)]
    np.testing.assert_array_equal(out.reshape(-1, LANES), np.array(want, np.float32))
    assert np.signbit(out[4 * LANES + 2])  # -0 is negative


@kernel
def _masks(queue, x, y, i, j, out):
    while take(queue) >= 0:
        a, b, c, d = load(x, 0), load(y, 0), load(i, 0), load(j, 0)
        poke(out, 0, mask_bits(a < b))
        poke(out, 1, mask_bits(a <= b))
        poke(out, 2, mask_bits(a > b))
        poke(out, 3, mask_bits(a >= b))
        poke(out, 4, mask_bits(a == b))
        poke(out, 5, mask_bits(a != b))
        poke(out, 6, mask_bits(c < d))
        poke(out, 7, mask_bits(c == d))
        poke(out, 8, mask_bits((a < b) & ~(c < d)))
        poke(out, 9, mask_bits((a < b) | (c < d)))
        poke(out, 10, mask_bits((a < b) ^ (c < d)))
        poke(out, 11, mask_bits(c >= 1))


def test_comparisons_against_numpy():
    out = np.empty(12, np.int64)
    run(_masks, 1, X, Y, I, J, out)
    less, whole = X < Y, I < J
    masks = [
        less,
        X <= Y,
        X > Y,
        X >= Y,
        X == Y,
        X != Y,
        whole,
        I == J,
        less & ~whole,
        less | whole,
        less ^ whole,
        I >= 1,
    ]
    assert out.tolist() == [int(np.packbits(m, bitorder="little")[0]) for m in masks]


@kernel
def _integers(queue, i, j, out, scalars):
    while take(queue) >= 0:
        a, b = load(i, 0), load(j, 0)
        store(out, 0 * LANES, a + b)
        store(out, 1 * LANES, a - 1)
        store(out, 2 * LANES, a * b)
        store(out, 3 * LANES, a & b)
        store(out, 4 * LANES, a | 4)
        store(out, 5 * LANES, a ^ b)
        store(out, 6 * LANES, ~a)
        store(out, 7 * LANES, a << (b & 31))
        store(out, 8 * LANES, a >> (b & 31))
        store(out, 9 * LANES, maximum(a, b))
        store(out, 10 * LANES, i32x8(-3))
        store(out, 11 * LANES, to_int(to_float(b) + 0.75))
        poke(scalars, 0, lane_sum(b))
        poke(scalars, 1, lane_or(b))
        poke(scalars, 2, lane_max(a))


def test_integer_lanes_against_numpy():
    out, scalars = np.empty(12 * LANES, np.int32), np.empty(3, np.int64)
    run(_integers, 1, I, J, out, scalars)
    shift = J & 31
    with np.errstate(over="ignore"):
        want = [I + J, I - 1, I * J, I & J, I | 4, I ^ J, ~I, I << shift, I >> shift, np.maximum(I, J), np.full(8, -3)]
    want.append(np.trunc(J + 0.75))
    np.testing.assert_array_equal(out.reshape(-1, LANES), np.array(want).astype(np.int32))
    assert scalars.tolist() == [J.sum(), np.bitwise_or.reduce(J), I.max()]


@kernel
def _sums(queue, rows, out):
    while take(queue) >= 0:
        v = (load(rows, 0), load(rows, 8), load(rows, 16), load(rows, 24))
        w = (load(rows, 32), load(rows, 40), load(rows, 48), load(rows, 56))
        store(out, 0, lane_sums(v[0], v[1], v[2], v[3], w[0], w[1], w[2], w[3]))
        for k in range(8):
            poke(out, 8 + k, lane_sum(load(rows, 8 * k)))


def test_sums_over_lanes():
    rows = np.random.default_rng(0).integers(-1000, 1000, (8, 8)).astype(np.float32)  # exact in any order
    out = np.empty(16, np.float32)
    run(_sums, 1, rows.ravel(), out)
    assert out.tolist() == [*rows.sum(1), *rows.sum(1)]


@kernel
def _unaligned(queue, x, out):
    while take(queue) >= 0:
        for start in range(9):
            store(out, 8 * start + 1, load(x, start))


def test_loads_and_stores_need_no_alignment():
    x = np.arange(17, dtype=np.float32)
    out = np.full(8 * 9 + 1, -1, np.float32)
    run(_unaligned, 1, x, out)
    assert out[0] == -1
    np.testing.assert_array_equal(out[1:].reshape(9, 8), np.arange(9)[:, None] + np.arange(8))


@kernel
def _scalars(queue, numbers, counter, out):
    while take(queue) >= 0:
        for k in range(numbers.size):
            poke(out, k, trailing_zeros(peek(numbers, k)))
        poke(out, numbers.size, fetch_add(counter, 1, 5))
        poke(out, numbers.size + 1, fetch_add(counter, 1, -2))


def test_bit_search_and_atomic_addition():
    numbers = np.array([1, 2, 12, 1 << 40, -(1 << 63)], np.int64)
    counter, out = np.array([100, 7], np.int64), np.empty(7, np.int64)
    run(_scalars, 1, numbers, counter, out)
    assert out.tolist() == [0, 1, 2, 40, 63, 7, 12]
    assert counter.tolist() == [100, 10]


@kernel
def _mixed_up(queue, x, i):
    while take(queue) >= 0:
        store(x, 0, load(x, 0) + load(i, 0))


def test_lanes_of_different_types_do_not_mix():
    from numba.core.errors import TypingError

    with pytest.raises(TypingError):
        run(_mixed_up, 1, X.copy(), I)
