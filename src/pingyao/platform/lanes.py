"""Sixty-four bytes at a time: vector instructions for the kernel, in LLVM's portable form.

LLVM turns these into AVX-512, AVX2 or NEON, whatever the machine has. Memory is given by its
address, an integer, which costs nothing to hand on; whoever calls answers for its bounds.
"""

# pyright: basic
# Numba gives these functions types of its own.

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic as _intrinsic

WIDTH = 64
# The checker would ask callers for the typing context, which Numba gives by itself.
intrinsic: Any = _intrinsic

_BYTE, _WORD = ir.IntType(8), ir.IntType(64)
_LANES = ir.VectorType(_BYTE, WIDTH)
# First and last byte of every class whose mask is returned, in this order.
_PLAIN = (
    (0x30, 0x39),  # digits
    (0x41, 0x5A),  # capital letters
    (0x61, 0x7A),  # small letters
)
_OTHER = (
    (0xE4, 0xE9),  # first bytes of Han characters
    (0x80, 0xFF),  # all that is not ASCII
    (0x2A, 0x2A),  # *
    (0x2E, 0x2E),  # .
    (0x40, 0x40),  # @
    (0x20, 0x20),  # blank
    (0x2D, 0x2D),  # -
    (0x29, 0x29),  # )
)


def _load(builder, args, kind):
    place = builder.inttoptr(builder.add(args[0], args[1]), kind.as_pointer())
    return builder.load(place, align=1)


def _masks(classes):
    """Makes the function that returns a bit mask of 64 bytes for every class."""
    result = types.UniTuple(types.uint64, len(classes))

    def codegen(context, builder, signature, args):
        lanes = _load(builder, args, _LANES)
        masks = []
        for first, last in classes:
            moved = builder.sub(lanes, ir.Constant(_LANES, [first] * WIDTH))
            span = ir.Constant(_LANES, [last - first] * WIDTH)
            masks.append(builder.bitcast(builder.icmp_unsigned("<=", moved, span), _WORD))
        return context.make_tuple(builder, signature.return_type, masks)

    return result(types.int64, types.int64), codegen


@intrinsic
def plain(_, base, at):
    """Returns, of the 64 bytes from ``at``, where digits, capital and small letters are."""
    return _masks(_PLAIN)


@intrinsic
def other(_, base, at):
    """Returns where Han characters begin, what is not ASCII, and where the marks are: ``*.@ -)``."""
    return _masks(_OTHER)


@intrinsic
def word(_, base, at):
    """Returns the eight bytes from ``at`` as a little-endian number."""

    def codegen(context, builder, signature, args):
        return _load(builder, args, _WORD)

    return types.uint64(types.int64, types.int64), codegen


@intrinsic
def folded(_, a, b):
    """Returns the upper and the lower half of a 128-bit product, put together: a hash's one step."""

    def codegen(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(x, wide) for x in args))
        upper = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), _WORD)
        return builder.xor(upper, builder.trunc(product, _WORD))

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def byte(_, base, at):
    """Returns the byte at ``at``."""

    def codegen(context, builder, signature, args):
        return builder.zext(_load(builder, args, _BYTE), _WORD)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def put(_, base, at, value):
    """Writes a byte at ``at``."""

    def codegen(context, builder, signature, args):
        place = builder.inttoptr(builder.add(args[0], args[1]), _BYTE.as_pointer())
        builder.store(builder.trunc(args[2], _BYTE), place, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def ones(_, mask):
    """Returns how many bits are set."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.uint64), codegen


@intrinsic
def first_one(_, mask):
    """Returns the place of the lowest bit set; 64 when there is none."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


@njit(inline="always")
def low(count):
    """Returns a mask of the lowest ``count`` bits, 0 to 64."""
    if count >= 64:
        return ~np.uint64(0)
    return (np.uint64(1) << np.uint64(count)) - np.uint64(1)
