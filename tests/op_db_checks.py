"""The four checks of PyTorch's operator database: values, gradients, second derivatives, errors.

Each takes a sample that applies (`tests.op_db`) and raises AssertionError; `failures` runs one of them on a whole plan.
"""

from __future__ import annotations

import functools
import inspect
import pathlib
import re
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import tinyseg as ts
from tests import op_db_tables as tables
from tests.cases import listed
from tests.op_db import (
    TOLERANCE,
    Entry,
    Leaves,
    arguments,
    close,
    converted,
    described,
    flat,
    numpy_type,
    one_thread,
    planned,
    quiet,
    takes_gradient,
)
from tinyseg.errors import TinysegError

SOURCES = [pathlib.Path(ts.__file__).resolve().parent, pathlib.Path(ts.__file__).resolve().parent.parent / "kernels"]


def theirs_of(entry: Entry, sample: Any) -> list[Any]:
    """PyTorch's outputs."""
    with quiet():
        return listed(entry.info.op(sample.input, *sample.args, **sample.kwargs))


def ours_of(entry: Entry, sample: Any, memo: Leaves, function: Any = None) -> list[Any]:
    """Our outputs, of the entry's function or of another way to call it; `memo` keeps our leaves."""
    given, keywords = (converted(v, memo) for v in arguments(sample))
    outputs = listed((function or entry.function)(*given, **keywords))
    places = {y.device.type for y in outputs if isinstance(y, ts.Tensor)}
    assert not memo or places <= {memo.device}, f"of Tensors on {memo.device} came Tensors on {places}"
    return outputs


def check_values(entry: Entry, sample: Any, device: str, tolerance: float, shapes_only: bool = False) -> None:
    """Every output, by our function and by our method of the same name where that is another function."""
    theirs = theirs_of(entry, sample)
    method = getattr(ts.Tensor, entry.name, None)
    ways = [entry.function]
    if entry.path == f"ts.{entry.name}" and callable(method) and method is not entry.function:
        ways += [method] if isinstance(sample.input, torch.Tensor) and entry.name not in tables.CALLED_OTHERWISE else []
    for function in ways:
        ours = ours_of(entry, sample, Leaves(device), function)
        assert len(ours) == len(theirs), f"{len(ours)} outputs, PyTorch: {len(theirs)}"
        for y, t in zip(ours, theirs, strict=True):
            if shapes_only:
                assert (tuple(y.shape), y.dtype) == (tuple(t.shape), numpy_type(t.dtype)), "shape and type"
            else:
                close(y, t, tolerance, "value")


@dataclass
class Derivatives:
    """Gradients of one sample on both sides for the same random weights u of the outputs."""

    ours: list[Any]
    theirs: list[Any]
    leaves: list[Any]  # ours: the inputs and u
    their_leaves: list[Any]


def gradients(entry: Entry, sample: Any, device: str, create_graph: bool) -> Derivatives | None:
    """d<u, outputs>/d(inputs) on both sides; None where no output depends on an input (a cast to integers)."""
    memo = Leaves(device)
    inputs = list({id(t): t for t in flat(arguments(sample)) if takes_gradient(t)}.values())
    theirs, ours = theirs_of(entry, sample), ours_of(entry, sample, memo)
    pairs = [(y, t) for y, t in zip(ours, theirs, strict=True) if isinstance(t, torch.Tensor) and t.requires_grad]
    if not pairs:
        assert not any(isinstance(y, ts.Tensor) and y.requires_grad for y in ours), "a graph where PyTorch has none"
        return None
    rng = np.random.default_rng(0)
    weights = [np.asarray(rng.standard_normal(tuple(t.shape))) for _, t in pairs]
    their_us = [
        torch.tensor(u, requires_grad=create_graph).to(t.dtype) for u, (_, t) in zip(weights, pairs, strict=True)
    ]
    our_us = [
        ts.tensor(u.astype(y.dtype), requires_grad=create_graph, device=y.device)
        for u, (y, _) in zip(weights, pairs, strict=True)
    ]
    xs = [memo[id(t)] for t in inputs]
    assert any(y.requires_grad for y, _ in pairs), "no graph where PyTorch has one"
    ys, us = zip(*[(y, u) for (y, _), u in zip(pairs, our_us, strict=True) if y.requires_grad], strict=True)
    with quiet():
        found = torch.autograd.grad(
            [t for _, t in pairs], inputs, their_us, create_graph=create_graph, materialize_grads=True
        )
    gs = ts.grad(ys, xs, us, create_graph=create_graph, materialize_grads=True)
    return Derivatives(list(gs), list(found), [*xs, *our_us], [*inputs, *their_us])


def check_gradients(entry: Entry, sample: Any, device: str, tolerance: float) -> None:
    """The gradient of every input that requires one."""
    d = gradients(entry, sample, device, create_graph=False)
    for g, t in zip(d.ours, d.theirs, strict=True) if d else ():
        close(g, t, tolerance, "gradient")


