"""Eight lanes of LLVM's vector types for Numba kernels.

Numba's own loop vectoriser is left with scalar code by the branches of a rasterizer. Here the vectors are values of
the language: `F32x8` and `I32x8` carry eight numbers, `Mask8` eight truth values; the arithmetic and comparison
operators work on them and take scalars on either side (a scalar is spread over the lanes). LLVM turns them into the
widest registers of the machine at hand, be it AVX-512, AVX2, SSE2 or NEON.

All of it is for use inside functions compiled by Numba. Arrays are one-dimensional and contiguous, float32 or int32,
and are indexed without bounds checks.

Longer than other files: its three types share their operators and turn into each other.
"""

# mypy: disable-error-code="no-untyped-def, misc"

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.core.extending import intrinsic as numba_intrinsic
from numba.core.extending import lower_builtin, register_model
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

LANES = 8

# To type checkers an intrinsic is what its decorator makes of it, not the function of types that is written down.
intrinsic: Any = numba_intrinsic


class LaneType(types.Type):
    """The Numba type of eight lanes."""

    def __init__(self, name: str, lane: ir.Type, scalar: types.Type) -> None:
        super().__init__(name)
        self.vector = ir.VectorType(lane, LANES)
        self.scalar = scalar


F32x8 = LaneType("F32x8", ir.FloatType(), types.float32)
I32x8 = LaneType("I32x8", ir.IntType(32), types.int32)
Mask8 = LaneType("Mask8", ir.IntType(1), types.boolean)


@register_model(LaneType)
class _LaneModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, fe_type.vector)


def _constant(lane_type, values):
    return ir.Constant(lane_type.vector, list(values))


def _spread(builder, lane_type, scalar):
    """Spread a scalar over the lanes."""
    undefined = ir.Constant(lane_type.vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _widen(context, builder, lane_type, value, given_type):
    if given_type == lane_type:
        return value
    return _spread(builder, lane_type, context.cast(builder, value, given_type, lane_type.scalar))


def _call(builder, name, result, *arguments):
    module = builder.module
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, ir.FunctionType(result, [argument.type for argument in arguments]), name)
    return builder.call(function, arguments)


# Operators. Multiplications and additions may be fused where the machine has such an instruction, as in scalar
# kernels; nothing else of floating point arithmetic is relaxed, so that comparisons with NaN stay false.
_FLAGS = ("contract",)

_ARITHMETIC = {
    F32x8: {
        operator.add: lambda b, x, y: b.fadd(x, y, flags=_FLAGS),
        operator.sub: lambda b, x, y: b.fsub(x, y, flags=_FLAGS),
        operator.mul: lambda b, x, y: b.fmul(x, y, flags=_FLAGS),
        operator.truediv: lambda b, x, y: b.fdiv(x, y, flags=_FLAGS),
    },
    I32x8: {
        operator.add: lambda b, x, y: b.add(x, y),
        operator.sub: lambda b, x, y: b.sub(x, y),
        operator.mul: lambda b, x, y: b.mul(x, y),
        operator.and_: lambda b, x, y: b.and_(x, y),
        operator.or_: lambda b, x, y: b.or_(x, y),
        operator.xor: lambda b, x, y: b.xor(x, y),
        operator.lshift: lambda b, x, y: b.shl(x, y),
        operator.rshift: lambda b, x, y: b.ashr(x, y),
    },
    Mask8: {
        operator.and_: lambda b, x, y: b.and_(x, y),
        operator.or_: lambda b, x, y: b.or_(x, y),
        operator.xor: lambda b, x, y: b.xor(x, y),
    },
}
_COMPARISONS = {
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
}


def _lane_type_of(args):
    """Return the lane type that two operands meet in, or None."""
    lanes = {a for a in args if isinstance(a, LaneType)}
    if len(lanes) != 1:
        return None
    lane_type = lanes.pop()
    others = types.Number if lane_type is F32x8 else types.Boolean if lane_type is Mask8 else types.Integer
    return lane_type if all(a == lane_type or isinstance(a, others) for a in args) else None


