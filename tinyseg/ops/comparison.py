"""Comparisons and logic, element by element: Tensors of booleans, which carry no gradient."""

from __future__ import annotations

from typing import Any

from ..device import array_module
from ..engine import Tensor
from ..errors import DTypeError
from .checks import is_float, operands, tensor_arg


def _comparison(name: str, numpys: str, sign: str) -> Any:
    def compare(input: Any, other: Any) -> Tensor:
        a, b = operands(name, input, other)
        return Tensor(getattr(array_module(a.data), numpys)(a.data, b.data))

    compare.__name__ = name
    compare.__doc__ = f"input {sign} other, element by element: a Tensor of booleans."
    return compare


eq = _comparison("eq", "equal", "==")
ne = _comparison("ne", "not_equal", "!=")
lt = _comparison("lt", "less", "<")
le = _comparison("le", "less_equal", "<=")
gt = _comparison("gt", "greater", ">")
ge = _comparison("ge", "greater_equal", ">=")
logical_and = _comparison("logical_and", "logical_and", "and")
logical_or = _comparison("logical_or", "logical_or", "or")
logical_xor = _comparison("logical_xor", "logical_xor", "xor")


def _bitwise(name: str, sign: str) -> Any:
    def combine(input: Any, other: Any) -> Tensor:
        a, b = operands(name, input, other)
        _refuse_reals(name, a)
        return Tensor(getattr(array_module(a.data), name)(a.data, b.data))

    combine.__name__ = name
    combine.__doc__ = f"input {sign} other, bit by bit, of integers or booleans."
    return combine


def _refuse_reals(name: str, x: Tensor) -> None:
    if is_float(x.dtype):
        raise DTypeError(f"{name}: expected integers or booleans, got {x.dtype}; compare first, or use ts.logical_...")


bitwise_and = _bitwise("bitwise_and", "&")
bitwise_or = _bitwise("bitwise_or", "|")
bitwise_xor = _bitwise("bitwise_xor", "^")


def bitwise_not(input: Tensor) -> Tensor:
    """Every bit turned; of booleans: not."""
    x = tensor_arg("bitwise_not", "input", input)
    _refuse_reals("bitwise_not", x)
    return Tensor(array_module(x.data).invert(x.data))


def logical_not(input: Tensor) -> Tensor:
    """Whether each element is zero."""
    x = tensor_arg("logical_not", "input", input)
    return Tensor(array_module(x.data).logical_not(x.data))


def isnan(input: Tensor) -> Tensor:
    """Whether each element is NaN."""
    x = tensor_arg("isnan", "input", input)
    return Tensor(array_module(x.data).isnan(x.data))


def isfinite(input: Tensor) -> Tensor:
    """Whether each element is neither NaN nor infinite."""
    x = tensor_arg("isfinite", "input", input)
    return Tensor(array_module(x.data).isfinite(x.data))
