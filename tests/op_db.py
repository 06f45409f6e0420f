"""PyTorch's operator database as the oracle: what it offers, and what of it applies here.

An `OpInfo` names an operator and draws sample inputs, and inputs that must raise. Whatever operator resolves in tinyseg
under PyTorch's own name is checked, so coverage grows with the library and nothing has to be registered: see `offered`.

`planned` says, without running anything of ours, which samples a check runs on and why each of the others does not
apply. The checks (`tests.op_db_checks`) run the plan and `tests.parity` prints it, so the page states what they check.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import inspect
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import tinyseg as ts
from tests import op_db_tables as tables
from tinyseg.devices import to_cpu

KINDS = ("values", "gradients", "second derivatives", "errors")
TOLERANCE = {"values": 1e-9, "gradients": 1e-7, "second derivatives": 1e-6}
DEFAULT_LAYOUTS = (torch.preserve_format, torch.contiguous_format, torch.strided)  # what every Tensor has here


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """PyTorch's warnings are not ours to mend; those of tinyseg stay errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """The samples are tiny: waking a second thread for each would take longer than computing it."""
    before = ts.get_num_threads(), torch.get_num_threads()
    ts.set_num_threads(1)
    torch.set_num_threads(1)
    yield
    ts.set_num_threads(before[0])
    torch.set_num_threads(before[1])


@functools.cache
def database() -> list[Any]:
    """All of PyTorch's OpInfos; the import takes seconds."""
    with quiet():
        from torch.testing._internal.common_methods_invocations import op_db
    return op_db


# --- our function for PyTorch's name ---------------------------------------------------------------------------------


def resolved(name: str) -> Callable[..., Any] | None:
    """Our function under PyTorch's name: in `nn.functional`, in `tinyseg`, or a method or property of Tensor."""
    if name in tables.CALLED_OTHERWISE:
        return tables.CALLED_OTHERWISE[name] if resolved_path(name) else None
    path = resolved_path(name)
    if path is None:
        return None
    found = functools.reduce(getattr, path.removeprefix("ts.").split("."), ts)
    return (lambda x: getattr(x, name)) if isinstance(found, property) else found


@functools.cache
def resolved_path(name: str) -> str | None:
    """Where our function stands, as a user would write it."""
    if name.startswith("nn.functional."):
        return f"ts.{name}" if callable(getattr(ts.nn.functional, name.rpartition(".")[2], None)) else None
    if "." in name:
        return f"ts.{name}" if name.startswith("linalg.") and hasattr(ts.linalg, name.rpartition(".")[2]) else None
    if callable(getattr(ts, name, None)):
        return f"ts.{name}"
    return f"ts.Tensor.{name}" if hasattr(ts.Tensor, name) else None