def _define_operator(op, result_of, emitters) -> None:
    @infer_global(op)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) != 2 or kws:
                return None
            lane_type = _lane_type_of(args)
            if lane_type not in emitters:
                return None
            return signature(result_of(lane_type), *args)

    def lower(context, builder, sig, args):
        lane_type = _lane_type_of(sig.args)
        x, y = (_widen(context, builder, lane_type, v, t) for v, t in zip(args, sig.args, strict=True))
        return emitters[lane_type](builder, x, y)

    for operands in ((LaneType, LaneType), (LaneType, types.Any), (types.Any, LaneType)):
        lower_builtin(op, *operands)(lower)


def _define_operators() -> None:
    for op in {op for table in _ARITHMETIC.values() for op in table}:
        emitters = {lane_type: table[op] for lane_type, table in _ARITHMETIC.items() if op in table}
        _define_operator(op, lambda lane_type: lane_type, emitters)
    for op, symbol in _COMPARISONS.items():
        emitters = {
            F32x8: lambda b, x, y, s=symbol: b.fcmp_unordered(s, x, y) if s == "!=" else b.fcmp_ordered(s, x, y),
            I32x8: lambda b, x, y, s=symbol: b.icmp_signed(s, x, y),
        }
        _define_operator(op, lambda lane_type: Mask8, emitters)


_define_operators()


@infer_global(operator.neg)
class _NegTemplate(AbstractTemplate):
    def generic(self, args, kws):
        return signature(args[0], args[0]) if args and args[0] in (F32x8, I32x8) else None


@lower_builtin(operator.neg, LaneType)
def _lower_neg(context, builder, sig, args):
    return builder.fneg(args[0]) if sig.args[0] == F32x8 else builder.neg(args[0])


@infer_global(operator.invert)
class _InvertTemplate(AbstractTemplate):
    def generic(self, args, kws):
        return signature(args[0], args[0]) if args and args[0] in (Mask8, I32x8) else None


@lower_builtin(operator.invert, LaneType)
def _lower_invert(context, builder, sig, args):
    return builder.not_(args[0])


# Making lanes, and memory.


def _named(typing, name, text):
    """Make an intrinsic of a function of types that was made for many."""
    typing.__name__, typing.__doc__ = name, text
    return intrinsic(typing)


def _spreader(lane_type, text):
    def typing(typingctx, value):
        def codegen(context, builder, sig, args):
            return _widen(context, builder, lane_type, args[0], sig.args[0])

        return (signature(lane_type, value), codegen) if isinstance(value, types.Number) else None

    return _named(typing, lane_type.name.lower(), text)


f32x8 = _spreader(F32x8, "Spread a number over eight float32 lanes.")
i32x8 = _spreader(I32x8, "Spread a number over eight int32 lanes.")


@intrinsic
def iota(typingctx):
    """Return the lanes' numbers 0, 1, …, 7, as int32."""

    def codegen(context, builder, sig, args):
        return _constant(I32x8, range(LANES))

    return signature(I32x8), codegen


def _is_row(array):
    return isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"


def _lanes_of_array(array):
    if not _is_row(array):
        return None
    return {types.float32: F32x8, types.int32: I32x8}.get(array.dtype)


def _address(context, builder, sig, args, pointee):
    array = context.make_array(sig.args[0])(context, builder, args[0])
    index = context.cast(builder, args[1], sig.args[1], types.intp)
    return builder.bitcast(builder.gep(array.data, [index]), pointee.as_pointer())


@intrinsic
def load(typingctx, array, index):
    """Read eight neighbours starting at `array[index]`; no alignment needed."""
    lane_type = _lanes_of_array(array)
    if lane_type is None:
        return None

    def codegen(context, builder, sig, args):
        return builder.load(_address(context, builder, sig, args, lane_type.vector), align=4)

    return signature(lane_type, array, index), codegen


