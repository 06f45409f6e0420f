"""A printed table of a model: layer, output shape, parameters, multiply-adds, receptive field.

The receptive field is read off the graph that one forward pass records, op by op, so functional calls, skips and crops
take part. Along each axis an op with window k, dilation d and stride s widens the field by d (k - 1) steps and
multiplies the step by s; a transposed convolution or a resize divides it. Where branches meet, the widest field counts.
It is the extent that can matter, whatever the weights and wherever in the input. An op over whole axes (a matrix
product, a mean over space) sees "all".
**Source** Araujo, Norris & Sim 2019, Computing receptive fields of convolutional neural networks.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from ..creation import zeros
from ..engine import Edge, Op, Tensor, enable_grad, observing
from ..errors import ArgumentError
from ..ops import attention, conv, linalg, pool, reduce, resize
from ..recompute import Keeper
from .conv import Conv2d, ConvTranspose2d, Linear
from .module import Module, Parameter
from .norm import _BatchNorm

__all__ = ["LayerSummary", "Summary", "summary"]

Pair = tuple[float, float]


@dataclass(frozen=True)
class Field:
    """How many input pixels one output pixel depends on, and by how many two neighbours are apart, (height, width)."""

    size: Pair = (1, 1)
    step: Pair = (1, 1)

    def then(self, reach: Sequence[float], factor: Sequence[float]) -> Field:
        """The field after an op that reaches over `reach` steps and then makes each step `factor` times as long."""
        grown = [n + r * s for n, r, s in zip(self.size, reach, self.step, strict=True)]
        steps = [s * f for s, f in zip(self.step, factor, strict=True)]
        return Field((grown[0], grown[1]), (steps[0], steps[1]))

    def __str__(self) -> str:
        if math.inf in self.size:
            return "all"
        size = (math.ceil(round(n, 6)) for n in self.size)  # after upsampling a field may end within a pixel
        step = (f"{round(s, 4):g}" for s in self.step)
        return f"{_short(size)}/{_short(step)}"


def _short(pair: Iterable[Any]) -> str:
    """ "3", or "3×5" where the axes differ."""
    h, w = pair
    return f"{h}" if h == w else f"{h}×{w}"


@dataclass(frozen=True)
class LayerSummary:
    """One call of one layer. `field` is None where no path from the input was recorded."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    field: Field | None


@dataclass(frozen=True)
class Summary:
    """What `summary` returns: a row for each call of a layer, in order, and the totals."""

    layers: tuple[LayerSummary, ...]
    parameters: int
    trainable: int
    multiply_adds: int
    field: Field | None


def summary(module: Module, example: Any, console: Any = None) -> Summary:
    """Run `module` once in evaluation mode, print the table, and return it.

    `example` is an input shape such as (1, 3, 64, 64), for zeros of the model's type, a Tensor, or a tuple of Tensors.
    A multiply-add is one product and its sum: counted for convolutions, linear layers and batch norm (one an element).
    `console` is a rich Console; by default the table goes to the standard output.
    """
    inputs = _inputs(module, example)
    rows, fields = [], _Fields(inputs)
    owners: set[int] = set()  # parameters counted so far: a layer called twice has its parameters once
    with _evaluation(module), _hooked(module) as calls, enable_grad():
        output = module(*inputs)
        for name, layer, args, y in calls:
            count = sum(p.data.size for p in layer.parameters() if id(p) not in owners)
            owners.update(id(p) for p in layer.parameters())
            work = _multiply_adds(layer, args[0], y)
            rows.append(LayerSummary(name, type(layer).__name__, y.shape, count, work, fields.of(y)))
    params = list(module.parameters())
    sizes = [sum(p.data.size for p in params if p.requires_grad or not trainable) for trainable in (False, True)]
    last = fields.of(_first(output))
    result = Summary(tuple(rows), sizes[0], sizes[1], sum(row.multiply_adds for row in rows), last)
    _print(type(module).__name__, result, console)
    return result


