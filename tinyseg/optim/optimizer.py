"""What all optimisers share: groups of parameters, a state for each, and the walk over them.

`param_groups` and `state_dict` have PyTorch's structure, so that checkpoints can be read by those who know it.
A subclass is one method: `update`, the arithmetic of one parameter, on arrays and in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..devices import array_module, to_cpu
from ..engine import Array, Tensor, enable_grad
from ..errors import ArgumentError, CheckpointError, DTypeError
from ..nn.state import as_array

__all__ = ["Optimizer"]

State = dict[str, Tensor]


class Optimizer:
    """Moves parameters along their gradients; `params` are Tensors, or groups {"params": [...], "lr": ...}."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, State] = {}
        if isinstance(params, Tensor):
            raise DTypeError(f"{self._name}: params must be an iterable of Tensors or of groups, got a single Tensor")
        given = list(params)
        if not given:
            raise ArgumentError(f"{self._name}: got no parameters")
        groups = given if isinstance(given[0], Mapping) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add {"params": Tensors, ...}; settings that it does not give are the defaults."""
        given = param_group["params"]
        params = [given] if isinstance(given, Tensor) else list(given)
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise DTypeError(f"{self._name}: params must be Tensors, got {type(p).__name__}")
            if not p.is_leaf:
                raise ArgumentError(
                    f"{self._name}: a Tensor of shape {p.shape} was computed by an op; only leaves train"
                )
            if id(p) in known:
                raise ArgumentError(f"{self._name}: a parameter of shape {p.shape} appears twice")
            known.add(id(p))
        group = {"params": params, **self.defaults, **{k: v for k, v in param_group.items() if k != "params"}}
        self.check(group)
        self.param_groups.append(group)

    def check(self, group: dict[str, Any]) -> None:
        """Raise ArgumentError for a setting outside its range."""
        for key in ("lr", "weight_decay", "momentum", "eps", "alpha"):
            if key in group and not group[key] >= 0:
                raise ArgumentError(f"{self._name}: {key} must not be negative, got {group[key]}")
        for beta in group.get("betas", ()):
            if not 0 <= beta < 1:
                raise ArgumentError(f"{self._name}: betas must be in [0, 1), got {group['betas']}")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.assign_(0)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; `closure` computes the loss and the gradients first."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step(p, p.grad, group)
        return loss

    def _step(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        if (grad.shape, grad.dtype) != (p.shape, p.dtype):
            raise DTypeError(
                f"{self._name}.step: a parameter of {p.dtype} {p.shape} has a gradient of {grad.dtype} {grad.shape}"
            )
        g = grad.data if not group.get("maximize") else array_module(grad.data).asarray(-grad.data)
        self.update(p.data, g, group, self.state.setdefault(p, {}))
        p.bump()  # written in place: a graph that still needs the old values must not use these

    def update(self, p: Array, g: Array, group: dict[str, Any], state: State) -> None:
        """One step of the parameter `p` with gradient `g`, in place; `g` is not changed."""
        raise ArgumentError(f"{self._name}: the class has no update method")

    def state_dict(self) -> dict[str, Any]:
        """{"state": {index: {name: Tensor}}, "param_groups": [{..., "params": [index, ...]}]}, on the same memory."""
        params = [p for group in self.param_groups for p in group["params"]]
        index = {id(p): i for i, p in enumerate(params)}
        groups = [{**group, "params": [index[id(p)] for p in group["params"]]} for group in self.param_groups]
        return {"state": {index[id(p)]: dict(self.state[p]) for p in params if p in self.state}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy in a state, ours or PyTorch's, of an optimiser over the same parameters in the same order.

        **Raises** CheckpointError if groups or shapes differ; then nothing is changed.
        """
        groups = state_dict["param_groups"]
        ours, theirs = ([len(g["params"]) for g in gs] for gs in (self.param_groups, groups))
        if ours != theirs:
            raise CheckpointError(f"{self._name}.load_state_dict: groups of {ours} parameters, the state has {theirs}")
        pairs = zip(self.param_groups, groups, strict=True)
        params = {i: p for group, saved in pairs for i, p in zip(saved["params"], group["params"], strict=True)}
        state = {
            params[int(i)]: {name: self._loaded(params[int(i)], name, value) for name, value in entries.items()}
            for i, entries in state_dict["state"].items()
        }
        for group, saved in zip(self.param_groups, groups, strict=True):
            known = {"initial_lr", *group} - {"params"}
            group.update({key: value for key, value in saved.items() if key in known})
        self.state = {p: {k: t for k, t in entries.items() if t is not None} for p, entries in state.items()}

    def shape_of(self, name: str, p: Tensor) -> tuple[int, ...]:
        """The shape of an entry of the state of `p`."""
        return p.shape

    def _loaded(self, p: Tensor, name: str, value: Any) -> Any:
        """A copy of a saved entry: like its parameter, except the count of steps, a float32 on the CPU."""
        if value is None:
            return None
        array = to_cpu(as_array("load_state_dict", name, value))
        if name == "step":
            return Tensor(array.reshape(()).astype(np.float32))
        if array.shape != self.shape_of(name, p):
            raise CheckpointError(
                f"{self._name}.load_state_dict: {name} has shape {array.shape}, its parameter {p.shape}"
            )
        return Tensor(array.astype(p.dtype)).to(p.device)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines += [f"Parameter Group {i}", *(f"    {k}: {group[k]}" for k in sorted(group) if k != "params")]
        return "\n".join([*lines, ")"])
