"""Every row of the table: values, both orders of gradient, both float types, memory; on every device.

`TINYSEG_TEST_DEVICES` names the devices ("cpu,emulated" without it; "cuda" on a machine with a GPU). Off the CPU a row
also says which CUDA kernels it launches: test_cases_launches.py.
"""

from __future__ import annotations

import collections

import numpy as np
import pytest
import torch

import tinyseg as ts
from tests.cases import CASES, DEVICES, Case, listed
from tinyseg.devices import shares_memory, to_cpu


def rows(cases, devices=DEVICES):
    """Each case on each device."""
    pairs = [(case, device) for device in devices for case in cases]
    names = [case.name if device == "cpu" else f"{case.name}-{device}" for case, device in pairs]
    return pytest.mark.parametrize(("case", "device"), pairs, ids=names)


everything = rows(CASES)
differentiable = rows([c for c in CASES if c.varied()])


def close(ours, theirs, tolerance, what):
    """Equal to `tolerance` of the largest element; NaN and infinity only where the other has them."""
    ours, theirs = to_cpu(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    if theirs.dtype.kind in "biu":
        assert np.array_equal(ours, theirs), what
        return
    finite = np.abs(theirs[np.isfinite(theirs)])
    scale = max(1.0, float(finite.max(initial=0.0)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale, err_msg=what)


def as_type(a, dtype):
    """`a` in this type, if it holds floats."""
    return a.astype(dtype) if a.dtype.kind == "f" else a


def rounded(a, dtype):
    """`a` as this type holds it, in float64 again."""
    return as_type(a, dtype).astype(np.float64) if a.dtype.kind == "f" else a


def weights_of(outputs, rng):
    """A random number for each element of each differentiable output."""
    return [rng.standard_normal(tuple(y.shape)) for y in outputs if y.requires_grad]


def gradients_of_ours(case, arrays, us, device, dtype=np.float64, create_graph=False):
    leaves, outputs = case.ours([as_type(a, dtype) for a in arrays], device)
    ys = [y for y in outputs if y.requires_grad]
    us = [ts.tensor(u.astype(y.dtype), device=device, requires_grad=create_graph) for u, y in zip(us, ys, strict=True)]
    xs = [leaves[i] for i in case.varied()]
    return xs, us, ts.grad(ys, xs, us, create_graph=create_graph, materialize_grads=True)


def gradients_of_theirs(case, arrays, us, create_graph=False):
    leaves, outputs = case.theirs(arrays)
    ys = [y for y in outputs if y.requires_grad]
    us = [torch.tensor(u, requires_grad=create_graph) for u in us]
    xs = [leaves[i] for i in case.varied()]
    return xs, us, torch.autograd.grad(ys, xs, us, create_graph=create_graph, materialize_grads=True)


def test_names_are_unique():
    assert [n for n, k in collections.Counter(c.name for c in CASES).items() if k > 1] == []


@everything
def test_values_types_and_memory(case: Case, device):
    arrays = case.arrays()
    leaves, ours = case.ours(arrays, device)
    _, theirs = case.theirs(arrays)
    assert len(ours) == len(theirs)
    for y, t in zip(ours, theirs, strict=True):
        assert y.device.type == device
        assert str(y.dtype) == str(t.dtype).removeprefix("torch.")
        assert y.requires_grad == t.requires_grad
        close(y.data, t.detach().numpy(), 1e-12, "value")
        if not case.is_view:
            assert not any(shares_memory(y.data, x.data) for x in leaves)
    for x, a in zip(leaves, arrays, strict=True):
        np.testing.assert_array_equal(to_cpu(x.data), a, err_msg="an input was written to")


@differentiable
def test_gradients(case: Case, device):
    arrays = case.arrays()
    us = weights_of(case.theirs(arrays)[1], np.random.default_rng(1))
    xs, _, gxs = gradients_of_ours(case, arrays, us, device)
    _, _, references = gradients_of_theirs(case, arrays, us)
    for x, a, g, t in zip(xs, (arrays[i] for i in case.varied()), gxs, references, strict=True):
        close(g.data, t.numpy(), 1e-11, "gradient")
        assert g.dtype == x.dtype
        np.testing.assert_array_equal(to_cpu(x.data), a, err_msg="backward wrote to an input")


@differentiable
def test_second_derivatives(case: Case, device):
    """<v, gradient> is differentiated again, with respect to the inputs and to the weights u of the outputs."""
    arrays = case.arrays()
    rng = np.random.default_rng(2)
    us = weights_of(case.theirs(arrays)[1], rng)
    xs, vs, gxs = gradients_of_ours(case, arrays, us, device, create_graph=True)
    txs, tus, tgxs = gradients_of_theirs(case, arrays, us, create_graph=True)
    directions = [rng.standard_normal(g.shape) for g in gxs]
    ours = sum((g * ts.tensor(d, device=device)).sum() for g, d in zip(gxs, directions, strict=True))
    theirs = sum((g * torch.tensor(d)).sum() for g, d in zip(tgxs, directions, strict=True))
    hvps = ts.grad(ours, [*xs, *vs], materialize_grads=True)
    references = [torch.zeros_like(t) for t in (*txs, *tus)]
    if theirs.requires_grad:  # PyTorch knows that the gradient of x ** 0 depends on nothing
        references = torch.autograd.grad(theirs, [*txs, *tus], materialize_grads=True)
    for g, t in zip(hvps, references, strict=True):
        close(g.data, t.numpy(force=True), 1e-10, "second derivative")


@rows([c for c in CASES if c.varied()], ["cpu"])
def test_gradcheck(case: Case, device):
    leaves, _ = case.ours(case.arrays())
    assert ts.gradcheck(lambda *xs: tuple(listed(case.function(ts, *xs))), leaves, order=2, atol=1e-5)


@differentiable
def test_float32(case: Case, device):
    """Against PyTorch's float64 at the same, rounded, inputs."""
    arrays = [rounded(a, np.float32) for a in case.arrays()]
    us = [u.astype(np.float32) for u in weights_of(case.theirs(arrays)[1], np.random.default_rng(3))]
    narrow = [as_type(a, np.float32) for a in arrays]
    for y, t in zip(case.ours(narrow, device)[1], case.theirs(arrays)[1], strict=True):
        close(y.data, t.detach().numpy(), case.tolerance, "value")
    _, _, gxs = gradients_of_ours(case, arrays, us, device, dtype=np.float32)
    _, _, references = gradients_of_theirs(case, arrays, [u.astype(np.float64) for u in us])
    for g, t in zip(gxs, references, strict=True):
        if "float64" not in case.name:
            assert g.dtype == np.float32
        close(g.data, t.numpy(), case.tolerance * 10, "gradient")