def _inputs(module: Module, example: Any) -> tuple[Tensor, ...]:
    if isinstance(example, Tensor):
        example = (example,)
    if not isinstance(example, Sequence) or not example:
        raise ArgumentError(f"summary: example must be a shape, a Tensor or a tuple of Tensors, got {example!r}")
    if all(isinstance(n, int) for n in example):
        like = next(module.parameters(), None)
        kind = {} if like is None else {"dtype": like.dtype, "device": like.device}
        example = (zeros(*example, **kind),)
    if not all(isinstance(t, Tensor) for t in example):
        raise ArgumentError("summary: example must be a shape, a Tensor or a tuple of Tensors")
    # leaves of their own that want a gradient, so that the ops record how they depend on them
    return tuple(Parameter(t.data) if t.dtype.kind == "f" else t for t in example)


@contextmanager
def _evaluation(module: Module) -> Iterator[None]:
    modes = {m: m.training for m in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for m, mode in modes.items():
            m.training = mode


@contextmanager
def _hooked(module: Module) -> Iterator[list[tuple[str, Module, tuple[Any, ...], Tensor]]]:
    """Every call of a module without children, as (name, module, arguments, first output)."""
    calls: list[tuple[str, Module, tuple[Any, ...], Tensor]] = []
    names: dict[Module, str] = {m: name for name, m in module.named_modules() if next(m.children(), None) is None}

    def note(layer: Module, args: tuple[Any, ...], output: Any) -> None:
        calls.append((names[layer], layer, args, _first(output)))

    handles = [m.register_forward_hook(note) for m in names]
    try:
        with observing(Keeper()):  # the settings of all ops are read
            yield calls
    finally:
        for handle in handles:
            handle.remove()


def _first(output: Any) -> Tensor:
    while not isinstance(output, Tensor):
        output = next(iter(output.values() if isinstance(output, dict) else output))
    return output


def _multiply_adds(layer: Module, x: Tensor, y: Tensor) -> int:
    if isinstance(layer, Conv2d | ConvTranspose2d):
        # a convolution uses its filters once for every output pixel, a transposed one for every input pixel
        t = y if isinstance(layer, Conv2d) else x
        return layer.weight.data.size * (t.data.size // t.shape[-3])
    if isinstance(layer, Linear):
        return y.data.size * layer.in_features
    return y.data.size if isinstance(layer, _BatchNorm) else 0


class _Fields:
    """Receptive fields along the recorded graph; each op is worked out once."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.known: dict[Any, Field | None] = {t: Field() for t in inputs if t.requires_grad}

    def of(self, t: Tensor) -> Field | None:
        """The field of a Tensor with respect to the inputs; None if no path leads there."""
        for op in self._new_ops(t.edge):
            arrived = [f for f in (self._at(edge) for edge in op.edges) if f is not None]
            self.known[op] = _after(op, _widest(arrived)) if arrived else None
        return self._at(t.edge)

    def _at(self, edge: Edge | None) -> Field | None:
        return self.known.get(edge[0] if isinstance(edge, tuple) else edge)

    def _new_ops(self, edge: Edge | None) -> list[Op]:
        """The ops before `edge` that have no field yet, oldest first."""
        found: set[Op] = set()
        stack = [edge]
        while stack:
            e = stack.pop()
            if isinstance(e, tuple) and e[0] not in self.known and e[0] not in found:
                found.add(e[0])
                stack.extend(e[0].edges)
        return sorted(found, key=lambda op: op.created)


def _widest(fields: Sequence[Field]) -> Field:
    """The extent along each axis of several fields together."""
    height, width = (max(f.size[axis] for f in fields) for axis in (0, 1))
    return Field((height, width), max(fields, key=lambda f: f.size).step)


def _after(op: Op, before: Field) -> Field:
    """The field of what `op` makes of its widest input."""
    if isinstance(op, conv.Conv2d):
        g = op.geometry
        return before.then(_reach(g.dilation, op.kernel_size), g.stride)
    if isinstance(op, pool.AdaptiveMaxPool2d | pool.AdaptiveAvgPool2d):
        output = op.geometry if isinstance(op, pool.AdaptiveMaxPool2d) else op.output
        sizes = list(zip(op.size, output, strict=True))
        return before.then([_share(*pair) - 1 for pair in sizes], [size / out for size, out in sizes])
    if isinstance(op, pool.MaxPool2d | pool.AvgPool2d):
        p = op.geometry
        return before.then(_reach(p.dilation, p.kernel_size), p.stride)
    if isinstance(op, conv.Conv2dInput):
        g = op.geometry
        axes = zip(g.stride, g.dilation, op.kernel_size, strict=True)
        return before.then([_transposed_reach(*axis) for axis in axes], [1 / s for s in g.stride])
    if isinstance(op, resize.Resize):
        taps = (op.rows, op.columns)
        return before.then([len(t.by_output.weight) - 1 for t in taps], [t.in_size / t.out_size for t in taps])
    spread = isinstance(op, reduce.Sum | reduce.Amax) and max(op.axes, default=0) > 1
    if spread or isinstance(op, linalg.MatMul | linalg.Linear | attention.Attention):
        return Field((math.inf, math.inf), before.step)
    return before


def _share(size: int, out: int) -> int:
    """The longest of `out` windows that share out an axis."""
    return max(-(-(i + 1) * size // out) - i * size // out for i in range(out))


def _reach(dilation: Sequence[int], kernel_size: Sequence[int]) -> list[int]:
    return [d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True)]


def _transposed_reach(stride: int, dilation: int, kernel: int) -> int:
    """How far apart input pixels can be that meet in one output pixel: at window offsets equal modulo the stride."""
    offsets = [dilation * i for i in range(kernel)]
    return max((b - a) // stride for a in offsets for b in offsets if (b - a) % stride == 0)


TITLES = ("layer", "type", "output shape", "parameters", "mult-adds", "field/step")
WIDE = 10_000  # columns of a file or pipe: what reads it may break lines, we need not


def _print(title: str, result: Summary, console: Any) -> None:
    from rich.console import Console
    from rich.measure import Measurement

    console = console or Console()
    if not console.is_terminal and console.file is sys.stdout:
        console = Console(width=WIDE)
    table = _table(title, result, [(row.name, row) for row in result.layers])
    if Measurement.get(console, console.options.update(max_width=WIDE), table).maximum > console.width:
        table = _table(title, result, list(_tree(result.layers)), gap=0)
    console.print(table)
    console.print(f"{result.parameters:,} parameters, {result.trainable:,} of them trainable")


def _table(title: str, result: Summary, lines: Sequence[tuple[str, LayerSummary | None]], gap: int = 1) -> Any:
    """The table, a line for each name; names may be cut short where it is too wide for the console, numbers not."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    style: Any = {"box": SIMPLE_HEAD, "show_edge": False, "show_footer": True, "padding": (0, gap, 0, 0)}
    table = Table(title=title, title_justify="left", **style)
    totals = ("total", "", "", f"{result.parameters:,}", f"{result.multiply_adds:,}", _shown(result.field))
    rows = [(name, *_cells(row)) for name, row in lines]
    for k, (heading, total) in enumerate(zip(TITLES, totals, strict=True)):
        widest = max(len(text) for text in (heading, total, *(row[k] for row in rows)))
        justify: Literal["left", "right"] = "right" if k > 2 else "left"
        table.add_column(heading, total, justify=justify, no_wrap=True, min_width=widest if k > 1 else None)
    for row in rows:
        table.add_row(*row)
    return table


def _cells(row: LayerSummary | None) -> tuple[str, ...]:
    if row is None:
        return ("",) * (len(TITLES) - 1)
    numbers = (f"{n:,}" if n else "" for n in (row.parameters, row.multiply_adds))
    return row.kind, "×".join(map(str, row.shape)), *numbers, _shown(row.field)


def _tree(layers: Sequence[LayerSummary]) -> Iterator[tuple[str, LayerSummary | None]]:
    """Each layer by the last part of its name, below lines for the modules that it is in: "inc", " conv", "  0"."""
    above: list[str] = []
    for row in layers:
        *parents, last = row.name.split(".")
        common = next((k for k, (a, b) in enumerate(zip(above, parents, strict=False)) if a != b), None)
        for depth in range(min(len(above), len(parents)) if common is None else common, len(parents)):
            yield " " * depth + parents[depth], None
        yield " " * len(parents) + last, row
        above = parents


def _shown(field: Field | None) -> str:
    return "" if field is None else str(field)