@intrinsic
def store(typingctx, array, index, value):
    """Write eight lanes to `array[index : index + 8]`; no alignment needed."""
    if _lanes_of_array(array) != value:
        return None

    def codegen(context, builder, sig, args):
        builder.store(args[2], _address(context, builder, sig, args, value.vector), align=4)
        return context.get_dummy_value()

    return signature(types.none, array, index, value), codegen


@intrinsic
def peek(typingctx, array, index):
    """Read `array[index]` of a numeric array without a bounds check or the wrapping of negative indices."""
    if not _is_row(array):
        return None

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, sig, args, context.get_data_type(array.dtype))
        return builder.load(pointer)

    return signature(array.dtype, array, index), codegen


@intrinsic
def poke(typingctx, array, index, value):
    """Write `array[index] = value`, likewise."""
    if not _is_row(array):
        return None

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, sig, args, context.get_data_type(array.dtype))
        number = context.cast(builder, args[2], sig.args[2], array.dtype)
        builder.store(number, pointer)
        return context.get_dummy_value()

    return signature(types.none, array, index, value), codegen


# Arithmetic that has no operator.


def _unary(name, llvm_name, text):
    def typing(typingctx, value):
        def codegen(context, builder, sig, args):
            return _call(builder, f"llvm.{llvm_name}.v8f32", F32x8.vector, args[0])

        return (signature(F32x8, F32x8), codegen) if value == F32x8 else None

    return _named(typing, name, text)


sqrt = _unary("sqrt", "sqrt", "Square root of float lanes.")
absolute = _unary("absolute", "fabs", "Absolute value of float lanes.")
floor = _unary("floor", "floor", "Largest whole number not above, of float lanes.")
ceil = _unary("ceil", "ceil", "Smallest whole number not below, of float lanes.")


def _chooser(name, symbol, text):
    def typing(typingctx, x, y):
        lane_type = _lane_type_of((x, y))
        if lane_type not in (F32x8, I32x8):
            return None

        def codegen(context, builder, sig, args):
            a, b = (_widen(context, builder, lane_type, v, t) for v, t in zip(args, sig.args, strict=True))
            compare = builder.fcmp_ordered if lane_type is F32x8 else builder.icmp_signed
            return builder.select(compare(symbol, a, b), a, b)

        return signature(lane_type, x, y), codegen

    return _named(typing, name, text)


minimum = _chooser("minimum", "<", "The smaller lane of each pair; the second where one is NaN.")
maximum = _chooser("maximum", ">", "The larger lane of each pair; the second where one is NaN.")


@intrinsic
def select(typingctx, mask, x, y):
    """Choose, lane by lane, `x` where the mask is set and `y` elsewhere; either may be a scalar."""
    lane_type = _lane_type_of((x, y))
    if mask != Mask8 or lane_type is None:
        return None

    def codegen(context, builder, sig, args):
        a, b = (_widen(context, builder, lane_type, v, t) for v, t in zip(args[1:], sig.args[1:], strict=True))
        return builder.select(args[0], a, b)

    return signature(lane_type, mask, x, y), codegen


def _conversion(name, source, target, instruction, text):
    def typing(typingctx, value):
        def codegen(context, builder, sig, args):
            return getattr(builder, instruction)(args[0], target.vector)

        return (signature(target, source), codegen) if value == source else None

    return _named(typing, name, text)


to_int = _conversion("to_int", F32x8, I32x8, "fptosi", "Truncate float lanes to int32; undefined if they do not fit.")
to_float = _conversion("to_float", I32x8, F32x8, "sitofp", "Convert int32 lanes to float32.")
bits_of = _conversion("bits_of", F32x8, I32x8, "bitcast", "Read the bits of float lanes as int32.")
float_from_bits = _conversion("float_from_bits", I32x8, F32x8, "bitcast", "Read the bits of int32 lanes as float32.")


# From eight lanes to one number.


@intrinsic
def mask_bits(typingctx, mask):
    """Pack a mask into the low eight bits of an int32, lane 0 lowest."""

    def codegen(context, builder, sig, args):
        return builder.zext(builder.bitcast(args[0], ir.IntType(8)), ir.IntType(32))

    return (signature(types.int32, Mask8), codegen) if mask == Mask8 else None


