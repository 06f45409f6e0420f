"""Comparisons and logic, element by element: Tensors of booleans, which carry no gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import array_module
from ..engine import Tensor
from ..errors import ArgumentError, DTypeError
from .checks import as_tensor, check_broadcast, is_float, operands, same_kind, tensor_arg


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


def isinf(input: Tensor) -> Tensor:
    """Whether each element is infinite."""
    x = tensor_arg("isinf", "input", input)
    return Tensor(array_module(x.data).isinf(x.data))


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether |input - other| ≤ atol + rtol · |other|, or they are equal; with `equal_nan` NaN is close to NaN."""
    return _close("isclose", input, other, rtol, atol, equal_nan)


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close, see `isclose`."""
    return bool(_close("allclose", input, other, rtol, atol, equal_nan).data.all())


def _close(caller: str, input: Tensor, other: Tensor, rtol: float, atol: float, equal_nan: bool) -> Tensor:
    same_kind(caller, input=input, other=other)
    check_broadcast(caller, input.shape, other.shape)
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not value >= 0:
            raise ArgumentError(f"{caller}: {name} must not be negative, got {value}")
    a, b = input.data, other.data
    if a.dtype.name == "bfloat16" or a.dtype.kind == "b":
        a, b = a.astype(np.float32), b.astype(np.float32)
    with np.errstate(invalid="ignore"):
        return Tensor(array_module(a).asarray(array_module(a).isclose(a, b, rtol, atol, equal_nan)))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements; NaN equals nothing."""
    same_kind("equal", input=input, other=other)
    return input.shape == other.shape and bool((input.data == other.data).all())


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each of `elements` is among `test_elements`, or with `invert` is not; one of them may be a number."""
    model = elements if isinstance(elements, Tensor) else tensor_arg("isin", "test_elements", test_elements)
    a, b = (x if isinstance(x, Tensor) else as_tensor(x, model) for x in (elements, test_elements))
    found = array_module(model.data).isin(a.data, b.data, invert=invert)
    return Tensor(array_module(model.data).asarray(found))
