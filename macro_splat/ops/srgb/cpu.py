"""The sRGB curve and its slope for processors: eight values at a time, both in one pass."""

# Numba types what it compiles, by rules that mypy does not know.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import math

import numpy as np

from macro_splat.ops.srgb.constants import GAMMA, OFFSET, TOE, TOE_END
from macro_splat.simd import device, flat, items, kernel, run
from macro_splat.simd.lanes import (
    LANES,
    bits_of,
    f32x8,
    float_from_bits,
    floor,
    load,
    maximum,
    minimum,
    select,
    store,
    to_float,
    to_int,
)

_CHUNK = 1 << 13  # values per work item
_ROOT_HALF_BITS = np.int32(np.float32(math.sqrt(0.5)).view(np.int32))
_EXPONENT = np.int32(23)
_ONE = np.float32(1.0)
# 2 / ln 2 · artanh(s) = log2((1 + s) / (1 - s)), and 2 to the power of x: their series.
_L1, _L3, _L5, _L7, _L9 = (np.float32(2.0 / math.log(2.0) / n) for n in (1, 3, 5, 7, 9))
_E1, _E2, _E3, _E4, _E5, _E6 = (np.float32(math.log(2.0) ** n / math.factorial(n)) for n in range(1, 7))
_ZERO, _MAX = np.float32(0.0), np.float32(1e12)
_GAMMA, _PER_GAMMA, _TOE, _PER_TOE, _OFFSET, _SCALE, _PER_SCALE = (
    np.float32(c) for c in (GAMMA, 1 / GAMMA, TOE, 1 / TOE, OFFSET, 1 + OFFSET, 1 / (1 + OFFSET))
)
_TOE_END, _TOE_END_LIGHT = np.float32(TOE_END), np.float32(TOE_END / TOE)


def to_linear(x, value, slope):
    """Fill the tensors `value` and `slope` with those of the curve from sRGB to light at `x`: float32, 8 or more."""
    run(_to_linear, -(-x.numel() // _CHUNK), flat(x), flat(value), flat(slope))


def to_srgb(x, value, slope):
    """Do the same for the curve from light to sRGB."""
    run(_to_srgb, -(-x.numel() // _CHUNK), flat(x), flat(value), flat(slope))


@device
def _power(x, exponent):
    """Return x to the power of `exponent`, for x > 0 that is not subnormal, to 2e-6 of itself: 2 ** (e log2 x)."""
    bits = bits_of(x)
    octave = (bits - _ROOT_HALF_BITS) >> _EXPONENT
    mantissa = float_from_bits(bits - (octave << _EXPONENT))  # between the roots of 1/2 and 2
    s = (mantissa - _ONE) / (mantissa + _ONE)
    square = s * s
    logarithm = s * (_L1 + square * (_L3 + square * (_L5 + square * (_L7 + square * _L9))))
    # The octaves times the exponent are taken apart first: their product with a whole part would lose digits.
    whole = to_float(octave) * exponent
    rounded = floor(whole + logarithm * exponent + np.float32(0.5))
    rest = (whole - rounded) + logarithm * exponent
    power = _ONE + rest * (_E1 + rest * (_E2 + rest * (_E3 + rest * (_E4 + rest * (_E5 + rest * _E6)))))
    return power * float_from_bits((to_int(rounded) + np.int32(127)) << _EXPONENT)


@kernel
def _to_linear(queue, x, value, slope):
    for chunk in items(queue):
        for start in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, x.size), LANES):
            at = min(start, x.size - LANES)  # the last ones overlap those before
            given = load(x, at)
            base = minimum(maximum((given + _OFFSET) * _PER_SCALE, (_TOE_END + _OFFSET) * _PER_SCALE), _MAX)
            power = _power(base, _GAMMA)
            toe = given <= _TOE_END
            store(value, at, select(toe, given * _PER_TOE, power) + given * _ZERO)  # what is not a number stays so
            store(slope, at, select(toe, f32x8(_PER_TOE), power / base * (_GAMMA * _PER_SCALE)))


@kernel
def _to_srgb(queue, x, value, slope):
    for chunk in items(queue):
        for start in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, x.size), LANES):
            at = min(start, x.size - LANES)
            given = load(x, at)
            light = minimum(maximum(given, _TOE_END_LIGHT), _MAX)
            power = _SCALE * _power(light, _PER_GAMMA)
            toe = given <= _TOE_END_LIGHT
            store(value, at, select(toe, given * _TOE, power - _OFFSET) + given * _ZERO)
            store(slope, at, select(toe, f32x8(_TOE), power / light * _PER_GAMMA))
