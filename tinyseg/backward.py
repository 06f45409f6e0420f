"""The backward walk: from the newest op to the oldest, handing each its gradient. Read `engine.py` first.

Why the order matters: with `b = a + a; c = b + b` the gradient of `b` is complete only when both uses of `b` have
reported. Ops carry the number of their creation; visiting the newest first means every user of a value comes before it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from . import anomaly, hooks
from .devices import array_module
from .engine import Edge, Op, Tensor, autocasting, enable_grad, is_grad_enabled, recording
from .errors import DTypeError, GraphError, ShapeError

__all__ = ["backward", "differentiate", "grad"]


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add d(tensors)/d(leaf) to `.grad` of every leaf, or of `inputs` only: `Tensor.backward` of several in one walk.

    `grad_tensors` weigh the elements of each. **Raises** GraphError for `create_graph`, as `Tensor.backward`.
    """
    if create_graph:
        raise GraphError("backward: create_graph=True would tie .grad to its leaf in a cycle; use ts.grad(...)")
    chosen = None if inputs is None else {_edge_of(t, "backward"): t for t in _listed(inputs)}
    seeds = _seeds("backward", "grad_tensors", _listed(tensors), grad_tensors)
    targets = None if chosen is None else set(chosen)
    found = _walk(seeds, targets, keep=bool(retain_graph), record=False)
    for edge in list(found):
        t = edge if chosen is None else chosen.get(edge)
        if isinstance(t, Tensor):
            alone = _is_alone(found, edge)
            hooks.add_to_grad(t, found.pop(edge), alone)
            hooks.accumulated(t)


def _is_alone(found: dict[Any, Tensor], edge: Any) -> bool:
    """Whether a gradient's memory is held by nobody but `found`: then it may become `.grad` as it is."""
    counts, a = _holders(found, edge), found[edge].data
    if a.base is None:
        return counts[:2] == _ALONE[:2]
    whole = type(a.base) is type(a) and a.base.base is None and a.base.nbytes == a.nbytes  # reshaped on its way
    return whole and counts == _ALONE


def _holders(found: dict[Any, Tensor], edge: Any) -> tuple[int, ...]:
    """References to a gradient, to its array, and to what that is a view of."""
    return getrefcount(found[edge]), getrefcount(found[edge].data), getrefcount(found[edge].data.base)


_ALONE = _holders({0: Tensor(np.zeros((1, 1)).reshape(1))}, 0)  # measured: interpreters count differently


def _edge_of(t: Tensor, caller: str) -> Edge:
    if t.edge is None:
        raise GraphError(f"{caller}: a Tensor of shape {t.shape} does not require grad and has no graph")
    return t.edge


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _seeds(
    caller: str, name: str, ys: list[Tensor], gradients: Tensor | Sequence[Tensor | None] | None
) -> list[tuple[Edge, Tensor]]:
    """Where the walk starts, and with which gradient."""
    gys = [gradients] if isinstance(gradients, Tensor) else list(gradients or [None] * len(ys))
    if len(gys) != len(ys):
        raise GraphError(f"{caller}: expected one of {name} for each of {len(ys)} outputs, got {len(gys)}")
    return [(_edge_of(y, caller), _seed(y, gy, caller)) for y, gy in zip(ys, gys, strict=True)]


def _seed(y: Tensor, gradient: Tensor | None, caller: str) -> Tensor:
    if gradient is None:
        if y.data.size != 1:
            raise GraphError(f"{caller}: an output of shape {y.shape} needs a gradient of that shape, got None")
        return Tensor(array_module(y.data).ones_like(y.data))
    if gradient.shape != y.shape:
        raise ShapeError(f"{caller}: expected a gradient of shape {y.shape}, got {gradient.shape}")
    if gradient.dtype != y.dtype:
        raise DTypeError(f"{caller}: expected a gradient of type {y.dtype}, got {gradient.dtype}")
    return gradient


def _alive(op: Op) -> Op:
    if "edges" not in op.__dict__:
        raise GraphError(
            f"backward: the graph of {op.name} was released by an earlier backward; "
            "pass retain_graph=True to that one to walk it twice"
        )
    return op


def _leading_to(roots: Iterable[Edge], targets: set[Edge]) -> set[Op]:
    """The ops on a path from `roots` to `targets`: all others would be dead work."""
    found: set[Op] = set()
    stack = [edge[0] for edge in roots if isinstance(edge, tuple)]
    while stack:
        op = stack.pop()
        if op not in found:
            found.add(_alive(op))
            stack.extend(edge[0] for edge in op.edges if isinstance(edge, tuple))
    leading: set[Op] = set()
    for op in sorted(found, key=lambda op: op.created):  # oldest first: an op's parents are decided before it
        if any(e in targets or (isinstance(e, tuple) and e[0] in leading) for e in op.edges if e is not None):
            leading.add(op)
    return leading


