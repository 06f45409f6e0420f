"""Module: a function with parameters, made of smaller ones.

There is no registry beside the object: a parameter, a buffer or a child module is an attribute, and `vars(module)`
keeps attributes in the order of their first assignment, which is PyTorch's order. A name that holds a Parameter or a
Module may only be given another one, or None, so that nothing drops out of `parameters()` unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from ..devices import names_device, to_device
from ..engine import Tensor
from ..errors import ArgumentError, CheckpointError, DTypeError
from ..hooks import HookHandle, Hooks, add_hook
from ..ops.checks import element_type, is_float
from .hooks import BackwardHooks, ForwardCall
from .state import as_array

__all__ = ["HookHandle", "IncompatibleKeys", "Module", "Parameter"]


class Parameter(Tensor):
    """A Tensor that a Module lists as its own, on the array of `data` without a copy; it wants a gradient."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        array = data.data if isinstance(data, Tensor) else data
        super().__init__(array if hasattr(array, "dtype") else np.asarray(array), requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` did not find in the state, and what it found there without a use for it."""

    missing_keys: list[str]
    unexpected_keys: list[str]


HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


class Module:
    """Base of all layers and models: assign Parameters and Modules as attributes, write `forward`, call the object."""

    training: bool
    optional_keys: tuple[str, ...] = ()  # own entries of the state that an older checkpoint may lack

    def __init__(self) -> None:
        hooks: dict[str, Any] = {name: {} for name in HOOKS}
        vars(self).update(training=True, _buffers={}, **hooks)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass writes its own."""
        raise ArgumentError(f"{type(self).__name__}: the class has no forward method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = ForwardCall(self, args, kwargs)
        try:
            return self._run(call)
        except Exception:
            call.failed()
            raise

    def _run(self, call: ForwardCall) -> Any:
        for pre_hook, with_kwargs in tuple(self._forward_pre_hooks.values()):
            call.args, call.kwargs = self._arguments(pre_hook, with_kwargs, call.args, call.kwargs)
        waiting = None
        if self._backward_hooks or self._backward_pre_hooks:
            before, after = tuple(self._backward_pre_hooks.values()), tuple(self._backward_hooks.values())
            waiting = BackwardHooks(self, before, after)
            call.args = waiting.enter(call.args)
        call.output = self.forward(*call.args, **call.kwargs)
        for key, hook in tuple(self._forward_hooks.items()):
            call.run(key, *hook)
        return call.output if waiting is None else waiting.leave(call.output)

    def _arguments(self, hook: Any, with_kwargs: bool, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments after a pre-hook."""
        changed = hook(self, args, kwargs) if with_kwargs else hook(self, args)
        if changed is None:
            return args, kwargs
        if not with_kwargs:
            return (changed if isinstance(changed, tuple) else (changed,)), kwargs
        if not (isinstance(changed, tuple) and len(changed) == 2):
            raise DTypeError(
                f"register_forward_pre_hook: a hook with kwargs must return (args, kwargs) or None, got {changed!r}"
            )
        return changed

    def has_hooks(self) -> bool:
        """Whether anyone listens to calls of this module, or to their gradients."""
        return any(vars(self)[name] for name in HOOKS)

    # -- attributes -----------------------------------------------------------------------------------------------

    _buffers: dict[str, bool]  # name -> whether it belongs to the state
    _forward_pre_hooks: Hooks  # (hook, whether it takes kwargs)
    _forward_hooks: Hooks  # (hook, whether it takes kwargs, whether errors do not stop it)
    _backward_pre_hooks: Hooks
    _backward_hooks: Hooks

    def __setattr__(self, name: str, value: Any) -> None:
        if "_buffers" not in vars(self):
            raise ArgumentError(f"{type(self).__name__}.{name}: call super().__init__() before assigning attributes")
        kind = self._kind(name)
        if kind is not None and value is not None and not isinstance(value, kind):
            raise DTypeError(
                f"{type(self).__name__}.{name}: expected {kind.__name__} or None, got {type(value).__name__}; "
                f"`del` the attribute first to use its name for something else"
            )
        object.__setattr__(self, name, value)

    def _kind(self, name: str) -> type[Any] | None:
        if name in self._buffers:
            return Tensor
        held = vars(self).get(name)
        return Parameter if isinstance(held, Parameter) else Module if isinstance(held, Module) else None

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._buffers.pop(name, None)

    def _check_name(self, caller: str, name: Any) -> None:
        if not isinstance(name, str) or name == "" or "." in name:
            raise ArgumentError(f"{caller}: name must be a string without dots and not empty, got {name!r}")
        if hasattr(self, name) and vars(self).get(name) is not None and self._kind(name) is None:
            raise ArgumentError(f"{caller}: {type(self).__name__} already has an attribute {name!r}")
        if name not in vars(self) and hasattr(type(self), name):
            raise ArgumentError(f"{caller}: {name!r} is a method of {type(self).__name__}")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a computed name; None keeps its place for later."""
        self._check_name("register_parameter", name)
        if param is not None and not isinstance(param, Parameter):
            raise DTypeError(f"register_parameter: {name!r} must be a Parameter or None, got {type(param).__name__}")
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a Tensor that is state but not trained, such as a running mean; `persistent` puts it in `state_dict`."""
        self._check_name("register_buffer", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise DTypeError(f"register_buffer: {name!r} must be a Tensor or None, got {type(tensor).__name__}")
        setattr(self, name, tensor)
        self._buffers[name] = persistent

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child under a computed name."""
        self._check_name("add_module", name)
        if module is not None and not isinstance(module, Module):
            raise DTypeError(f"add_module: {name!r} must be a Module or None, got {type(module).__name__}")
        setattr(self, name, module)

    register_module = add_module

    # -- hooks ----------------------------------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call `hook(module, args)` before every forward; what it returns, unless None, replaces the arguments.

        One value stands for a tuple of one. `with_kwargs`: `hook(module, args, kwargs)`, which returns both or None.
        """
        return add_hook(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> HookHandle:
        """Call `hook(module, args, output)` after every forward; what it returns, unless None, replaces the output.

        `with_kwargs`: `hook(module, args, kwargs, output)`. With `always_call` it runs, with the output there is or
        None, even if forward or another hook raises; the error goes on, and one of the hook's own becomes a warning.
        """
        return add_hook(self._forward_hooks, (hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> HookHandle:
        """Call `hook(module, grad_output)` once the gradients of the outputs are there; it may return others."""
        return add_hook(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> HookHandle:
        """Call `hook(module, grad_input, grad_output)` once the gradients of the inputs are there; may return others.

        Both are tuples: `grad_input` with an entry for each positional argument, None for one that is no Tensor and
        zeros for one without a gradient; `grad_output` for the output, or each of a tuple of outputs. If no argument
        takes a gradient, the hook runs with None for all of them as soon as those of the outputs are there.
        """
        return add_hook(self._backward_hooks, hook, prepend)

    # -- walking the tree -----------------------------------------------------------------------------------------

    def _own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        return ((name, p) for name, p in tuple(vars(self).items()) if isinstance(p, Parameter))

    def _own_buffers(self) -> Iterator[tuple[str, Tensor]]:
        held = ((name, vars(self)[name]) for name in tuple(self._buffers))
        return ((name, t) for name, t in held if t is not None)

    def _own_modules(self) -> Iterator[tuple[str, Module]]:
        return ((name, m) for name, m in tuple(vars(self).items()) if isinstance(m, Module))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Direct children with their names, each module once."""
        return _once(self._own_modules(), True)

    def children(self) -> Iterator[Module]:
        """Direct children, each once."""
        return (m for _, m in self.named_children())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module (under `prefix`) and all below it, parents first."""
        return _once(self._all_modules(prefix), remove_duplicate)

    def _all_modules(self, prefix: str) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, child in self._own_modules():
            yield from child._all_modules(_joined(prefix, name))

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (m for _, m in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Parameters with their dotted names; one that is shared appears once, under its first name."""
        modules = self.named_modules(prefix, remove_duplicate) if recurse else iter([(prefix, self)])
        named = ((_joined(path, name), p) for path, module in modules for name, p in module._own_parameters())
        return _once(named, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Parameters, each once, frozen ones too."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Buffers with their dotted names, persistent or not."""
        modules = self.named_modules(prefix, remove_duplicate) if recurse else iter([(prefix, self)])
        named = ((_joined(path, name), t) for path, module in modules for name, t in module._own_buffers())
        return _once(named, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Buffers, each once."""
        return (t for _, t in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path. **Raises** ArgumentError if there is none."""
        found = dict(self.named_modules(remove_duplicate=False)).get(target)
        if found is None:
            raise ArgumentError(f"get_submodule: {type(self).__name__} has no module {target!r}")
        return found

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module, children before parents."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # -- modes, types, devices ------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Training behaviour (dropout on, batch statistics) for this module and all below it."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Evaluation behaviour: `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze or unfreeze all parameters; a frozen one stays a parameter."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        for p in self.parameters():
            if p.grad is not None and not set_to_none:
                p.grad.assign_(0)
            elif set_to_none:
                p.grad = None

    def to(self, *args: Any, dtype: Any = None, device: str | None = None) -> Self:
        """Move to a device and/or a floating-point type, in place: `m.to("cuda")`, `m.to(ts.float64)`, `m.to(tensor)`.

        Parameters stay the same objects, so an optimiser keeps hold of them. Integer buffers keep their type.
        """
        for arg in args:
            if isinstance(arg, Tensor):
                dtype, device = arg.dtype, arg.device
            elif names_device(arg):
                device = arg
            elif arg is not None:
                dtype = arg
        dtype = None if dtype is None else element_type("Module.to", dtype)
        if dtype is not None and not is_float(dtype):
            raise DTypeError(f"Module.to: expected a floating-point type, got {dtype}")
        for tensor in (*self.parameters(), *self.buffers()):
            _convert(tensor, dtype, device)
        return self

    def double(self) -> Self:
        """`to(float64)`."""
        return self.to(dtype=np.float64)

    def float(self) -> Self:
        """`to(float32)`."""
        return self.to(dtype=np.float32)

    def half(self) -> Self:
        """`to(float16)`."""
        return self.to(dtype=np.float16)

    def cpu(self) -> Self:
        """`to("cpu")`."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """`to("cuda")`."""
        return self.to("cuda")

    # -- state ----------------------------------------------------------------------------------------------------

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, in PyTorch's order; Tensors on the module's own memory.

        A shared parameter appears under each of its names. With `keep_vars` the values are the Parameters themselves.
        """
        own: dict[str, Tensor] = dict(self._own_parameters())
        own |= {name: t for name, t in self._own_buffers() if self._buffers[name]}
        state = {prefix + name: t if keep_vars else t.detach() for name, t in own.items()}
        for name, child in self._own_modules():
            state |= child.state_dict(prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values in by name: Tensors, NumPy arrays or PyTorch tensors; types become the module's.

        `strict=False` allows keys to be missing or left over, never a shape to differ. Either everything is loaded or,
        if anything is wrong, nothing. **Returns** (missing_keys, unexpected_keys).
        **Raises** CheckpointError, which lists all that does not fit.
        """
        targets = self.state_dict()
        arrays = {key: as_array("load_state_dict", key, value) for key, value in state_dict.items() if key in targets}
        missing = [key for key in targets if key not in state_dict and key not in self._optional()]
        unexpected = [key for key in state_dict if key not in targets]
        problems = [
            f"{key} has shape {arrays[key].shape}, the model needs {t.shape}"
            for key, t in targets.items()
            if key in arrays and arrays[key].shape != t.shape
        ]
        if strict:
            problems += [f"missing: {', '.join(missing)}"] * bool(missing)
            problems += [f"unexpected: {', '.join(map(str, unexpected))}"] * bool(unexpected)
        if problems:
            raise CheckpointError(
                f"load_state_dict: the state is not one of {type(self).__name__}: {'; '.join(problems)}"
            )
        for key, array in arrays.items():
            targets[key].assign_(array)
        return IncompatibleKeys(missing, unexpected)

    def _optional(self) -> set[str]:
        modules = self.named_modules(remove_duplicate=False)
        return {_joined(path, name) for path, module in modules for name in module.optional_keys}

    # -- printing -------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The settings that `repr` shows between the brackets."""
        return ""

    def _children_repr(self) -> list[str]:
        return [f"({name}): {_indented(repr(child))}" for name, child in self._own_modules()]

    def __repr__(self) -> str:
        settings, children = self.extra_repr(), self._children_repr()
        if not children:
            return f"{type(self).__name__}({settings})"
        lines = [*([settings] if settings else []), *children]
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _once(named: Iterator[tuple[str, Any]], remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
    """Each object under its first name only."""
    seen: dict[int, Any] = {}  # by identity, since == compares a Tensor's elements; holds on, so that no id is reused
    for name, thing in named:
        if not (remove_duplicate and id(thing) in seen):
            seen[id(thing)] = thing
            yield name, thing


def _convert(tensor: Tensor, dtype: Any, device: str | None) -> None:
    """Give a Tensor, and its gradient, another array of the wanted type and device; the object stays."""
    data = tensor.data
    if dtype is not None and is_float(data.dtype):
        data = data.astype(dtype, copy=False)
    data = to_device(data, device)
    if data is not tensor.data:
        tensor.data = data
        tensor.bump()  # a graph that still holds the old array must not run its backward into the new type
    if tensor.grad is not None:
        _convert(tensor.grad, dtype, device)