@dataclass(frozen=True, eq=False)
class Entry:
    """One OpInfo that tinyseg offers."""

    info: Any
    function: Callable[..., Any]
    path: str

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def id(self) -> str:
        """The name, with the variant in brackets where there is one."""
        return self.name + (f"[{self.info.variant_test_name}]" if self.info.variant_test_name else "")

    @property
    def dtype(self) -> Any:
        """float64, or what the operator takes instead (bitwise logic: integers); None without any on the CPU."""
        return next((t for t in (torch.float64, torch.int64, torch.complex128) if t in self.info.dtypes), None)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The checks that the operator has."""
        differentiable = self.info.supports_autograd and self.dtype == torch.float64
        errors = bool(samples_of(self, "errors"))
        return tuple(k for k, has in zip(KINDS, (True, differentiable, differentiable, errors), strict=True) if has)


@functools.cache
def offered() -> list[Entry]:
    """The OpInfos whose name resolves here."""
    found = [(info, resolved(info.name), resolved_path(info.name)) for info in database()]
    return [Entry(info, function, path) for info, function, path in found if function is not None and path is not None]


@functools.cache
def missing() -> list[str]:
    """Names of the database that do not resolve here."""
    return sorted({info.name for info in database()} - {e.name for e in offered()})


# --- samples, and which of them apply --------------------------------------------------------------------------------


def flat(value: Any) -> Iterator[Any]:
    """Everything in nested lists, tuples, dictionaries and slices."""
    if isinstance(value, torch.Size) or not isinstance(value, list | tuple | dict | slice):
        yield value
    elif isinstance(value, slice):
        yield from (value.start, value.stop, value.step)
    else:
        for part in value.values() if isinstance(value, dict) else value:
            yield from flat(part)


def reason_against(entry: Entry, sample: Any) -> str | None:
    """Why the sample does not apply (a key of `tables.REASONS`), from the sample alone; None if it does."""
    everything = list(flat((sample.input, sample.args, sample.kwargs)))
    tensors = [t for t in everything if isinstance(t, torch.Tensor)]
    if any(isinstance(v, complex) or getattr(_type_of(v), "is_complex", False) for v in everything):
        return "complex"
    if any(t.layout != torch.strided for t in tensors):
        return "sparse"
    if any(name is not None for t in tensors for name in getattr(t, "names", ())):
        return "named tensors"
    if any(_numpy_lacks(_type_of(v)) for v in everything):
        return "element type"
    if any(t.device.type != "cpu" for t in tensors):
        return "device"
    if any(t.ndim > 64 for t in tensors):
        return "more than 64 axes"
    if "out" in sample.kwargs:
        return "out="
    if any(_is_layout(v) and v not in DEFAULT_LAYOUTS for v in everything) or sample.kwargs.get("pin_memory"):
        return "memory layout"
    if any(isinstance(v, torch.Generator) for v in everything):
        return "random result"
    return next((reason for reason, holds in tables.PREDICATES.get(entry.name, ()) if holds(sample)), None)


def _type_of(value: Any) -> Any:
    return value if isinstance(value, torch.dtype) else getattr(value, "dtype", None)


def _numpy_lacks(dtype: Any) -> bool:
    if not isinstance(dtype, torch.dtype) or dtype == torch.bfloat16:
        return False
    return not hasattr(np, str(dtype).removeprefix("torch."))


def samples_of(entry: Entry, kind: str) -> list[Any]:
    """The database's samples for one check, the same in every process."""
    torch.default_generator.manual_seed(0)  # the CPU's alone: seeding every device takes a millisecond a sample
    np.random.seed(0)  # noqa: NPY002 (some samples are drawn with it)
    random.seed(0)
    info = entry.info
    with quiet():
        # The database's functions themselves: its own iterator inspects the whole stack for every sample.
        if kind == "errors":
            return list(info.error_inputs_func(info, "cpu")) if info.error_inputs_func else []
        if entry.dtype is None:
            return []
        return list(info.sample_inputs_func(info, "cpu", entry.dtype, kind != "values"))


@dataclass
class Plan:
    """The samples that a check runs on, and how many do not apply for which reason."""

    samples: list[Any]
    shapes_only: list[Any]  # random results: only shape and type can agree
    accepted: list[Any]  # error inputs that mean something here
    against: collections.Counter[str]


def planned(entry: Entry, kind: str) -> Plan:
    """Sort the samples of one check into those that apply and the reasons against the others."""
    plan = Plan([], [], [], collections.Counter())
    for drawn in samples_of(entry, kind):
        sample = drawn.sample_input if kind == "errors" else drawn
        reason = reason_against(entry, sample)
        if reason is None and kind == "errors" and entry.name in tables.ACCEPTED:
            reason = "accepted here" if tables.ACCEPTED[entry.name][0](sample) else None
        if reason is None and kind in KINDS[1:3] and not any(map(takes_gradient, flat(arguments(sample)))):
            reason = "nothing to differentiate"
        if reason is None and kind == KINDS[2] and tables.NOT_TWICE.get(entry.name, _never)(sample):
            reason = "not differentiable twice"
        if reason is None:
            plan.samples.append(sample)
        else:
            plan.against[reason] += 1
            if reason == "random result" and kind == "values":
                plan.shapes_only.append(sample)
            if reason == "accepted here":
                plan.accepted.append(sample)
    return plan


def _never(sample: Any) -> bool:
    return False


