"""What the ops ask of NumPy on a device's arrays CuPy has too: every function that the table calls, its arguments."""

from __future__ import annotations

import collections
import inspect

import pytest

import tinyseg as ts
from tests.cases import CASES
from tinyseg.kernels import emulated

cupy = pytest.importorskip("cupy", exc_type=ImportError)
special = pytest.importorskip("cupyx.scipy.special", exc_type=ImportError)

# Keywords that NumPy's own functions hand on to one another, and that nothing of ours gives.
INTERNAL = {"where", "device", "subok", "casting"}


def name_of(function):
    inner = [part for part in ("linalg", "fft") if part in (getattr(function, "__module__", "") or "")]
    return ".".join([*inner, function.__name__])


@pytest.fixture(scope="module")
def calls():
    """{(kind, name): how it was called} of everything that was asked of NumPy for an emulated array."""
    seen = collections.defaultdict(set)

    def note(kind, name, args, kwargs):
        seen[kind, name].add((len(args), tuple(sorted(set(kwargs) - INTERNAL))))

    array, module = emulated.EmulatedArray, emulated._returning_emulated
    function, ufunc = array.__array_function__, array.__array_ufunc__

    def array_function(self, called, types, args, kwargs):
        note("function", name_of(called), args, kwargs)
        return function(self, called, types, args, kwargs)

    def array_ufunc(self, called, method, *inputs, out=None, **options):
        note("ufunc", f"{called.__name__}.{method}", inputs, options)
        return ufunc(self, called, method, *inputs, out=out, **options)

    def returning_emulated(called):
        inner = module(called)

        def call(*args, **kwargs):
            note("function", name_of(called), args, kwargs)
            return inner(*args, **kwargs)

        return call

    kept = dict(emulated.EMULATED_NUMPY.__dict__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array, "__array_function__", array_function)
        patch.setattr(array, "__array_ufunc__", array_ufunc)
        patch.setattr(emulated, "_returning_emulated", returning_emulated)
        emulated.EMULATED_NUMPY.__dict__.clear()
        emulated.EMULATED_NUMPY.__init__()
        for case in CASES:
            leaves, ys = case.ours(case.arrays(), "emulated")
            wanted = [leaves[i] for i in case.varied()]
            ys = [y for y in ys if y.requires_grad]
            if wanted and ys:
                ts.grad(ys, wanted, [ts.ones_like(y) for y in ys], materialize_grads=True)
    emulated.EMULATED_NUMPY.__dict__.clear()
    emulated.EMULATED_NUMPY.__dict__.update(kept)
    return seen


def test_cupy_has_every_function_and_its_arguments(calls):
    wrong = []
    for (kind, name), ways in sorted(calls.items()):
        if kind != "function":
            continue
        found = cupy
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None:
            wrong.append(f"{name} is missing")
            continue
        try:
            signature = inspect.signature(found)
        except ValueError:  # compiled, and says nothing of its arguments
            continue
        for count, keywords in ways:
            try:
                signature.bind(*[0] * count, **dict.fromkeys(keywords))
            except TypeError as error:
                wrong.append(f"{name}: {error}")
    assert not wrong
    assert len(calls) > 60


def test_cupy_has_every_ufunc_and_its_method(calls):
    wrong = []
    for (kind, name), ways in sorted(calls.items()):
        if kind != "ufunc":
            continue
        ufunc, method = name.split(".")
        found = getattr(cupy, ufunc, None) or getattr(special, ufunc, None)
        if not hasattr(found, method):
            wrong.append(f"{name} is missing")
        wrong += [f"{name}: {keywords}" for _, keywords in ways if set(keywords) - {"axis", "dtype", "keepdims"}]
    assert not wrong


def test_the_record_sees_what_is_asked(calls):
    assert ("ufunc", "add.__call__") in calls
    assert ("function", "concatenate") in calls
