"""Eight numbers at once, for functions that numba compiles: loaded from a flat array, multiplied, added and stored as one value.

The compiler keeps such values in vector registers of whatever width the processor has. Places are not checked, and never count from the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

#: Numbers per value.
WIDTH = 8
#: numba describes what it decorates as what is decorated, which takes another first argument.
_intrinsic: Callable[[Any], Any] = intrinsic


class Lanes(types.Type):
    """The type of eight numbers of one scalar type."""

    def __init__(self, scalar: Any) -> None:
        super().__init__(f"Lanes({scalar})")
        self.scalar = scalar


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, _vector(kind.scalar))  # type: ignore[no-untyped-call]


def _vector(scalar: Any) -> ir.VectorType:
    return ir.VectorType(ir.FloatType() if scalar == types.float32 else ir.DoubleType(), WIDTH)


def _address(context: Any, builder: Any, array: Any, value: Any, place: Any, whole: bool) -> Any:
    """Where the number at `place` lies; as the address of eight of them if `whole`."""
    address = builder.gep(context.make_array(array)(context, builder, value).data, [place])
    return builder.bitcast(address, _vector(array.dtype).as_pointer()) if whole else address


def _bytes(scalar: Any) -> int:
    return int(scalar.bitwidth) // 8


@_intrinsic
def load(typing: Any, array: Any, place: Any) -> Any:
    """The eight numbers of `array` from `place` on."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        result = builder.load(_address(context, builder, array, values[0], values[1], whole=True))
        result.align = _bytes(array.dtype)
        return result

    return Lanes(array.dtype)(array, types.intp), code


@_intrinsic
def spread(typing: Any, array: Any, place: Any) -> Any:
    """The number at `place` of `array`, eight times."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        number = builder.load(_address(context, builder, array, values[0], values[1], whole=False))
        empty = ir.Constant(_vector(array.dtype), ir.Undefined)
        first = builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH))

    return Lanes(array.dtype)(array, types.intp), code


@_intrinsic
def store(typing: Any, array: Any, place: Any, lanes: Any) -> Any:
    """Write eight numbers into `array` from `place` on."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address = _address(context, builder, array, values[0], values[1], whole=True)
        builder.store(values[2], address, align=_bytes(array.dtype))
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@_intrinsic
def multiply_add(typing: Any, left: Any, right: Any, total: Any) -> Any:
    """`left * right + total`, rounded once where the processor can."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        product = builder.fmul(values[0], values[1], flags=("contract",))
        return builder.fadd(product, values[2], flags=("contract",))

    return total(left, right, total), code
