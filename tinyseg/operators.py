"""The one table that gives Tensor its operators and methods; nothing else adds to it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import creation, exchange, hooks
from .engine import Tensor, is_grad_enabled
from .errors import BoundsError, DTypeError, GraphError, ShapeError
from .ops import activation as act
from .ops import (
    arrange,
    choice,
    comparison,
    distance,
    elementwise,
    functions,
    indexing,
    linalg,
    order,
    reduce,
    sampling,
    shape,
    statistics,
    writing,
)
from .ops.checks import check_broadcast, element_type, is_float, tensor_arg
from .spelling import numpys

__all__: list[str] = []


def _reflected(function: Any) -> Any:
    return lambda self, other: function(other, self)


def _refused(sign: str) -> Any:
    def refuse(self: Tensor, *_: Any) -> Tensor:
        raise GraphError(f"{sign}: Tensors are not changed in place; write t = t {sign[:-1]} ... or t.assign_(value)")

    return refuse


def _set_item(self: Tensor, index: Any, value: Any) -> None:
    raise GraphError("t[...] = value: Tensors are not changed in place; use t.assign_(value) or ts.where(...)")


def _filled(self: Tensor, value: Any) -> Tensor:
    """`assign_` of one number to every element."""
    if np.ndim(value.data if isinstance(value, Tensor) else value):
        raise ShapeError(f"fill_: value must be a number or a Tensor without axes, got shape {np.shape(value)}")
    _refuse_graph("fill_", "value", value)
    return self.assign_(value.item() if isinstance(value, Tensor) else value)


def _copied(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """`assign_` of a Tensor of any type, on any device, that broadcasts to this one's shape."""
    source = tensor_arg("copy_", "src", src)
    if check_broadcast("copy_", self.shape, source.shape) != self.shape:
        raise ShapeError(f"copy_: src {source.shape} does not stretch to shape {self.shape}")
    _refuse_graph("copy_", "src", source)
    return self.assign_(shape.broadcast_to(source.detach(), *self.shape))


def _refuse_graph(caller: str, name: str, value: Any) -> None:
    if isinstance(value, Tensor) and value.requires_grad and is_grad_enabled():
        raise GraphError(f"{caller}: {name} requires grad and the graph would not see it; use {name}.detach()")


# NumPy calls the method of the name of these with arguments of its own, such as `out`
REDUCTIONS = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "cumprod",
    "cumsum",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]


