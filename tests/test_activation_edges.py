"""Activations at NaN, the infinities and the zeros beside PyTorch: values and gradients. Settings at their ends."""

import math

import numpy as np
import pytest
import torch

import tinyseg as ts

EDGES = [math.nan, math.inf, -math.inf, 0.0, -0.0, 3.0, -3.0, 6.0, 1.0, -1.0, 0.5, -0.5]
NAMES = """relu relu6 hardtanh leaky_relu elu celu selu hardsigmoid hardswish hardshrink softshrink softsign tanhshrink
    silu mish gelu softplus sigmoid logsigmoid tanh"""
CALLS = {
    **{name: lambda m, x, n=name: getattr(m.nn.functional, n)(x) for name in NAMES.split()},
    "gelu, tanh": lambda m, x: m.nn.functional.gelu(x, approximate="tanh"),
    "threshold": lambda m, x: m.nn.functional.threshold(x, 0.5, -1.0),
    "prelu": lambda m, x: m.nn.functional.prelu(x, m.full((1,), 0.25, dtype=x.dtype)),
    "abs": lambda m, x: m.abs(x),
    "sign": lambda m, x: m.sign(x),
    "clamp": lambda m, x: m.clamp(x, -1.0, 1.0),
}


def theirs(call, value, dtype, size):
    """PyTorch's (value, gradient) where `size` elements are `value`."""
    x = torch.full((size,), value, dtype=dtype, requires_grad=True)
    y = call(torch, x)
    (g,) = torch.autograd.grad(y, [x], torch.full_like(y, 2.0))
    return y[0].item(), g[0].item()


BENT = {
    "elu": lambda m, x: m.nn.functional.elu(x, -0.15),
    "celu": lambda m, x: m.nn.functional.celu(x, 0.5),
    "selu": lambda m, x: m.nn.functional.selu(x),
}


@pytest.mark.parametrize("name", BENT)
def test_the_second_derivative_where_an_exponential_meets_a_line(name):
    """At 0 the first derivative is the left one, the second is 0: PyTorch's convention."""
    values = [0.0, -0.0, 1e-300, -1e-300, -1e-8, -2.0, 2.0]
    found = []
    for m, grad, x in (
        (ts, ts.grad, ts.tensor(values, dtype=ts.float64, requires_grad=True)),
        (torch, torch.autograd.grad, torch.tensor(values, dtype=torch.float64, requires_grad=True)),
    ):
        y = BENT[name](m, x)
        (g,) = grad(y.sum(), [x], create_graph=True)
        (h,) = grad((g * g).sum(), [x], create_graph=True)
        found.append([y.tolist(), g.tolist(), h.tolist()])
    np.testing.assert_allclose(*found, rtol=1e-7, atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CALLS)
def test_edges(name, dtype):
    x = ts.tensor(EDGES, dtype=dtype, requires_grad=True)
    y = CALLS[name](ts, x)
    (g,) = ts.grad(y, [x], ts.full(y.shape, 2.0, dtype=y.dtype))
    for place, value in enumerate(EDGES):
        # At NaN, and gelu at infinity, PyTorch differs with itself: its loops for single elements and for vectors.
        allowed = [theirs(CALLS[name], value, getattr(torch, dtype), size) for size in (1, 64)]
        if not (math.isnan(value) or (name == "gelu" and value == math.inf)):
            np.testing.assert_array_equal(np.isnan(allowed[0]), np.isnan(allowed[1]))
        ours = y.data[place], g.data[place]
        assert any(np.allclose(ours, pair, rtol=1e-6, atol=1e-6, equal_nan=True) for pair in allowed), (
            value,
            ours,
            allowed,
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", [5e-324, 1e-42, 1e-37, 1e30])
def test_smooth_l1_with_an_extreme_beta(dtype, beta):
    """The inverse of beta does not fit the type, or hardly."""
    values = [-2.0, -1e-3, 0.0, 1e-20, 3.0]
    x = ts.tensor(values, dtype=dtype, requires_grad=True)
    tx = torch.tensor(values, dtype=getattr(torch, dtype), requires_grad=True)
    y = ts.nn.functional.smooth_l1_loss(x, x.detach() * 0.0, beta=beta, reduction="none")
    ty = torch.nn.functional.smooth_l1_loss(tx, tx.detach() * 0.0, beta=beta, reduction="none")
    y.sum().backward()
    ty.sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-6, atol=1e-37)
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-6)
