"""Copying memory in compiled code, by its address; whoever calls answers for its bounds."""

# pyright: basic
# Numba gives these functions types of its own.

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

# The checker would ask callers for the typing context, which Numba gives by itself.
intrinsic: Any = _intrinsic


@intrinsic
def copy(context, target, source, size):
    """Copies so many bytes to one address from another; the two places may not overlap."""

    def codegen(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        to, of = (builder.inttoptr(each, byte) for each in args[:2])
        cgutils.raw_memcpy(builder, to, of, args[2], ir.Constant(ir.IntType(64), 1))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen
