"""A pickle machine that can do nothing but build data: dicts, lists, numbers, texts, and what a table allows.

Python's own would import whatever a pickle names; some of its instructions also allocate what the pickle says, or
recurse in C. `pickletools` decodes the instructions here, each is one line or two below, and those that PyTorch never
writes are refused. **Source** the comments in Python's `pickletools.py`; PyTorch's `_weights_only_unpickler.py`.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Global", "Machine", "Part", "Refused", "as_key", "shown"]


class Refused(Exception):
    """A pickle that asks for something it may not have; the text says what."""


class Part:
    """Something that a pickle may make use of, but not keep as a value."""


@dataclass(frozen=True, eq=False)
class Global(Part):
    """A function that a pickle may name, and call."""

    name: str
    call: Callable[..., Any]


def shown(text: Any) -> str:
    """A name from a stranger's file, fit for one line of an error."""
    return "".join(c if c.isprintable() else "?" for c in str(text))[:100]


def as_key(key: Any) -> Any:
    """`key` if a dict may have it; nested tuples could be hashed only by a recursion that the file controls."""
    parts = key if isinstance(key, tuple) else (key,)
    if not all(part is None or isinstance(part, str | int | float | bytes) for part in parts):
        raise Refused(f"it has a key of type {type(key).__name__} in a dict; expected texts or numbers")
    return key


class Machine:
    """Runs one pickle after another from `file`; `names` finds a global, `persistent` what stands outside it."""

    def __init__(self, file: Any, names: Callable[[str], Any], persistent: Callable[[Any], Any]) -> None:
        self.file, self.names, self.persistent = file, names, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # what lies under each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The object of the next pickle. **Raises** Refused, and whatever a damaged pickle makes Python raise."""
        self.stack, self.below, self.memo = [], [], {}
        for opcode, argument, _ in pickletools.genops(self.file):
            if opcode.name == "STOP":
                break
            if opcode.name in CONSTANTS:
                self.stack.append(CONSTANTS[opcode.name])
            elif opcode.name in LITERALS:
                self.stack.append(argument)
            elif opcode.name in ACTIONS:
                ACTIONS[opcode.name](self, argument)
            else:
                named = f" of {shown(argument)}" if opcode.name == "INST" else ""
                raise Refused(f"its pickle has the instruction {opcode.name}{named}, which no tensor needs")
        return self._value(self.stack.pop())

    def _value(self, value: Any) -> Any:
        if isinstance(value, Part):
            raise Refused(f"it holds {getattr(value, 'name', 'a bare storage')} itself as a value")
        return value

    # --- the stack ---

    def _mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def _items(self) -> list[Any]:
        """What was pushed since the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def _pop_n(self, n: int) -> tuple[Any, ...]:
        if len(self.stack) < n:
            raise IndexError("the stack is too short")
        items = tuple(self.stack[len(self.stack) - n :])
        del self.stack[len(self.stack) - n :]
        return items

    # --- containers ---

    def _top(self, kind: Any) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise Refused(f"its pickle adds items to a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def _append(self, items: list[Any]) -> None:
        self._top(list).extend(map(self._value, items))

    def _add(self, items: list[Any]) -> None:
        self._top(set).update(map(as_key, items))

    def _set(self, items: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[as_key(key)] = self._value(value)

    def _push_dict(self, items: list[Any]) -> None:
        self.stack.append({})
        self._set(items)

    def _push_list(self, items: list[Any]) -> None:
        self.stack.append(list(map(self._value, items)))

    def _push_tuple(self, items: list[Any]) -> None:
        self.stack.append(tuple(items))

    # --- names and calls ---

    def _global(self, name: str) -> None:
        self.stack.append(self.names(name))

    def _stack_global(self) -> None:
        module, name = self._pop_n(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Refused("its pickle names a function by something other than text")
        self._global(f"{module}.{name}")

    def _call(self) -> None:
        function, arguments = self._pop_n(2)
        if not isinstance(function, Global):
            raise Refused(f"its pickle calls a {type(function).__name__}")
        self.stack.append(function.call(*arguments))

    def _build(self) -> None:
        """An object's own attributes: an OrderedDict's `_metadata` (the versions of the layers) and no others."""
        (state,) = self._pop_n(1)
        if not (isinstance(self.stack[-1], OrderedDict) and isinstance(state, dict)):
            raise Refused(f"its pickle sets attributes of a {type(self.stack[-1]).__name__}")
        if isinstance(state.get("_metadata"), dict):
            vars(self.stack[-1])["_metadata"] = state["_metadata"]


CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
LITERALS = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
))  # fmt: skip
ACTIONS: Mapping[str, Callable[[Machine, Any], Any]] = {
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "MARK": lambda m, _: m._mark(),
    "POP": lambda m, _: m._pop_n(1),
    "POP_MARK": lambda m, _: m._items(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_SET": lambda m, _: m.stack.append(set()),
    "LIST": lambda m, _: m._push_list(m._items()),
    "DICT": lambda m, _: m._push_dict(m._items()),
    "TUPLE": lambda m, _: m._push_tuple(m._items()),
    "TUPLE1": lambda m, _: m.stack.append(m._pop_n(1)),
    "TUPLE2": lambda m, _: m.stack.append(m._pop_n(2)),
    "TUPLE3": lambda m, _: m.stack.append(m._pop_n(3)),
    "APPEND": lambda m, _: m._append(list(m._pop_n(1))),
    "APPENDS": lambda m, _: m._append(m._items()),
    "ADDITEMS": lambda m, _: m._add(m._items()),
    "SETITEM": lambda m, _: m._set(list(m._pop_n(2))),
    "SETITEMS": lambda m, _: m._set(m._items()),
    **{name: lambda m, i: m.memo.__setitem__(i, m.stack[-1]) for name in ("PUT", "BINPUT", "LONG_BINPUT")},
    **{name: lambda m, i: m.stack.append(m.memo[i]) for name in ("GET", "BINGET", "LONG_BINGET")},
    "MEMOIZE": lambda m, _: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    "GLOBAL": lambda m, name: m._global(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda m, _: m._stack_global(),
    "REDUCE": lambda m, _: m._call(),
    "NEWOBJ": lambda m, _: m._call(),
    "BUILD": lambda m, _: m._build(),
    "BINPERSID": lambda m, _: m.stack.append(m.persistent(m.stack.pop())),
}
