"""What a graph leaves behind: weak references to all that is made while Python's cyclic collector is off."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import tinyseg as ts
from tinyseg.engine import Op

__all__ = ["collector_off", "remembered"]


@contextmanager
def collector_off() -> Iterator[None]:
    """Only reference counts free memory here. Run kernels once before: numba's compiler does leave cycles."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def remembered() -> Iterator[Callable[[], list[Any]]]:
    """A function that lists what is alive of the ops called, the Tensors made and their arrays since here."""
    seen: list[weakref.ref[Any]] = []
    call, init, wrap = Op.__call__, ts.Tensor.__init__, ts.Tensor._wrap

    def remembering_call(self: Op, *tensors: Any) -> Any:
        seen.append(weakref.ref(self))
        return call(self, *tensors)

    def remembering_init(self: ts.Tensor, data: Any, requires_grad: bool = False) -> None:
        init(self, data, requires_grad)
        seen.extend([weakref.ref(self), weakref.ref(self.data)])

    def remembering_wrap(*args: Any) -> ts.Tensor:  # does not call __init__
        made = wrap(*args)
        seen.extend([weakref.ref(made), weakref.ref(made.data)])
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Op, "__call__", remembering_call)
        patch.setattr(ts.Tensor, "__init__", remembering_init)
        patch.setattr(ts.Tensor, "_wrap", staticmethod(remembering_wrap))
        yield lambda: list({id(thing): thing for r in seen if (thing := r()) is not None}.values())