def check_second_derivatives(entry: Entry, sample: Any, device: str, tolerance: float) -> None:
    """The gradient of <v, gradient>, with respect to the inputs and to the weights u of the outputs.

    Where PyTorch has no second derivative, ours is checked against differences.
    """
    if not entry.info.supports_gradgrad:
        check_by_differences(entry, sample, device)
        return
    d = gradients(entry, sample, device, create_graph=True)
    if d is None:
        return
    rng = np.random.default_rng(1)
    vs = [rng.standard_normal(tuple(t.shape)) for t in d.theirs]
    with quiet():
        total = sum((t * torch.tensor(v).to(t.dtype)).sum() for t, v in zip(d.theirs, vs, strict=True))
        theirs = [torch.zeros_like(t) for t in d.their_leaves]
        if total.requires_grad:
            theirs = torch.autograd.grad(total, d.their_leaves, materialize_grads=True)
    ours = sum((g * ts.tensor(v.astype(g.dtype), device=g.device)).sum() for g, v in zip(d.ours, vs, strict=True))
    gs = [ts.zeros_like(x) for x in d.leaves]
    if ours.requires_grad:
        gs = ts.grad(ours, d.leaves, materialize_grads=True)
    for g, t in zip(gs, theirs, strict=True):
        close(g, t.detach(), tolerance, "second derivative")


def check_by_differences(entry: Entry, sample: Any, device: str) -> None:
    """Our first and second derivatives against central differences."""
    memo = Leaves(device)
    given, keywords = (converted(v, memo) for v in arguments(sample))
    leaves = [x for x in memo.values() if x.requires_grad]

    def function(*xs: ts.Tensor) -> list[Any]:
        swapped = dict(zip(map(id, leaves), xs, strict=True))
        return listed(entry.function(*replaced(given, swapped), **replaced(keywords, swapped)))

    assert ts.gradcheck(function, leaves, order=2, atol=1e-5, rtol=1e-4)


def replaced(value: Any, swapped: dict[int, Any]) -> Any:
    """Nested arguments with some Tensors exchanged."""
    if isinstance(value, list | tuple):
        return type(value)(replaced(v, swapped) for v in value)
    if isinstance(value, dict):
        return {k: replaced(v, swapped) for k, v in value.items()}
    return swapped.get(id(value), value)


def check_error(entry: Entry, sample: Any, device: str) -> None:
    """One of our errors, raised by our code, whose message names the function and an argument."""
    try:
        ours_of(entry, sample, Leaves(device))
    except Exception as error:
        raised = error
    else:
        raise AssertionError("no error")
    ours = isinstance(raised, TinysegError) and isinstance(raised, ValueError | TypeError | RuntimeError | IndexError)
    assert ours, f"{type(raised).__name__}, not an error of ours: {raised}"
    raised_in = pathlib.Path(traceback.extract_tb(raised.__traceback__)[-1].filename).resolve()
    assert any(folder in raised_in.parents for folder in SOURCES), f"raised in {raised_in}"
    names = {entry.name.rpartition(".")[2].strip("_"), getattr(entry.function, "__name__", "").strip("_")}
    names |= {name.removeprefix("r") for name in names}  # __radd__ is add
    names.add(tables.SPEAKS_AS.get(entry.name, ""))
    assert any(name and name in str(raised) for name in names), f"the message names no function: {raised}"
    said = set(re.findall(r"\w+", str(raised).partition(":")[2]))
    parameters = {*inspect.signature(entry.function).parameters, *tables.SPEAKS_OF.get(entry.name, ("input",))}
    assert said & parameters, f"the message names no argument: {raised}"


def failures(entry: Entry, kind: str, device: str = "cpu") -> list[str]:
    """A line for each sample of the plan on which the check fails."""
    plan = planned(entry, kind)
    check = {
        "values": check_values,
        "gradients": check_gradients,
        "second derivatives": check_second_derivatives,
        "errors": lambda entry, sample, device, _: check_error(entry, sample, device),
    }[kind]
    runs = [(s, functools.partial(check, entry, s, device, TOLERANCE.get(kind, 0.0))) for s in plan.samples]
    runs += [(s, functools.partial(check_values, entry, s, device, 0.0, shapes_only=True)) for s in plan.shapes_only]
    runs += [(s, functools.partial(ours_of, entry, s, Leaves(device))) for s in plan.accepted]
    found = []
    with one_thread(), sdpa_kernel(SDPBackend.MATH):  # the attention of PyTorch that has second derivatives
        for sample, run in runs:
            try:
                run()
            except Exception as error:
                line = str(error).splitlines()[0] if str(error) else ""
                found.append(f"{described(arguments(sample))}: {type(error).__name__}: {line}")
    return found
