"""The engine: Tensor and Op, and how a graph records itself. Read this file first, then `backward.py`.

Calling an op on Tensors runs its `forward` on their arrays. If an input wants a gradient, the op instance itself
becomes the node of the graph: it keeps an edge to where each input came from and the few values its backward needs.
Edges point backward only (Tensor -> (op, slot) -> earlier ops), so nothing refers to what came out of it: a graph has
no cycles, and Python frees it by reference counting the moment its last Tensor goes.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Union, dataclass_transform

import numpy as np

from . import anomaly
from .devices import array_module, device_of, shares_memory, to_cpu, to_device
from .errors import ArgumentError, DeviceError, DTypeError, GraphError, ShapeError

__all__ = [
    "Array", "Edge", "Op", "Tensor", "Version", "autocast_type", "autocasting", "enable_grad", "inference_mode",
    "is_grad_enabled", "no_grad", "observer", "observing", "recording", "set_grad_enabled",
]  # fmt: skip

Array = Any  # numpy.ndarray or cupy.ndarray
Edge = Union[tuple["Op", int], "Tensor"]  # which output of which op, or a leaf, which is its own edge


class _Mode(threading.local):
    """What holds on this thread."""

    recording = True
    observer: Any = None
    autocast: Any = None


_mode = _Mode()
_created = itertools.count()


def is_grad_enabled() -> bool:
    """Whether ops record themselves on this thread."""
    return _mode.recording


@contextmanager
def _holding(name: str, value: Any) -> Iterator[None]:
    """Context in which an entry of the mode has a value, on this thread."""
    before = getattr(_mode, name)
    setattr(_mode, name, value)
    try:
        yield
    finally:
        setattr(_mode, name, before)


def recording(on: bool) -> Any:
    """Context in which ops record themselves, or do not."""
    return _holding("recording", on)


def observer() -> Any:
    """Whose `note(op, tensors)` is called with each op that is recorded on this thread; None for nobody's."""
    return _mode.observer


def observing(by: Any) -> Any:
    """Context in which `by` takes note of the ops that are recorded."""
    return _holding("observer", by)


def autocast_type() -> Any:
    """The half type that products run in on this thread (see casting.py); None: that of their Tensors."""
    return _mode.autocast


def autocasting(dtype: Any) -> Any:
    """Context in which products run in `dtype`."""
    return _holding("autocast", dtype)


def no_grad() -> Any:
    """Context (or decorator) in which no graph is recorded: `with ts.no_grad(): ...`."""
    return recording(False)


def enable_grad() -> Any:
    """Context (or decorator) in which the graph is recorded, inside `no_grad` too."""
    return recording(True)


def inference_mode(mode: bool = True) -> Any:
    """`no_grad` under another name: nothing here is faster for a Tensor that never meets a graph."""
    return recording(not mode)


class set_grad_enabled:
    """Say from now on whether ops record themselves; as a context or decorator, for its duration only."""

    def __init__(self, mode: bool) -> None:
        self.mode, self.before = bool(mode), is_grad_enabled()
        _mode.recording = self.mode

    def __call__(self, function: Callable[..., Any]) -> Any:
        _mode.recording = self.before
        return recording(self.mode)(function)

    def __enter__(self) -> set_grad_enabled:
        return self

    def __exit__(self, *_: Any) -> None:
        _mode.recording = self.before