def _walk(seeds: list[tuple[Edge, Tensor]], targets: set[Edge] | None, keep: bool, record: bool) -> dict[Edge, Tensor]:
    """Gradients of `targets` (None: of all leaves), from the newest op to the oldest.

    A gradient waits in `pending` under its edge until every newer op has added its part; `heap` orders the ops that
    have a gradient waiting. Each op is released as the walk passes it, unless `keep`.
    """
    pending: dict[Edge, Tensor] = {}
    heap: list[tuple[int, Op]] = []
    waiting: set[Op] = set()
    leading = None if targets is None else _leading_to((edge for edge, _ in seeds), targets)

    def wanted(edge: Edge | None) -> bool:
        if edge is None or targets is None or leading is None:
            return edge is not None
        return edge in targets or (isinstance(edge, tuple) and edge[0] in leading)

    def give(edge: Edge, g: Tensor) -> None:
        pending[edge] = pending[edge] + g if edge in pending else g
        if isinstance(edge, tuple) and edge[0] not in waiting and (leading is None or edge[0] in leading):
            waiting.add(_alive(edge[0]))
            heapq.heappush(heap, (-edge[0].created, edge[0]))

    with recording(record), autocasting(None):  # the Tensors have their types from the forward pass
        for seed in seeds:
            give(*seed)
        while heap:
            op = heapq.heappop(heap)[1]
            op.refill()
            for slot in op.__dict__.get("hooks", ()):
                if (op, slot) in pending:
                    pending[op, slot] = hooks.apply_hooks((op, slot), pending[op, slot])
            gys = [pending.get((op, slot)) for slot in range(op.count)]
            for slot in range(op.count):
                if targets is None or (op, slot) not in targets:
                    pending.pop((op, slot), None)
            op.needs = tuple(wanted(edge) for edge in op.edges)
            gxs = anomaly.checked_backward(op, gys) if anomaly.watching() else op.backward(*gys)
            for edge, g in zip(op.edges, gxs if isinstance(gxs, tuple) else (gxs,), strict=True):
                if g is not None and edge is not None and wanted(edge):
                    give(edge, g)
            if not keep:
                op.release()
        for edge in pending:
            if not (isinstance(edge, tuple) and edge[0] in waiting):  # leaves, and targets that lead nowhere
                pending[edge] = hooks.apply_hooks(edge, pending[edge])
    return pending


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """Gradients of the sum of `outputs` with respect to each of `inputs`; PyTorch's arguments, always a tuple.

    With `create_graph` the gradients are themselves differentiable. `.grad` is not touched.
    **Raises** GraphError where an input takes no part, unless `allow_unused` (None) or `materialize_grads` (zeros).
    """
    xs = _listed(inputs)
    seeds = _seeds("grad", "grad_outputs", _listed(outputs), grad_outputs)
    edges = [_edge_of(x, "grad") for x in xs]
    keep = create_graph if retain_graph is None else retain_graph
    found = _walk(seeds, set(edges), keep, create_graph)
    gxs = [found.get(edge) for edge in edges]
    if materialize_grads:
        gxs = [
            Tensor(array_module(x.data).zeros_like(x.data)) if g is None else g for x, g in zip(xs, gxs, strict=True)
        ]
    elif not allow_unused and any(g is None for g in gxs):
        unused = next(i for i, g in enumerate(gxs) if g is None)
        raise GraphError(
            f"grad: inputs[{unused}] of shape {xs[unused].shape} was not used to compute the outputs; "
            "allow_unused=True returns None for it"
        )
    return tuple(gxs)


def differentiate(
    formula: Callable[..., tuple[Tensor | None, ...]],
    inputs: Sequence[Tensor | None],
    cotangents: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """The backward of a fused op from its formula in ops: the gradients of <formula(*inputs), cotangents>.

    Fused kernels compute a first derivative in one pass; for the derivatives after it nobody waits, and the formula is
    the clearest statement of what they are.
    """
    from .ops.shape import alias

    with enable_grad():
        # fresh nodes: the walk stops at them, however the inputs depend on each other
        fresh = [None if x is None else alias(x) for x in inputs]
        outputs = zip(formula(*fresh), cotangents, strict=True)
        pairs = [(y, g) for y, g in outputs if y is not None and g is not None and y.requires_grad]
    xs = [x for x in fresh if x is not None and x.requires_grad]
    ys, gys = [y for y, _ in pairs], [g for _, g in pairs]
    found = iter(grad(ys, xs, gys, create_graph=is_grad_enabled(), allow_unused=True) if ys else [None] * len(xs))
    return tuple(next(found) if x is not None and x.requires_grad else None for x in fresh)
