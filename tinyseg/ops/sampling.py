"""Tensors of random numbers, under PyTorch's names. The numbers are drawn on the CPU by a seeded generator, then moved:
a seed gives the same numbers on every device. They are not PyTorch's numbers.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..devices import to_cpu, to_device
from ..engine import Array, Tensor
from ..errors import ArgumentError, DTypeError, ShapeError
from ..random import Generator, default_generator
from .checks import DEFAULT_FLOAT, check_broadcast, element_type, is_float, real, tensor_arg
from .shape import sizes_of


def _numbers(caller: str, generator: Any) -> np.random.Generator:
    if generator is None:
        return default_generator()
    if not isinstance(generator, Generator):
        raise DTypeError(f"{caller}: generator must be a ts.Generator, got {type(generator).__name__}")
    return generator.numbers


def _size(caller: str, given: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    shape = tuple(sizes_of(caller, "size", given if size is None else [size]))
    if min(shape, default=0) < 0:
        raise ShapeError(f"{caller}: size must not be negative, got {shape}")
    return shape


def _real(caller: str, dtype: Any) -> np.dtype[Any]:
    found = DEFAULT_FLOAT if dtype is None else element_type(caller, dtype)
    if not is_float(found):
        raise DTypeError(f"{caller}: dtype must be a floating-point type, got {found}")
    return found


def _made(values: Array, dtype: Any, device: str | None, requires_grad: bool = False) -> Tensor:
    return Tensor(to_device(np.asarray(values).astype(dtype, copy=False), device), requires_grad)


def _uniform(numbers: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Numbers in [0, 1) of which rounding to `dtype` makes no 1: multiples of its spacing below 1."""
    if dtype.itemsize >= 4:
        return numbers.random(shape, dtype=dtype)
    steps = 2**11 if dtype == np.float16 else 2**8
    return np.floor(numbers.random(shape, dtype=np.float32) * steps) / steps


