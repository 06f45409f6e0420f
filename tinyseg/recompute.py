"""Activation checkpointing: keep no intermediate values of a function, and run it again when backward wants them.

The graph stays as it was recorded, op by op; only what the ops had kept goes. When the walk comes to the first of them,
the function runs once more, and each op takes over what its twin has kept. So every gradient, of every order, has the
same bits as without. **Source** Chen et al. 2016, "Training deep nets with sublinear memory cost".
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from . import random
from .engine import Op, Tensor, Version, autocast_type, autocasting, is_grad_enabled, observer, observing, recording
from .errors import ArgumentError, GraphError

__all__ = ["Keeper", "checkpoint"]

STAYS = ("edges", "created", "count", "needs", "block", "hooks", "line")  # of an op whose values go


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, whose intermediate values are computed again in backward instead of being kept.

    The function may take and return anything, use Tensors that it closes over, and be checkpointed inside again. It
    must do the same when it is run again; random numbers repeat unless `preserve_rng_state=False`. What else it does
    happens twice: batch normalisation takes note of a batch two times, as in PyTorch. Inside n others it runs n times.

    **Raises** ArgumentError for `use_reentrant=True`; in backward GraphError if the function did something else the
    second time, or if a Tensor that it used was changed in place since, or if it asks for gradients itself.
    """
    if use_reentrant:
        raise ArgumentError("checkpoint: use_reentrant=True is not supported; the graph is kept and values recomputed")
    outer = observer()
    if not is_grad_enabled() or isinstance(outer, Block | Keeper):  # an outer block lets all go, and runs us again
        return function(*args, **kwargs)
    block = Block(function, args, kwargs, random.get_state() if preserve_rng_state else None, outer)
    with observing(block):
        result = function(*args, **kwargs)
    block.close()
    return result


class Block:
    """The ops of one checkpointed call, and what it takes to make it again."""

    def __init__(self, function: Any, args: Any, kwargs: Any, random_state: Any, outer: Any) -> None:
        self.function, self.args, self.kwargs, self.random_state = function, args, kwargs, random_state
        self.autocast = autocast_type()
        self.outer = outer
        self.ops: list[weakref.ref[Op]] = []  # weak, for they know the block: the graph has no cycles
        self.versions: dict[int, Version] = {}
        self.counts: list[tuple[Version, int]] | None = None  # at the end of the call

    def note(self, op: Op, tensors: Sequence[Tensor | None]) -> None:
        """Called by each op that is recorded in the call: its values go at once, its settings when the call ends."""
        if self.outer is not None:
            self.outer.note(op, tensors)
        op._saved = []
        op.__dict__["block"] = (self, len(self.ops))
        self.ops.append(weakref.ref(op))
        self.versions.update({id(t._version): t._version for t in tensors if t is not None})

    def close(self) -> None:
        """The call has ended."""
        self.outer = None
        self.counts = [(version, version.count) for version in self.versions.values()]
        for op in filter(None, (ref() for ref in self.ops)):
            kept = {name: value for name, value in op.__dict__.items() if name in STAYS}
            op.release()
            op.__dict__.update(kept)

    def refill(self) -> None:
        """Run the function again and give every op its values back."""
        if self.counts is None:
            raise GraphError("checkpoint: the function asks for a gradient through what it has just computed")
        if any(version.count != count for version, count in self.counts):
            raise GraphError("checkpoint: a Tensor that the function used was changed in place since it ran")
        twins = self._run()
        ops = [ref() for ref in self.ops]
        same = len(ops) == len(twins) and all(
            op is None or type(op) is type(twin) for op, twin in zip(ops, twins, strict=True)
        )
        if not same:
            raise GraphError(
                f"checkpoint: the function recorded {len(ops)} ops when it ran and {len(twins)} others when it was run "
                "again; it must do the same both times"
            )
        for op, twin in zip(ops, twins, strict=True):
            if op is not None:
                _take_over(op, twin)
            twin.release()

    def _run(self) -> list[Op]:
        before, recorder = random.get_state(), Recorder()
        with recording(True), autocasting(self.autocast), observing(recorder):
            if self.random_state is not None:
                random.set_state(self.random_state)
            try:
                self.function(*self.args, **self.kwargs)
            finally:
                if self.random_state is not None:
                    random.set_state(before)
        return recorder.ops


class Keeper:
    """`observing(Keeper())`: the graph is only looked at, and checkpoints let nothing go."""

    def note(self, op: Op, tensors: Sequence[Tensor | None]) -> None:
        """Called by each op that is recorded."""


class Recorder:
    """Holds the ops of a second run, in their order."""

    def __init__(self) -> None:
        self.ops: list[Op] = []

    def note(self, op: Op, tensors: Sequence[Tensor | None]) -> None:
        """Called by each op that is recorded."""
        self.ops.append(op)


def _take_over(op: Op, twin: Op) -> None:
    """Give `op` what its twin has; if that is in a block of the second run, `op` stands there in its place."""
    del op.__dict__["block"]
    if "block" in twin.__dict__:
        inner, place = twin.__dict__["block"]
        inner.ops[place] = weakref.ref(op)
    for name, value in twin.__dict__.items():
        op.__dict__.setdefault(name, value)