def _array_function(self: Tensor, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """NumPy's functions take a Tensor as an array, but for those that would call its methods."""
    name = function.__name__
    if name in REDUCTIONS:
        raise DTypeError(f"np.{name}: expected an array, got a Tensor; use t.{name}(...) or np.{name}(t.numpy())")
    return function._implementation(*args, **kwargs)


KINDS = ["Half", "BFloat16", "Float", "Double", "Byte", "Char", "Short", "Int", "Long", "Bool"]
TYPES = ["float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"]
TYPE_NAMES = {name: f"torch.{kind}Tensor" for kind, name in zip(KINDS, TYPES, strict=True)}
TYPES_OF = {theirs: ours for ours, theirs in TYPE_NAMES.items()}


def _type(self: Tensor, dtype: Any = None) -> Any:
    """The Tensor in another element type; without one PyTorch's name for its own: 'torch.FloatTensor', ..."""
    if dtype is None:
        name = TYPE_NAMES.get(self.dtype.name, self.dtype.name)
        return name if self.device == "cpu" else name.replace("torch.", "torch.cuda.")
    wanted = TYPES_OF.get(dtype, dtype) if isinstance(dtype, str) else dtype
    return elementwise.to(self, dtype=element_type("type", wanted))


def _stride(self: Tensor, dim: int | None = None) -> Any:
    """How many elements apart neighbours along each axis are, or along `dim`; a Tensor is C-contiguous."""
    steps = tuple(math.prod(max(n, 1) for n in self.shape[i + 1 :]) for i in range(self.ndim))
    if dim is None:
        return steps
    if not -self.ndim <= dim < self.ndim:
        raise BoundsError(f"stride: dim {dim} is out of range for a Tensor with {self.ndim} axes")
    return steps[dim]


def _compared(function: Any) -> Any:
    def compare(self: Tensor, other: Any) -> Any:
        return (
            function(self, other) if hasattr(other, "__array__") or isinstance(other, int | float) else NotImplemented
        )

    return compare


def _contains(self: Tensor, value: Any) -> bool:
    return bool(comparison.eq(self, value).data.any())


def _format(self: Tensor, spec: str) -> str:
    return format(self.item(), spec) if spec else str(self)


def _index(self: Tensor) -> int:
    if self.dtype.kind not in "biu" or self.data.size != 1:
        raise DTypeError(f"index: expected one integer, got a Tensor of type {self.dtype} and shape {self.shape}")
    return int(self.data.item())


def _truth(self: Tensor) -> bool:
    if self.data.size != 1:
        raise ShapeError(f"bool: the truth of a Tensor of shape {self.shape} is ambiguous; use .any() or .all()")
    return bool(self.data.item())


def _length(self: Tensor) -> int:
    if self.ndim == 0:
        raise ShapeError("len: a Tensor without axes has no length")
    return int(self.shape[0])


def _elements(self: Tensor) -> Iterator[Tensor]:
    return (self[i] for i in range(_length(self)))


def _size(self: Tensor, dim: int | None = None) -> Any:
    if dim is None:
        return self.shape
    if not -self.ndim <= dim < self.ndim:
        raise BoundsError(f"size: dim {dim} is out of range for a Tensor with {self.ndim} axes")
    return self.shape[dim]


TABLE: dict[str, Any] = {
    # arithmetic
    "__add__": elementwise.add,
    "__radd__": _reflected(elementwise.add),
    "__sub__": elementwise.sub,
    "__rsub__": _reflected(elementwise.sub),
    "__mul__": elementwise.mul,
    "__rmul__": _reflected(elementwise.mul),
    "__truediv__": elementwise.div,
    "__rtruediv__": _reflected(elementwise.div),
    "__floordiv__": elementwise.floor_divide,
    "__rfloordiv__": _reflected(elementwise.floor_divide),
    "__mod__": elementwise.remainder,
    "__rmod__": _reflected(elementwise.remainder),
    "__pow__": elementwise.pow,
    "__rpow__": _reflected(elementwise.pow),
    "__matmul__": linalg.matmul,
    "__rmatmul__": _reflected(linalg.matmul),
    "__neg__": elementwise.neg,
    "__abs__": elementwise.abs_,
    # comparisons; an object keeps its identity as its hash
    "__eq__": _compared(comparison.eq),
    "__ne__": _compared(comparison.ne),
    "__lt__": _compared(comparison.lt),
    "__le__": _compared(comparison.le),
    "__gt__": _compared(comparison.gt),
    "__ge__": _compared(comparison.ge),
    "__and__": comparison.bitwise_and,
    "__rand__": comparison.bitwise_and,
    "__or__": comparison.bitwise_or,
    "__ror__": comparison.bitwise_or,
    "__xor__": comparison.bitwise_xor,
    "__rxor__": comparison.bitwise_xor,
    "__invert__": comparison.bitwise_not,
    # Python's protocols
    "__getitem__": indexing.getitem,
    "__setitem__": _set_item,
    "__len__": _length,
    "__iter__": _elements,
    "__contains__": _contains,
    "__format__": _format,
    "__index__": _index,
    "__bool__": _truth,
    "__float__": lambda self: float(self.item()),
    "__int__": lambda self: int(self.item()),
    **{name: _refused(sign) for name, sign in (("__iadd__", "+="), ("__isub__", "-="), ("__imul__", "*="))},
    **{name: _refused(sign) for name, sign in (("__itruediv__", "/="), ("__ipow__", "**="), ("__imatmul__", "@="))},
    "__array_function__": _array_function,
    "__dlpack__": exchange.dlpack,
    "__dlpack_device__": exchange.dlpack_device,
    # methods under PyTorch's names
    "register_hook": hooks.register_hook,
    "register_post_accumulate_grad_hook": hooks.register_post_accumulate_grad_hook,
    "retain_grad": hooks.retain_grad,
    "fill_": _filled,
    "zero_": lambda self: self.assign_(0),
    "copy_": _copied,
    "size": _size,
    **dict.fromkeys(("dim", "ndimension"), lambda self: self.ndim),
    **dict.fromkeys(("numel", "nelement"), reduce.numel),
    "element_size": lambda self: self.dtype.itemsize,
    "itemsize": property(lambda self: self.dtype.itemsize),
    "nbytes": property(lambda self: self.data.nbytes),
    "is_cuda": property(lambda self: self.device != "cpu"),
    "is_floating_point": lambda self: is_float(self.dtype),
    "is_contiguous": lambda self: True,
    "T": property(lambda self: shape.permute(self, *reversed(range(self.ndim)))),
    "mT": property(lambda self: shape.transpose(self, -1, -2)),
    "clone": lambda self: elementwise.Clone()(self),
    "float": lambda self: self.to("float32"),
    "double": lambda self: self.to("float64"),
    "half": lambda self: self.to("float16"),
    "bfloat16": lambda self: self.to("bfloat16"),
    "long": lambda self: self.to("int64"),
    "int": lambda self: self.to("int32"),
    "short": lambda self: self.to("int16"),
    "byte": lambda self: self.to("uint8"),
    "type": _type,
    "stride": _stride,
    "type_as": lambda self, other: self.to(tensor_arg("type_as", "other", other)),
    "bool": lambda self: self.to("bool"),
    "cpu": lambda self: self.to("cpu"),
    "cuda": lambda self: self.to("cuda"),
    "contiguous": lambda self: self,  # every Tensor is C-contiguous
    "view": lambda self, *sizes, size=None: shape.reshape(self, *sizes, shape=size),
    "expand": shape.broadcast_to,
    "view_as": lambda self, other: shape.reshape(self, *other.shape),
    "expand_as": lambda self, other: shape.broadcast_to(self, *other.shape),
    "abs": elementwise.abs_,
    **{f.__name__: f for f in (elementwise.add, elementwise.sub, elementwise.mul, elementwise.div, elementwise.pow)},
    **{f.__name__: f for f in (elementwise.neg, elementwise.exp, elementwise.log, elementwise.sqrt, elementwise.rsqrt)},
    **{f.__name__: f for f in (elementwise.square, elementwise.reciprocal, elementwise.sin, elementwise.cos)},
    **{f.__name__: f for f in (elementwise.sign, choice.clamp, choice.maximum, choice.minimum, choice.lerp)},
    **{f.__name__: f for f in (choice.masked_fill, comparison.isnan, comparison.isfinite, elementwise.to)},
    **{f.__name__: f for f in (comparison.logical_and, comparison.logical_or, comparison.logical_not)},
    "where": lambda self, condition, other: choice.where(condition, self, other),
    **{f.__name__: f for f in (functions.log1p, functions.expm1, functions.log2, functions.log10, functions.exp2)},
    **{f.__name__: f for f in (functions.erf, functions.tan, functions.atan, functions.floor, functions.ceil)},
    **{f.__name__: f for f in (functions.trunc, functions.round)},
    **{name: getattr(comparison, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{f.__name__: f for f in (reduce.sum, reduce.mean, reduce.var, reduce.std, reduce.amax, reduce.amin, reduce.max)},
    **{f.__name__: f for f in (reduce.min, reduce.argmax, reduce.argmin, reduce.logsumexp, reduce.all, reduce.any)},
    **{f.__name__: f for f in (reduce.prod, reduce.cumsum, reduce.cumprod)},
    **{f.__name__: f for f in (shape.reshape, shape.flatten, shape.squeeze, shape.unsqueeze, shape.permute)},
    **{f.__name__: f for f in (shape.transpose, shape.broadcast_to, shape.split, shape.chunk, shape.flip)},
    **{f.__name__: f for f in (linalg.matmul, linalg.mm, linalg.bmm, linalg.mv, linalg.dot, linalg.outer)},
    **{f.__name__: f for f in (linalg.addmm, linalg.baddbmm)},
    "clip": choice.clamp,
    "unfold": arrange.windows,
    **{f.__name__: f for f in (choice.clamp_min, choice.clamp_max, choice.nan_to_num, comparison.isinf)},
    **{f.__name__: f for f in (comparison.isclose, comparison.allclose, comparison.equal, comparison.logical_xor)},
    **{f.__name__: f for f in (functions.asin, functions.acos, functions.atan2, functions.sinh, functions.cosh)},
    **{f.__name__: f for f in (functions.frac, functions.fmod, functions.logaddexp, functions.addcmul)},
    **{f.__name__: f for f in (functions.addcdiv, elementwise.remainder, elementwise.floor_divide)},
    **{f.__name__: f for f in (reduce.aminmax, reduce.nansum, reduce.nanmean, reduce.count_nonzero, reduce.cummax)},
    **{f.__name__: f for f in (reduce.cummin, reduce.logcumsumexp, distance.norm, distance.dist, linalg.inner)},
    **{f.__name__: f for f in (statistics.median, statistics.kthvalue, statistics.mode, statistics.quantile)},
    **{f.__name__: f for f in (statistics.unique, statistics.bincount, statistics.histc)},
    **{f.__name__: f for f in (arrange.diff, arrange.rot90, arrange.diag_embed)},
    "bernoulli": sampling.bernoulli,
    "multinomial": sampling.multinomial,
    **creation.NEW,
    "reshape_as": lambda self, other: shape.reshape(self, *other.shape),
    "moveaxis": arrange.movedim,
    "swapdims": arrange.swapdims,
    **{f.__name__: f for f in (arrange.roll, arrange.fliplr, arrange.flipud, arrange.movedim, arrange.swapaxes)},
    **{f.__name__: f for f in (arrange.unflatten, arrange.ravel, arrange.t, arrange.repeat, arrange.tile)},
    **{f.__name__: f for f in (arrange.repeat_interleave, arrange.tril, arrange.triu, arrange.diagonal)},
    **{f.__name__: f for f in (arrange.diag, arrange.trace, arrange.tensor_split)},
    **{f.__name__: f for f in (order.sort, order.argsort, order.topk)},
    **{f.__name__: f for f in (indexing.select, indexing.narrow, indexing.unbind, indexing.index_select)},
    **{f.__name__: f for f in (indexing.gather, indexing.take_along_dim, indexing.masked_select, indexing.nonzero)},
    "argwhere": indexing.argwhere,
    **{f.__name__: f for f in (writing.scatter, writing.scatter_add, writing.index_add, writing.index_copy)},
    **{f.__name__: f for f in (writing.index_fill, writing.masked_scatter)},
    **{f.__name__: f for f in (act.relu, act.sigmoid, act.tanh, act.softmax, act.log_softmax)},
    **{f.__name__: f for f in (act.hardshrink, act.prelu)},
}

for _name, _function in {**TABLE, **numpys(TABLE, "tinyseg.ops.")}.items():
    setattr(Tensor, _name, _function)
