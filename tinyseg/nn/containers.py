"""Modules that hold modules: in a row, in a list, by name."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..errors import ArgumentError, BoundsError, DTypeError
from .activation import ReLU
from .conv import Conv2d
from .module import Module, _indented
from .norm import BatchNorm1d, BatchNorm2d

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


class _Numbered(Module):
    """Children named "0", "1", ... and reached by their position."""

    def _append(self, modules: Iterable[Module]) -> None:
        for module in modules:
            if not isinstance(module, Module):
                raise DTypeError(f"{type(self).__name__}: expected a Module, got {type(module).__name__}")
            self.add_module(str(len(self)), module)

    def _list(self) -> list[Module]:
        return [m for _, m in self._own_modules()]

    def __len__(self) -> int:
        return len(self._list())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._list())

    def _place(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise BoundsError(f"{type(self).__name__}: index {index} is out of range for {len(self)} modules")
        return index % len(self)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._like(list(self._own_modules())[index])
        return self._list()[self._place(index)]

    def _like(self, named: list[tuple[str, Module]]) -> _Numbered:
        part = type(self)()
        part._append(module for _, module in named)
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, list(dict(self._own_modules()))[self._place(index)], module)

    def append(self, module: Module) -> Any:
        """Add a module at the end."""
        self._append([module])
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end."""
        self._append(list(modules))
        return self


class Sequential(_Numbered):
    """Modules applied one after another: given in a row, or as a dict of names.

    A Conv2d or a BatchNorm with a ReLU behind it runs as one op, which gives the same bits and saves a pass over
    memory; not where one of the two has a hook, which would miss what stands between them.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self._append(args)

    def _like(self, named: list[tuple[str, Module]]) -> Sequential:
        return Sequential(dict(named))  # a slice keeps the names, as in PyTorch

    def forward(self, input: Any) -> Any:
        """Each module on the output of the one before."""
        modules = self._list()
        i = 0
        while i < len(modules):
            follower = modules[i + 1] if i + 1 < len(modules) else None
            if _runs_as_one(modules[i], follower):
                input = modules[i](input, relu=True)
                i += 2
            else:
                input = modules[i](input)
                i += 1
        return input


def _runs_as_one(module: Module, follower: Module | None) -> bool:
    """Whether the module can apply the ReLU behind it. Exact types: a subclass may have a `forward` of its own."""
    if type(follower) is not ReLU or type(module) not in (Conv2d, BatchNorm1d, BatchNorm2d):
        return False
    return not any("forward" in vars(m) or m.has_hooks() for m in (module, follower))


class ModuleList(_Numbered):
    """A list whose modules count as children."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self._append(modules or ())

    def insert(self, index: int, module: Module) -> None:
        """Put a module before position `index`; the later ones are renumbered."""
        modules = self._list()
        modules.insert(index, module)
        for i, m in enumerate(modules):
            vars(self)[str(i)] = m

    def _children_repr(self) -> list[str]:
        """Equal neighbours once, as in PyTorch: `(0-2): 3 x ReLU()`."""
        lines, start = [], 0
        for text, group in itertools.groupby(repr(module) for module in self):
            count = len(list(group))
            name = f"({start}): " if count == 1 else f"({start}-{start + count - 1}): {count} x "
            lines.append(name + _indented(text))
            start += count
        return lines


class ModuleDict(Module):
    """A dict whose modules count as children, in order of insertion."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add or replace modules by name."""
        for name, module in modules.items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise ArgumentError(f"ModuleDict: no module {name!r}; it holds {', '.join(self) or 'none'}")
        return vars(self)[name]

    def __delitem__(self, name: str) -> None:
        delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in dict(self._own_modules())

    def __len__(self) -> int:
        return len(dict(self._own_modules()))

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._own_modules()))

    def keys(self) -> Iterable[str]:
        """The names."""
        return dict(self._own_modules()).keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return dict(self._own_modules()).values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names with modules."""
        return dict(self._own_modules()).items()