def arguments(sample: Any) -> tuple[Any, ...]:
    """What follows from the sample, (positional, by name), without a layout that is the only one here."""
    return (sample.input, *sample.args), {k: v for k, v in sample.kwargs.items() if not _is_layout(v)}


def _is_layout(value: Any) -> bool:
    return isinstance(value, torch.memory_format | torch.layout)


def takes_gradient(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


def arguments_of(entry: Entry, plan: Plan) -> set[str]:
    """Names of our parameters that the plan's samples give a value to."""
    names: set[str] = set()
    signature = inspect.signature(entry.function)
    variadic = {p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD}
    for sample in plan.samples:
        given, keywords = arguments(sample)
        with contextlib.suppress(TypeError):
            bound = signature.bind(*given, **keywords).arguments
            names |= {k for n, v in bound.items() for k in (v if n in variadic else [n])}
    return names


# --- from PyTorch's values to ours -----------------------------------------------------------------------------------


def numpy_type(dtype: torch.dtype) -> np.dtype:
    """Our element type for PyTorch's."""
    if dtype == torch.bfloat16:
        return ts.bfloat16
    return np.dtype(str(dtype).removeprefix("torch."))


def array_of(t: torch.Tensor) -> np.ndarray:
    """A copy of the values."""
    t = t.detach().contiguous()
    if t.dtype == torch.bfloat16:
        return t.view(torch.int16).numpy(force=True).view(ts.bfloat16).copy()
    return t.numpy(force=True).copy()  # force: PyTorch's zero tensors have no memory


class Leaves(dict[int, ts.Tensor]):
    """Our Tensor for the id of each of PyTorch's: one that is given twice is one leaf here as well."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device


def converted(value: Any, memo: Leaves) -> Any:
    """PyTorch's tensors, types, sizes and devices as ours, in lists, tuples, dictionaries and slices too."""
    if isinstance(value, torch.Tensor):
        if id(value) not in memo:
            memo[id(value)] = ts.tensor(array_of(value), requires_grad=value.requires_grad, device=memo.device)
        return memo[id(value)]
    if isinstance(value, torch.dtype):
        return numpy_type(value)
    if isinstance(value, torch.device) or (isinstance(value, str) and value == "cpu"):
        return memo.device
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, slice):
        return slice(*(converted(v, memo) for v in (value.start, value.stop, value.step)))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(converted(v, memo) for v in value))
    if isinstance(value, list | tuple):
        return type(value)(converted(v, memo) for v in value)
    if isinstance(value, dict):
        return {k: converted(v, memo) for k, v in value.items()}
    return value


def described(value: Any) -> str:
    """A sample's arguments in a line: tensors by shape and type."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return "(" + ", ".join(map(described, value)) + ")"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={described(v)}" for k, v in value.items()) + "}"
    return repr(value)


def close(ours: Any, theirs: Any, tolerance: float, what: str) -> None:
    """Same shape and type, and equal to `tolerance` of the largest element; NaN and infinity where the other has them.

    Where the largest element is below 1, the tolerance is absolute: what cancels leaves no scale to compare with.
    """
    if not isinstance(theirs, torch.Tensor):
        assert type(ours) is type(theirs), f"{what}: {type(ours).__name__}, PyTorch: {type(theirs).__name__}"
        ours, theirs = np.asarray(ours), np.asarray(theirs)
    else:
        assert isinstance(ours, ts.Tensor), f"{what}: {type(ours).__name__}, PyTorch: a tensor"
        assert ours.data.flags.c_contiguous, f"{what}: not contiguous"
        ours, theirs = to_cpu(ours.data), array_of(theirs)
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, PyTorch: {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"{what}: type {ours.dtype}, PyTorch: {theirs.dtype}"
    if theirs.dtype.kind in "biu":
        assert np.array_equal(ours, theirs), f"{what}: {ours}, PyTorch: {theirs}"
        return
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    scale = max(1.0, float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)))
    apart = ~np.isclose(ours, theirs, rtol=0, atol=tolerance * scale, equal_nan=True)
    assert not apart.any(), f"{what}: {ours[apart][:3]}, PyTorch: {theirs[apart][:3]} ({apart.sum()} of {apart.size})"