def _normal(numbers: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return numbers.standard_normal(shape, dtype=np.float64 if dtype == np.float64 else np.float32)


def rand(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform random numbers in [0, 1)."""
    shape, kind = _size("rand", sizes, size), _real("rand", dtype)
    return _made(_uniform(_numbers("rand", generator), shape, kind), kind, device, requires_grad)


def randn(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal random numbers of mean 0 and variance 1."""
    shape, kind = _size("randn", sizes, size), _real("randn", dtype)
    return _made(_normal(_numbers("randn", generator), shape, kind), kind, device, requires_grad)


def randint(
    *bounds: Any,
    low: int | None = None,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform random integers from `low` (0) to `high` - 1: `randint(high, size)` or `randint(low, high, size)`."""
    count = len(bounds) + sum(a is not None for a in (low, high, size))
    names = ["high", "size"] if count < 3 else ["low", "high", "size"]
    given = {"low": low, "high": high, "size": size}
    free = [name for name in names if given[name] is None]
    if len(bounds) != len(free):
        raise ArgumentError(f"randint: expected (high, size) or (low, high, size), got {len(bounds)} more arguments")
    given.update(zip(free, bounds, strict=True))
    shape = _size("randint", (), given["size"])
    return _made(
        _integers("randint", given["low"] or 0, given["high"], shape, _numbers("randint", generator)),
        np.int64 if dtype is None else element_type("randint", dtype),
        device,
        requires_grad,
    )


def _integers(caller: str, low: Any, high: Any, shape: tuple[int, ...], numbers: np.random.Generator) -> Array:
    try:
        first, last = operator.index(low), operator.index(high)
    except TypeError:
        raise DTypeError(f"{caller}: low and high must be integers, got {low!r} and {high!r}") from None
    if first >= last:
        raise ArgumentError(f"{caller}: low must be below high, got {first} and {last}")
    return numbers.integers(first, last, shape)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """The integers from 0 to `n` - 1 in random order."""
    (count,) = sizes_of("randperm", "n", [n])
    if count < 0:
        raise ArgumentError(f"randperm: n must not be negative, got {count}")
    kind = np.int64 if dtype is None else element_type("randperm", dtype)
    return _made(_numbers("randperm", generator).permutation(count), kind, device, requires_grad)


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform random numbers in [0, 1) with the shape, type and device of `input`."""
    x = tensor_arg("rand_like", "input", input)
    kind = _real("rand_like", x.dtype if dtype is None else dtype)
    return _made(_uniform(_numbers("rand_like", generator), x.shape, kind), kind, device or x.device, requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal random numbers with the shape, type and device of `input`."""
    x = tensor_arg("randn_like", "input", input)
    kind = _real("randn_like", x.dtype if dtype is None else dtype)
    return _made(_normal(_numbers("randn_like", generator), x.shape, kind), kind, device or x.device, requires_grad)


def randint_like(
    input: Tensor,
    *bounds: Any,
    low: int | None = None,
    high: int | None = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform random integers with the shape, type and device of `input`: `randint_like(x, high)`, `(x, low, high)`."""
    x = tensor_arg("randint_like", "input", input)
    ends = [*([low] if low is not None else []), *bounds, *([high] if high is not None else [])]
    if len(ends) not in (1, 2):
        raise ArgumentError(f"randint_like: expected high, or low and high, got {len(ends)} bounds")
    kind = x.dtype if dtype is None else element_type("randint_like", dtype)
    first, last = [0, *ends][-2:]
    values = _integers("randint_like", first, last, x.shape, _numbers("randint_like", generator))
    return _made(values, kind, device or x.device, requires_grad)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal random numbers of a mean and a standard deviation: numbers with a `size`, or Tensors that broadcast."""
    given = [t for t in (mean, std) if isinstance(t, Tensor)]
    for name, t in (("mean", mean), ("std", std)):
        if isinstance(t, Tensor) and not is_float(t.dtype):
            raise DTypeError(f"normal: {name} must be of a floating-point type, got {t.dtype}")
    if bool(given) == (size is not None):
        raise ArgumentError("normal: give size with two numbers, or a Tensor for mean or std")
    low = to_cpu(std.data).min(initial=0) if isinstance(std, Tensor) else std
    if low < 0:
        raise ArgumentError(f"normal: std must not be negative, got {low}")
    shape = _size("normal", (), size) if size is not None else ()
    for t in given:
        shape = check_broadcast("normal", shape, t.shape)
    kind = given[0].dtype if given else _real("normal", dtype)
    drawn = _made(_normal(_numbers("normal", generator), shape, kind), kind, given[0].device if given else device)
    values = drawn * _constant(std) + _constant(mean)
    return Tensor(values.data, requires_grad)


def _constant(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element of `input` says (or `p` for all of them), else 0, in input's type."""
    x = tensor_arg("bernoulli", "input", input)
    chances = to_cpu(x.data) if p is None else np.full(x.shape, p)
    if p is None and not is_float(x.dtype):
        raise DTypeError(f"bernoulli: input must be of a floating-point type, got {x.dtype}")
    if not ((chances >= 0) & (chances <= 1)).all():
        name, ends = "input" if p is None else "p", (float(chances.min()), float(chances.max()))
        raise ArgumentError(f"bernoulli: {name} must be probabilities between 0 and 1, got {ends[0]} to {ends[1]}")
    drawn = _made(_numbers("bernoulli", generator).random(x.shape) < chances, x.dtype, x.device)
    return drawn + x * 0.0 if x.requires_grad else drawn  # the gradient is 0, as in PyTorch


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """`num_samples` places drawn by the weights in `input`, for each row; without replacement no place twice.

    The weights need not add up to 1. **Shapes** input (C,) or (N, C); result (num_samples,) or (N, num_samples).
    """
    x = tensor_arg("multinomial", "input", input)
    weights = _checked_weights(x, num_samples, replacement)
    numbers = _numbers("multinomial", generator)
    if replacement:
        places = _with_replacement(weights, num_samples, numbers)
    else:  # the places in the order in which they would ring: waiting times with the weights as rates
        with np.errstate(divide="ignore"):
            waits = numbers.standard_exponential(weights.shape) / weights
        places = waits.argsort(axis=1, kind="stable")[:, :num_samples]
    return _made(places.reshape(*x.shape[:-1], num_samples), np.int64, x.device)


def _checked_weights(x: Tensor, count: int, replacement: bool) -> Array:
    if x.ndim not in (1, 2):
        raise ShapeError(f"multinomial: input must have 1 or 2 axes, got shape {x.shape}")
    real("multinomial", input=x)
    weights = np.atleast_2d(to_cpu(x.data).astype(np.float64))
    if sizes_of("multinomial", "num_samples", [count])[0] < 1:
        raise ArgumentError(f"multinomial: num_samples must be at least 1, got {count}")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ArgumentError("multinomial: input must hold weights that are finite and not negative")
    if not (weights > 0).any(axis=1).all():
        raise ArgumentError("multinomial: every row of input needs a weight above 0")
    able = int((weights > 0).sum(axis=1).min(initial=weights.shape[1]))
    if not replacement and count > able:
        raise ArgumentError(f"multinomial: num_samples {count} exceeds the {able} weights above 0 without replacement")
    return weights


def _with_replacement(weights: Array, count: int, numbers: np.random.Generator) -> Array:
    """One search in all rows at once: row i's cumulated weights run from i to i + 1."""
    rows, places = weights.shape
    ends = weights.cumsum(axis=1)
    ends = ends / ends[:, -1:] + np.arange(rows)[:, None]
    drawn = numbers.random((rows, count)) + np.arange(rows)[:, None]
    found = np.searchsorted(ends.ravel(), drawn.ravel(), side="right").reshape(rows, count)
    last = places - 1 - (weights[:, ::-1] > 0).argmax(axis=1)  # a number rounded up to the end belongs to this one
    return np.minimum(found - np.arange(rows)[:, None] * places, last[:, None])
