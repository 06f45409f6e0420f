"""Reductions with nothing to reduce or no degrees of freedom, and remainders at the infinities, beside PyTorch."""

import itertools

import numpy as np
import pytest
import torch

import tinyseg as ts
from tests.op_db import quiet

SAMPLES = {
    "one": [1.5],
    "two": [1.0, 2.5],
    "equal": [3.0, 3.0],
    "three": [1.0, 2.0, 4.0],
    "infinite": [1.0, np.inf],
    "none": [],
}


def derivatives(m, function, values):
    """(value, gradient, second derivative), each as nested lists."""
    x = m.tensor(np.array(values)) if m is ts else torch.tensor(np.array(values))
    x.requires_grad = True
    grad = ts.grad if m is ts else torch.autograd.grad
    y = function(m, x)
    (g,) = grad(y, [x], m.ones_like(y), create_graph=True)
    h = m.zeros_like(x)
    if g.requires_grad:
        (h,) = grad((g * g).sum(), [x], materialize_grads=True)
    return [t.detach().tolist() for t in (y, g, h)]


def agree(function, values):
    ours = derivatives(ts, function, values)
    with quiet():  # PyTorch warns where there are no degrees of freedom
        theirs = derivatives(torch, function, values)
    for y, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.array(y), np.array(t), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("correction", [0, 1, 1.5, 2, 3, 5])
@pytest.mark.parametrize("function", ["var", "std"])
def test_no_degrees_of_freedom(function, correction, name):
    """The value is infinite or NaN; the gradient is 2 (x - mean) / (n - c) all the same."""
    agree(lambda m, x: getattr(m, function)(x, 0, correction=correction), SAMPLES[name])
    agree(lambda m, x: getattr(m, f"{function}_mean")(x, 0, correction=correction, keepdim=True)[0], SAMPLES[name])


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 3)])
def test_logsumexp_of_nothing(shape):
    """log 0, for every axis and for all of them."""
    dims = [c for k in range(1, len(shape) + 1) for c in itertools.combinations(range(len(shape)), k)]
    for dim, keepdim in itertools.product([*dims, ()], (False, True)):
        agree(lambda m, x, d=dim, k=keepdim: m.logsumexp(x, d, keepdim=k), np.zeros(shape))
        if dim:
            empty = any(shape[i] == 0 for i in dim)
            for dtype in ("float16", "bfloat16", "float32"):
                y = ts.logsumexp(ts.zeros(*shape).to(dtype), dim)
                assert y.dtype == dtype
                assert not empty or (y.data == -np.inf).all()


@pytest.mark.parametrize(("a", "b"), list(itertools.product([-5.5, 0.0, 1e10, 7.0, np.inf], [3.0, -3.0, 0.5, np.inf])))
def test_fmod_at_large_and_infinite_numbers(a, b):
    """a - b · trunc(a / b) would round the product, and be NaN beside an infinite divisor."""
    agree(lambda m, x: m.fmod(x[:1], x[1:]), [a, b])


@pytest.mark.parametrize("name", ["asin", "acos"])
def test_the_slope_of_an_arcsine_near_one(name):
    """1 - x² in float32, where x² is rounded, has no right digit left."""
    x = np.array([1 - 2.0**-24, -1 + 2.0**-23, 0.99999, 0.5], np.float32)
    ours, theirs = ts.tensor(x, requires_grad=True), torch.tensor(x.astype(np.float64), requires_grad=True)
    (g,) = ts.grad(getattr(ts, name)(ours).sum(), [ours])
    (t,) = torch.autograd.grad(getattr(torch, name)(theirs).sum(), [theirs])
    np.testing.assert_allclose(g.data, t.numpy(), rtol=4e-7)
    for edge in (1.0, -1.0, 0.0, 2.0):
        agree(lambda m, x: getattr(m, name)(x), [edge])


@pytest.mark.parametrize("p", [0.5, 1.5, 2.0, 3.0, -2.0])
def test_the_slope_of_a_norm_of_many_scales(p):
    """sign x · (|x| / y)^(p-1) neither overflows nor vanishes where |x|^(p-1) and y^(1-p) would in float32."""
    for scale in (1e-12, 1.0, 1e12):
        x = (np.array([[1.0, -2.0, 3.0], [-0.5, 0.25, 2.0]]) * scale).astype(np.float32)
        ours, theirs = ts.tensor(x, requires_grad=True), torch.tensor(x.astype(np.float64), requires_grad=True)
        (g,) = ts.grad(ts.linalg.vector_norm(ours, p, 1).sum(), [ours])
        (t,) = torch.autograd.grad(torch.linalg.vector_norm(theirs, p, 1).sum(), [theirs])
        np.testing.assert_allclose(g.data, t.numpy(), rtol=1e-5)