class Version:
    """Counts the in-place writes to one piece of memory; Tensors that alias it share the count."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Tensor:
    """An array with, if it wants a gradient, the edge to where it came from.

    `ts.tensor(...)` is the friendly constructor; this one wraps an array as it is, without a copy.
    Operators and methods such as `+`, `@`, `.sum()` are bound in `operators.py`.
    """

    __slots__ = ("__weakref__", "_edge", "_hooks", "_leaf", "_version", "data", "grad")
    __array_ufunc__ = None  # `ndarray * t` asks Tensor.__rmul__ instead of dropping the graph

    data: Array
    grad: Tensor | None

    def __init__(self, data: Array, requires_grad: bool = False) -> None:
        if not hasattr(data, "dtype"):
            raise DTypeError(f"Tensor: data must be an array, got {type(data).__name__}; ts.tensor(...) makes one")
        self.data = np.asarray(data) if isinstance(data, np.generic) else data  # NumPy's functions of 0-d arrays
        self.grad = None
        self._edge: Edge | None = None
        self._hooks: dict[str, dict[Any, Any]] | None = None  # of a leaf, see hooks.py
        self._leaf = False
        self._version = Version()
        if requires_grad:
            self.requires_grad = True

    @staticmethod
    def _wrap(data: Array, edge: Edge | None, version: Version | None = None) -> Tensor:
        """What `__init__` makes of an array that an op returned: the common case, without its questions."""
        tensor = Tensor.__new__(Tensor)
        tensor.data, tensor.grad = data, None
        tensor._edge, tensor._hooks, tensor._leaf = edge, None, False
        tensor._version = Version() if version is None else version
        return tensor

    @property
    def edge(self) -> Edge | None:
        """Where a gradient with respect to this Tensor goes; None if it wants none."""
        return self if self._leaf else self._edge

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient flows to this Tensor."""
        return self._leaf or self._edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._edge is not None:
            raise GraphError("requires_grad: only a leaf can change it; use t.detach() for a Tensor without its graph")
        if value and self.data.dtype.kind != "f" and self.data.dtype.name != "bfloat16":
            raise DTypeError(f"requires_grad: only floating-point Tensors take gradients, got {self.data.dtype}")
        self._leaf = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` and return the Tensor."""
        self.requires_grad = requires_grad
        return self

    is_leaf = property(lambda self: self._edge is None, doc="Whether no op made this Tensor.")
    shape = property(lambda self: self.data.shape, doc="Sizes of all axes, a tuple.")
    dtype = property(lambda self: self.data.dtype, doc="Element type, a NumPy dtype.")
    ndim = property(lambda self: self.data.ndim, doc="Number of axes.")
    device = property(
        lambda self: device_of(self.data), doc="`ts.device`, 'cpu' or 'cuda:0', ...: the type of the array decides."
    )

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a NumPy array: a live view on the CPU, a copy from a GPU."""
        if self.requires_grad:
            raise GraphError("numpy: this Tensor requires grad and NumPy would drop its graph; use t.detach().numpy()")
        return to_cpu(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        """What `np.asarray(t)` gives: as `numpy()`, of another type if asked for."""
        values = self.numpy()
        if copy is False and (values is not self.data or (dtype is not None and np.dtype(dtype) != self.dtype)):
            raise ArgumentError(f"__array__: copy=False, but {self.dtype} on {self.device} must be copied")
        return np.array(values, dtype=dtype, copy=copy)

    def item(self) -> Any:
        """The only element as a Python number. **Raises** ShapeError if there is not exactly one."""
        if self.data.size != 1:
            raise ShapeError(f"item: expected a Tensor with one element, got shape {self.shape}")
        return self.data.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers; without axes, as one number."""
        return to_cpu(self.data).tolist()

    def detach(self) -> Tensor:
        """The same memory outside the graph."""
        return Tensor._wrap(self.data, None, self._version)

    def assign_(self, value: Any) -> Tensor:
        """Overwrite the values in place, the one door for it: `t.assign_(value)`. Shapes must match.

        A backward that still needs the old values raises GraphError. Only leaves can be assigned to.
        """
        source = value.data if isinstance(value, Tensor) else value
        if self._edge is not None:
            raise GraphError("assign_: this Tensor was computed by an op; only leaves can be assigned to")
        if np.shape(source) not in ((), self.shape):
            raise ShapeError(f"assign_: expected shape {self.shape}, got {np.shape(source)}")
        if not getattr(self.data.flags, "writeable", True):  # CuPy's arrays always are
            raise ArgumentError("assign_: this Tensor is on memory that may only be read; assign to t.clone()")
        self.data[...] = to_device(source, self.device) if hasattr(source, "dtype") else source
        self._version.count += 1
        return self

    def bump(self) -> None:
        """Tell the graph that `data` was written to in place (kernels of optimisers and running statistics)."""
        self._version.count += 1

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Add d(self)/d(leaf) to `.grad` of every leaf (or of `inputs` only); PyTorch's arguments.

        `gradient` weighs the elements of `self` and may be left out for a single element. The graph is released as the
        walk passes unless `retain_graph`. `.grad` never carries a graph: for higher derivatives use
        `ts.grad(..., create_graph=True)`, which makes no reference cycles.
        """
        from .backward import backward

        backward(self, gradient, retain_graph, create_graph, inputs)

    def __reduce__(self) -> Any:
        """For `copy.deepcopy` and `pickle`: the values, whether they require grad, and `.grad`."""
        if self._edge is not None:
            raise GraphError("copy: a Tensor computed by an op carries its graph; copy t.detach() instead")
        return type(self), (self.data, self._leaf), (None, {"grad": self.grad})

    def __repr__(self) -> str:
        values = np.array2string(to_cpu(self.data), separator=", ", prefix="tensor(", threshold=200, precision=4)
        notes = "" if self.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self.dtype}"
        notes += "" if self.device == "cpu" else f", device={self.device}"
        if self.requires_grad:
            notes += f", op={self._edge[0].name}" if isinstance(self._edge, tuple) else ", requires_grad=True"
        return f"tensor({values}{notes})"

    if TYPE_CHECKING:  # bound in operators.py

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: Any) -> Any: ...
        def __ne__(self, other: Any) -> Any: ...
        def __lt__(self, other: Any) -> Any: ...
        def __le__(self, other: Any) -> Any: ...
        def __gt__(self, other: Any) -> Any: ...
        def __ge__(self, other: Any) -> Any: ...

        __hash__ = object.__hash__

        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __len__(self) -> int: ...
        def __iter__(self) -> Iterator[Tensor]: ...
        def __bool__(self) -> bool: ...
        def __float__(self) -> float: ...
        def __int__(self) -> int: ...
        def __getattr__(self, name: str) -> Any: ...


class Saved(NamedTuple):
    """A value kept for backward: the array, which input or output it was, and its version at that time."""

    array: Array
    slot: int
    is_output: bool
    version: Version
    writes: int  # that it had counted


@dataclass_transform(eq_default=False)
class Op:
    """One differentiable function; its instance is one node of the graph.

    A subclass is a dataclass of its settings. `forward` takes arrays and returns one or a tuple; `backward` takes the
    gradient Tensors of the outputs (None for an output nobody used), is itself written with ops, and returns one
    gradient or None for each input. `self.needs[i]` tells whether input i wants a gradient.

    `saves` names what to keep, by the parameter names of `forward` or by `outputs`, and for whose gradient:
    `{"a": "b", "b": "a"}` keeps `a` only if `b` wants a gradient. Backward reads them from `self.saved`, in that order.
    """

    saves: ClassVar[dict[str, str]] = {}
    outputs: ClassVar[tuple[str, ...]] = ("y",)
    is_view: ClassVar[bool] = False  # whether the output may alias the input's memory: the reshape family alone
    crosses_devices: ClassVar[bool] = False  # whether the output may be on another device: Move alone
    inputs: ClassVar[tuple[str, ...]]
    keeps: ClassVar[list[tuple[bool, int, list[int]]]]  # `saves` by number: is it an output, which, for which inputs
    name: ClassVar[str]
    forward: Callable[..., Any]
    backward: Callable[..., Any]

    def __init_subclass__(cls) -> None:
        dataclasses.dataclass(eq=False, repr=False)(cls)
        cls.name = cls.__name__
        cls.inputs = tuple(inspect.signature(cls.forward).parameters)[1:] if "forward" in cls.__dict__ else cls.inputs
        cls.keeps = [
            (name in cls.outputs, (cls.outputs if name in cls.outputs else cls.inputs).index(name),
             [cls.inputs.index(i) for i in wanted_by.split()])
            for name, wanted_by in cls.saves.items()
        ]  # fmt: skip

    def __call__(self, *tensors: Tensor | None) -> Any:
        assert "edges" not in self.__dict__, f"{self.name}: an instance is one node of the graph and is called once"
        arrays = [None if t is None else t.data for t in tensors]
        grows = is_grad_enabled()
        edges = [t.edge if grows and t is not None else None for t in tensors]
        self.needs = tuple([edge is not None for edge in edges])
        with np.errstate(all="ignore"):  # 1/0 is infinite and 0/0 NaN without a warning, as in PyTorch
            returned = self.forward(*arrays)
        version = tensors[0]._version if self.is_view and tensors[0] is not None else None
        outs = returned if isinstance(returned, tuple) else (returned,)
        results = [Tensor._wrap(self._own(a, arrays), None, version) for a in outs]
        if True in self.needs:
            self._record(edges, tensors, results)
        if anomaly.watching():
            anomaly.check_forward(self, arrays, [y.data for y in results])
        return tuple(results) if isinstance(returned, tuple) else results[0]

    def _record(self, edges: list[Edge | None], tensors: Sequence[Tensor | None], results: list[Tensor]) -> None:
        """Become the node of the graph where `results` come from, with edges to where `tensors` came from."""
        self.edges, self._saved, self.created = edges, self._keep(tensors, results), next(_created)
        self.count = len(results)
        for slot, y in enumerate(results):
            if y.data.dtype.kind not in "biu":  # integers carry no gradient
                y._edge = self, slot
        if _mode.observer is not None:
            _mode.observer.note(self, tensors)

    def pass_on(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """The same Tensors, with this op between them and their past; its backward sees all their gradients at once."""
        if not (is_grad_enabled() and any(t.requires_grad for t in tensors)):
            return tensors
        self.needs = tuple(t.requires_grad for t in tensors)
        passed = [Tensor._wrap(t.data, None, t._version) for t in tensors]
        self._record([t.edge for t in tensors], tensors, passed)
        return [y if need else t for t, y, need in zip(tensors, passed, self.needs, strict=True)]

    def refill(self) -> None:
        """Compute again what a checkpoint let go, if this op is in one (in several: from the outermost to this)."""
        while "block" in self.__dict__:
            self.__dict__["block"][0].refill()

    def _own(self, out: Array, arrays: list[Array]) -> Array:
        """The output as a C-contiguous array of the inputs' module that aliases no input (unless a view may)."""
        if _is_new(out, arrays):
            return out
        given = next((a for a in arrays if a is not None), out)
        if isinstance(out, np.generic):
            out = np.asarray(out)
        if self.crosses_devices:
            return out
        if array_module(out) is not array_module(given):
            raise DeviceError(f"{self.name}: the result left the inputs' device ({device_of(given)})")
        if not out.flags.c_contiguous or (
            not self.is_view and any(a is not None and shares_memory(out, a) for a in arrays)
        ):
            out = out.copy(order="C")
        return out

    def _keep(self, tensors: Sequence[Tensor | None], results: list[Tensor]) -> list[Saved | None]:
        kept: list[Saved | None] = []
        for is_output, slot, wanted_by in self.keeps:
            t = results[slot] if is_output else tensors[slot]
            if t is None or not any(map(self.needs.__getitem__, wanted_by)):
                kept.append(None)
            else:
                kept.append(Saved(t.data, slot, is_output, t._version, t._version.count))
        return kept

    @property
    def saved(self) -> tuple[Any, ...]:
        """The values of `saves` as Tensors that stand at their old place in the graph; None for what was not kept."""
        return tuple(None if s is None else self._restore(s) for s in self._saved)

    def _restore(self, s: Saved) -> Tensor:
        if s.version.count != s.writes:
            what = (self.outputs if s.is_output else self.inputs)[s.slot]
            raise GraphError(f"backward of {self.name}: `{what}` was changed in place after the op had used it")
        return Tensor._wrap(s.array, (self, s.slot) if s.is_output else self.edges[s.slot], s.version)

    def release(self) -> None:
        """Drop the edges, the kept values and the settings."""
        self.__dict__.clear()


def _is_new(out: Array, arrays: list[Array]) -> bool:
    """Whether `out` needs no closer look: C-contiguous, on memory that no input is on, and all are NumPy's arrays."""
    if type(out) is not np.ndarray or not out.flags.c_contiguous:
        return False
    owner = out if out.base is None else out.base
    if type(owner) is not np.ndarray or owner.base is not None:
        return False
    return all(a is None or (type(a) is np.ndarray and a is not owner and a.base is not owner) for a in arrays)
