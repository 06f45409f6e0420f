"""Hooks of Modules. Those of backward are two gates in the graph: where the inputs enter, where the outputs leave."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, DTypeError

__all__ = ["BackwardHooks", "ForwardCall"]

Gradients = tuple[Tensor | None, ...]


class ForwardCall:
    """One call of a module on its way through the forward hooks."""

    def __init__(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module, self.args, self.kwargs, self.output = module, args, kwargs, None
        self.reached: set[int] = set()

    def run(self, key: int, hook: Callable[..., Any], with_kwargs: bool, _: bool) -> None:
        """Run a hook; what it returns, unless None, is the output from then on."""
        self.reached.add(key)
        given = (self.args, self.kwargs) if with_kwargs else (self.args,)
        changed = hook(self.module, *given, self.output)
        self.output = self.output if changed is None else changed

    def failed(self) -> None:
        """Run the hooks that were not reached and are to be called always."""
        for key, hook in tuple(self.module._forward_hooks.items()):
            if hook[-1] and key not in self.reached:
                try:
                    self.run(key, *hook)
                except Exception as error:
                    text = f"register_forward_hook: a hook with always_call raised after another error: {error}"
                    warnings.warn(text, stacklevel=4)


class Gate(Op):
    """y = x for any number of Tensors; `meet` is given all their gradients at once and says what they are behind it"""

    meet: Callable[[Gradients], Sequence[Tensor | None]]

    def forward(self, *xs: Array) -> tuple[Array, ...]:
        return xs

    def backward(self, *gys: Tensor | None) -> tuple[Tensor | None, ...]:
        return tuple(self.meet(gys))


class BackwardHooks:
    """One call of a module whose backward hooks wait for its gradients."""

    def __init__(self, module: Any, before: Sequence[Any], after: Sequence[Any]) -> None:
        self.module, self.before, self.after = module, before, after
        self.grad_output: Gradients = ()

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments behind the first gate."""
        self.args = tuple(isinstance(a, Tensor) for a in args)
        self.zeros = [partial(_zeros, array_module(a.data), a.shape, a.dtype) for a in args if isinstance(a, Tensor)]
        self.wanted = any(isinstance(a, Tensor) and a.requires_grad for a in args)
        return _through(Gate(self._at_inputs), args)

    def leave(self, output: Any) -> Any:
        """The output behind the second gate: a Tensor, or those in a tuple."""
        outputs = output if isinstance(output, tuple) else (output,)
        self.outputs = tuple(isinstance(y, Tensor) for y in outputs)
        passed = _through(Gate(self._at_outputs), outputs)
        return passed if isinstance(output, tuple) else passed[0]

    def _at_outputs(self, gys: Gradients) -> Sequence[Tensor | None]:
        grads = _spread(gys, self.outputs)
        for hook in self.before:
            changed = hook(self.module, grads)
            grads = grads if changed is None else _checked("register_full_backward_pre_hook", changed, grads)
        self.grad_output = grads
        if not self.wanted:  # no gradient will come to the first gate
            self._run((None,) * len(self.args))
        return _gathered(grads, self.outputs)

    def _at_inputs(self, gys: Gradients) -> Sequence[Tensor | None]:
        full = tuple(zeros() if g is None else g for g, zeros in zip(gys, self.zeros, strict=True))
        return _gathered(self._run(_spread(full, self.args)), self.args)

    def _run(self, grads: Gradients) -> Gradients:
        grad_output, self.grad_output = self.grad_output, ()
        for hook in self.after:
            changed = hook(self.module, grads, grad_output)
            grads = grads if changed is None else _checked("register_full_backward_hook", changed, grads)
        return grads


def _zeros(module: Any, shape: tuple[int, ...], dtype: Any) -> Tensor:
    return Tensor(module.zeros(shape, dtype))


def _through(gate: Gate, values: tuple[Any, ...]) -> tuple[Any, ...]:
    passed = iter(gate.pass_on([v for v in values if isinstance(v, Tensor)]))
    return tuple(next(passed) if isinstance(v, Tensor) else v for v in values)


def _spread(grads: Gradients, is_tensor: Sequence[bool]) -> Gradients:
    """One gradient for each value, None where it was no Tensor."""
    left = iter(grads)
    return tuple(next(left) if is_one else None for is_one in is_tensor)


def _gathered(grads: Gradients, is_tensor: Sequence[bool]) -> Gradients:
    return tuple(g for g, is_one in zip(grads, is_tensor, strict=True) if is_one)


def _checked(caller: str, changed: Any, grads: Gradients) -> Gradients:
    """What a hook returned, as a tuple like `grads`."""
    changed = changed if isinstance(changed, tuple) else (changed,)
    if len(changed) != len(grads):
        raise ArgumentError(f"{caller}: a hook must return {len(grads)} gradients or None, got {len(changed)}")
    for new, old in zip(changed, grads, strict=True):
        if new is not None and not isinstance(new, Tensor):
            raise DTypeError(f"{caller}: a hook must return Tensors or None, got {type(new).__name__}")
        if new is not None and old is not None and (new.shape, new.dtype) != (old.shape, old.dtype):
            raise ArgumentError(
                f"{caller}: a hook must return a gradient of {old.dtype} {old.shape}, got {new.dtype} {new.shape}"
            )
    return changed
