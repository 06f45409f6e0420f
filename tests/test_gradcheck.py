"""The checkers must find planted errors; and Hessian-vector products of a whole net against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinyseg as ts
import tinyseg.nn.functional as F
from tinyseg.engine import Op
from tinyseg.errors import ArgumentError, GraphError


class Cube(Op):
    """x³, whose derivatives of order `wrong` and above are 1 % off."""

    wrong: int
    saves = {"x": "x"}

    def forward(self, x):
        return x**3

    def backward(self, gy):
        (x,) = self.saved
        return gy * Square(self.wrong)(x) * (3.03 if self.wrong == 1 else 3.0)


class Square(Op):
    wrong: int
    saves = {"x": "x"}

    def forward(self, x):
        return x**2

    def backward(self, gy):
        (x,) = self.saved
        return gy * Twice(self.wrong)(x) * (1.01 if self.wrong == 2 else 1.0)


class Twice(Op):
    wrong: int

    def forward(self, x):
        return x * 2

    def backward(self, gy):
        return gy * (2.02 if self.wrong == 3 else 2.0)


def inputs(*shape):
    return ts.tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize("wrong", [1, 2, 3])
def test_planted_errors_are_found_at_their_order_and_not_before(wrong):
    x = inputs(4)
    for order in range(1, wrong):
        assert ts.gradcheck(lambda t: Cube(wrong)(t), x, order=order)
    with pytest.raises(
        GraphError, match=r"gradcheck: (of the gradient: )*the directional derivative is .* by backward"
    ):
        ts.gradcheck(lambda t: Cube(wrong)(t), x, order=wrong)
    assert not ts.gradcheck(lambda t: Cube(wrong)(t), x, order=wrong, raise_exception=False)


def test_a_right_function_passes_to_order_three():
    assert ts.gradcheck(lambda t: Cube(9)(t), inputs(4), order=3)
    assert ts.gradcheck(lambda a, b: (a * ts.sin(b), a / (b * b + 1.0)), [inputs(3), inputs(3)], order=3)


def test_an_op_instance_is_one_node():
    op = Cube(9)
    op(inputs(3))
    with pytest.raises(AssertionError, match="Cube: an instance is one node of the graph and is called once"):
        op(inputs(3))


def test_one_wrong_element_among_many_is_found():
    class Doubled(Op):
        """The identity with one wrong gradient."""

        def forward(self, x):
            return x * 1.0

        def backward(self, gy):
            wrong = np.ones(gy.shape)
            wrong[7, 3] = 1.1
            return gy * ts.tensor(wrong)

    with pytest.raises(GraphError, match="gradcheck"):
        ts.gradcheck(lambda t: Doubled()(t), inputs(10, 10))


def test_a_missing_gradient_is_found():
    with pytest.raises(GraphError, match="gradcheck"):
        ts.gradcheck(lambda a: a * a.detach(), inputs(3))


def test_misuse_of_gradcheck():
    with pytest.raises(GraphError, match="gradcheck: no input requires grad"):
        ts.gradcheck(ts.exp, ts.tensor(1.0))
    with pytest.raises(GraphError, match="gradcheck: no output depends on the inputs"):
        ts.gradcheck(lambda x: x.detach() * 2.0, inputs(3))
    with pytest.raises(ArgumentError, match="gradcheck: order must be at least 1, got 0"):
        ts.gradcheck(ts.exp, inputs(3), order=0)


def test_gradcheck_leaves_its_inputs_alone():
    x = inputs(3)
    before = x.data.copy()
    ts.gradcheck(ts.exp, x, order=2)
    np.testing.assert_array_equal(x.data, before)
    assert x.grad is None


def test_adjointcheck():
    x = inputs(1, 1, 5, 5)
    w = ts.tensor(np.random.default_rng(1).standard_normal((1, 1, 3, 3)))
    flipped = ts.tensor(w.data[..., ::-1].copy())
    assert ts.adjointcheck(lambda t: F.conv2d(t, w), lambda t: F.conv_transpose2d(t, w), x)
    for wrong in (lambda t: F.conv_transpose2d(t, flipped), lambda t: F.conv_transpose2d(t, w) * 1.000001):
        with pytest.raises(GraphError, match=r"adjointcheck: <Ax, y> is .* but <x, A'y> is"):
            ts.adjointcheck(lambda t: F.conv2d(t, w), wrong, x)


def u_net(m, x, w1, gamma, beta, w2, up, w3):
    """Convolution, batch norm, ReLU, pooling, both ways of upsampling, concatenation: a U-Net of one level."""
    f = m.nn.functional
    a = f.relu(f.batch_norm(f.conv2d(x, w1, padding=1), None, None, gamma, beta, training=True))
    b = f.relu(f.conv2d(f.max_pool2d(a, 2), w2, padding="same"))
    b = m.cat([f.conv_transpose2d(b, up, stride=2), f.interpolate(b, scale_factor=2, mode="bilinear"), a], 1)
    return f.conv2d(b, w3)


def test_hessian_vector_product_of_a_net():
    rng = np.random.default_rng(3)
    shapes = (2, 2, 8, 6), (3, 2, 3, 3), (3,), (3,), (4, 3, 3, 3), (4, 2, 2, 2), (3, 9, 1, 1)
    arrays = [rng.standard_normal(s) for s in shapes]
    target = rng.integers(0, 3, (2, 8, 6))
    vs = [rng.standard_normal(s) for s in shapes]

    def hvp(m, grad, tensor):
        xs = [tensor(a, requires_grad=True) for a in arrays]
        loss = m.nn.functional.cross_entropy(u_net(m, *xs), tensor(target))
        gs = grad(loss, xs, create_graph=True)
        return gs, grad(sum((g * tensor(v)).sum() for g, v in zip(gs, vs, strict=True)), xs)

    ours, theirs = hvp(ts, ts.grad, ts.tensor), hvp(torch, torch.autograd.grad, torch.tensor)
    for order in (0, 1):
        for g, t in zip(ours[order], theirs[order], strict=True):
            scale = float(t.detach().abs().max())
            np.testing.assert_allclose(g.data, t.detach().numpy(), rtol=0, atol=1e-11 * scale)
            assert scale > 1e-4  # neither zero nor trivially equal


def test_third_derivatives_of_the_fused_ops():
    """Batch norm and cross-entropy differentiate their formula from order two on: check one order further."""
    x, w, b = inputs(3, 2, 2), inputs(2), inputs(2)
    assert ts.gradcheck(lambda *t: F.batch_norm(t[0], None, None, *t[1:], training=True), [x, w, b], order=3, rtol=1e-4)
    target = ts.tensor(np.array([0, 2]))
    assert ts.gradcheck(lambda t: F.cross_entropy(t, target, label_smoothing=0.1), inputs(2, 3), order=3, rtol=1e-4)
    geometry = {"stride": 2, "padding": 1, "dilation": (1, 2)}
    assert ts.gradcheck(lambda t, k: F.conv2d(t, k, **geometry) ** 2, [inputs(1, 2, 5, 5), inputs(2, 2, 3, 2)], order=3)
