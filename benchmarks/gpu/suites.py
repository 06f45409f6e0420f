"""Every suite of rows, in the order of their weight: what comes when the time is up is left out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from benchmarks.gpu.arrays import PRECISIONS
from benchmarks.gpu.convolutions import convolutions
from benchmarks.gpu.device import Device
from benchmarks.gpu.elements import elements
from benchmarks.gpu.norms import norms
from benchmarks.gpu.places import places
from benchmarks.gpu.pooling import pooling
from benchmarks.gpu.products import attentions, products
from benchmarks.gpu.resizing import resizing
from benchmarks.gpu.rows import Work
from benchmarks.gpu.softmaxes import softmaxes
from benchmarks.gpu.updates import updates

__all__ = ["SUITES", "works"]

PASSES = norms, softmaxes, pooling, resizing, elements, updates, places
SUITES = (convolutions, attentions, products, *PASSES)


def order() -> Iterable[tuple[str, Callable[[Device, str], Iterator[Work]]]]:
    """Types and suites: convolution in the types that have a goal, then everything else, type by type."""
    first = [(precision, convolutions) for precision in PRECISIONS if precision != "bfloat16"]
    return dict.fromkeys([*first, *itertools.product(PRECISIONS, SUITES)])  # each once


def works(device: Device, only: str = "", every: bool = True) -> Iterator[Work]:
    """Those whose suite, name, shape and type contain `only`; without `every` one shape of each, bar the extra ones."""
    for precision, suite in order():
        if precision == "tf32" and suite in PASSES:
            continue  # they multiply no matrices
        for work in suite(device, precision):
            label = f"{work.suite} {work.name} {work.shape} {work.precision}"
            if only in label and (every or not work.extra):
                yield work
