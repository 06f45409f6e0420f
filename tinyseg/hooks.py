"""Hooks: functions of the user's that see, and may replace, the gradient of a Tensor as the walk passes.

A hook belongs to the edge of its Tensor, the place in the graph, as a gradient does: that of a computed Tensor is kept
by the op that made it, that of a leaf by the leaf. It runs once a walk, when the gradient is complete: for a computed
Tensor before the op's backward, for a leaf at the end of the walk.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .engine import Edge, Op, Tensor
from .errors import DTypeError, GraphError, ShapeError

__all__ = [
    "HookHandle",
    "Hooks",
    "accumulated",
    "add_hook",
    "add_to_grad",
    "apply_hooks",
    "register_hook",
    "register_post_accumulate_grad_hook",
    "retain_grad",
]


Hooks = dict[int, Any]  # by the number of their registration; not by their handle, which would close a cycle
_registered = itertools.count()
_LAST = -1  # the key of the hook that keeps a gradient for its Tensor: it sees what the others made of it


class HookHandle:
    """Takes a hook back: `handle.remove()`."""

    def __init__(self, hooks: Hooks, key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Remove the hook; a second time does nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


def add_hook(hooks: Hooks, hook: Any, prepend: bool = False) -> HookHandle:
    """Put a hook behind the others, or before them, and return its handle."""
    key, others = next(_registered), dict(hooks) if prepend else {}
    for other in others:
        del hooks[other]
    hooks[key] = hook
    hooks.update(others)
    return HookHandle(hooks, key)


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
    """Call `hook(grad)` with every gradient of this Tensor, in `ts.grad` too; its result, unless None, replaces it.

    Hooks run in the order of their registration, recorded under `create_graph=True`. They must not change `grad`
    itself. A hook of a computed Tensor goes with its graph. `ts.grad` always returns what the hooks made of a gradient,
    PyTorch only if the walk does not go on from there.
    **Raises** GraphError if the Tensor does not require grad; in backward ShapeError, DTypeError for a result that is
    unlike `grad`.
    """
    if isinstance(edge := self.edge, Tensor):
        return add_hook(_of_leaf(edge)["grad"], hook)
    if edge is None:
        raise GraphError("register_hook: this Tensor does not require grad, so no gradient will come")
    hooks = _of_slot(edge)
    handle = add_hook(hooks, hook)
    if _LAST in hooks:
        hooks[_LAST] = hooks.pop(_LAST)
    return handle


def retain_grad(self: Tensor) -> None:
    """Have every walk add its gradient to `.grad` of this computed Tensor too, as it does for leaves.

    The graph knows the Tensor only as long as somebody else does. **Raises** GraphError if it does not require grad.
    """
    if not self.requires_grad:
        raise GraphError("retain_grad: this Tensor does not require grad, so no gradient will come")
    if isinstance(edge := self.edge, tuple):
        _of_slot(edge)[_LAST] = partial(_retain, weakref.ref(self))


def _retain(kept_for: weakref.ref[Tensor], g: Tensor) -> None:
    if (t := kept_for()) is not None:
        add_to_grad(t, g)


def add_to_grad(t: Tensor, g: Tensor, alone: bool = False) -> None:
    """Add a gradient to `.grad`, which is an array of its own and has no graph; `alone`: nobody else holds g."""
    if t.grad is None:
        t.grad = Tensor(g.data if alone else g.data.copy())
    else:
        t.grad = Tensor(t.grad.data + g.data)


def _of_slot(edge: tuple[Op, int]) -> Hooks:
    op, slot = edge
    return op.__dict__.setdefault("hooks", {}).setdefault(slot, {})


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], None]) -> HookHandle:
    """Call `hook(t)` after each `backward` that has added to `t.grad`; for leaves. **Raises** GraphError."""
    if self.edge is not self:
        raise GraphError("register_post_accumulate_grad_hook: only a leaf that requires grad accumulates one")
    return add_hook(_of_leaf(self)["accumulated"], hook)


def _of_leaf(leaf: Tensor) -> dict[str, Hooks]:
    if leaf._hooks is None:
        leaf._hooks = {"grad": {}, "accumulated": {}}
    return leaf._hooks


def apply_hooks(edge: Edge, g: Tensor) -> Tensor:
    """The gradient that the hooks of `edge` make of `g`."""
    if isinstance(edge, Tensor):
        hooks: Sequence[Any] = tuple(edge._hooks["grad"].values()) if edge._hooks else ()
    else:
        hooks = tuple(edge[0].__dict__.get("hooks", {}).get(edge[1], {}).values())
    for hook in hooks:
        changed = hook(g)
        g = g if changed is None else _checked(changed, g)
    return g


def _checked(changed: Any, g: Tensor) -> Tensor:
    if not isinstance(changed, Tensor):
        raise DTypeError(f"register_hook: a hook must return a Tensor or None, got {type(changed).__name__}")
    if changed.shape != g.shape:
        raise ShapeError(f"register_hook: a hook must return a gradient of shape {g.shape}, got {changed.shape}")
    if changed.dtype != g.dtype or changed.device != g.device:
        came = f"{changed.dtype} on {changed.device}"
        raise DTypeError(f"register_hook: a hook must return a gradient of {g.dtype} on {g.device}, got {came}")
    return changed


def accumulated(leaf: Tensor) -> None:
    """Run the hooks of a leaf that wait for its `.grad`."""
    for hook in tuple(leaf._hooks["accumulated"].values()) if leaf._hooks else ():
        hook(leaf)