def _shuffle(builder, x, y, picks):
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(ir.IntType(32), len(picks)), list(picks)))


def _fold(builder, x, combine):
    """Combine the lanes pairwise, halves first: always the same order, so that sums are reproducible."""
    width = LANES
    while width > 1:
        width //= 2
        low = _shuffle(builder, x, x, range(width))
        high = _shuffle(builder, x, x, range(width, 2 * width))
        x = combine(low, high)
    return builder.extract_element(x, ir.Constant(ir.IntType(32), 0))


def _folder(name, emitters, text):
    """Make the intrinsic that combines lanes of a type by what `emitters` holds for it, from the builder and a pair."""

    def typing(typingctx, value):
        def codegen(context, builder, sig, args):
            return _fold(builder, args[0], lambda x, y: emitters[value](builder, x, y))

        return (signature(value.scalar, value), codegen) if value in emitters else None

    return _named(typing, name, text)


_SUM = {F32x8: lambda b, x, y: b.fadd(x, y), I32x8: lambda b, x, y: b.add(x, y)}  # no flags: in this order
_OR = {I32x8: _ARITHMETIC[I32x8][operator.or_]}
_MAX = {I32x8: lambda b, x, y: b.select(b.icmp_signed(">", x, y), x, y)}
lane_sum = _folder("lane_sum", _SUM, "Add up the lanes.")
lane_or = _folder("lane_or", _OR, "Bitwise or of the lanes.")
lane_max = _folder("lane_max", _MAX, "The largest of int32 lanes.")


@intrinsic
def lane_sums(typingctx, v0, v1, v2, v3, v4, v5, v6, v7):
    """Add up the lanes of eight vectors at once: lane i of the result is the sum of the i-th argument."""
    vectors = (v0, v1, v2, v3, v4, v5, v6, v7)
    if any(v != F32x8 for v in vectors):
        return None

    def codegen(context, builder, sig, args):
        # Three rounds, each halving the number of vectors: the sums of neighbouring lanes of two vectors, then of
        # pairs, then of halves. The shuffles stay within 128-bit halves, where they are cheap, until the last.
        def pairs(x, y):
            even = _shuffle(builder, x, y, (0, 2, 8, 10, 4, 6, 12, 14))
            odd = _shuffle(builder, x, y, (1, 3, 9, 11, 5, 7, 13, 15))
            return builder.fadd(even, odd)

        p = [pairs(args[i], args[i + 1]) for i in range(0, 8, 2)]
        low, high = pairs(p[0], p[1]), pairs(p[2], p[3])
        left = _shuffle(builder, low, high, (0, 1, 2, 3, 8, 9, 10, 11))
        right = _shuffle(builder, low, high, (4, 5, 6, 7, 12, 13, 14, 15))
        return builder.fadd(left, right)

    return signature(F32x8, *vectors), codegen


# Scalars.


@intrinsic
def trailing_zeros(typingctx, value):
    """Return the number of the lowest set bit of an integer that is not zero."""
    if not isinstance(value, types.Integer):
        return None

    def codegen(context, builder, sig, args):
        return _trailing_zeros(builder, args[0])

    return signature(types.int64, value), codegen


def _trailing_zeros(builder, value):
    zero_is_undefined = ir.Constant(ir.IntType(1), 1)
    count = _call(builder, f"llvm.cttz.i{value.type.width}", value.type, value, zero_is_undefined)
    return count if value.type.width == 64 else builder.zext(count, ir.IntType(64))


@intrinsic
def fetch_add(typingctx, array, index, increment):
    """Add to an element of an int64 array as one indivisible step, and return what it was before."""
    if not _is_row(array) or array.dtype != types.int64:
        return None

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, sig, args, ir.IntType(64))
        amount = context.cast(builder, args[2], sig.args[2], types.int64)
        return builder.atomic_rmw("add", pointer, amount, "monotonic")

    return signature(types.int64, array, index, increment), codegen
