"""Mixed precision: which functions run in which type, gradients, and loss scaling beside PyTorch's scaler."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

import tinyseg as ts
from tinyseg import nn, optim
from tinyseg.errors import ArgumentError, CheckpointError, DTypeError, GraphError
from tinyseg.nn import functional as F

HALVES = ["float16", "bfloat16"]


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


X, IMAGE = ts.tensor(drawn(4, 6)), ts.tensor(drawn(2, 4, 6, 6))
LOWERED = {  # PyTorch's list "can autocast to float16"
    "matmul": lambda: X @ X.mT,
    "linear": lambda: F.linear(X, ts.ones(3, 6), ts.ones(3)),
    "conv2d": lambda: F.conv2d(IMAGE, ts.ones(5, 4, 3, 3), ts.ones(5)),
    "conv_transpose2d": lambda: F.conv_transpose2d(IMAGE, ts.ones(4, 5, 2, 2), stride=2),
    "bmm": lambda: ts.bmm(X.reshape(2, 2, 6), X.reshape(2, 6, 2)),
    "addmm": lambda: ts.addmm(ts.ones(4, 4), X, X.mT),
    "attention": lambda: F.scaled_dot_product_attention(X[None], X[None], X[None]),
    "Linear": lambda: nn.Linear(6, 2)(X),
}
WIDENED = {  # and "can autocast to float32", from a half type
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "exp": lambda x: x.exp(),
    "pow": lambda x: x**2,
    "sum": lambda x: x.sum(),
    "layer_norm": lambda x: F.layer_norm(x, (6,)),
    "group_norm": lambda x: F.group_norm(x, 2),
    "cross_entropy": lambda x: F.cross_entropy(x, ts.tensor([0, 1, 2, 3])),
    "mse_loss": lambda x: F.mse_loss(x, X),
    "bce": lambda x: F.binary_cross_entropy_with_logits(x, ts.ones(4, 6)),
    "cosine_similarity": lambda x: F.cosine_similarity(x, X),
    "norm": lambda x: ts.norm(x),
}
KEPT = {  # neither: the type of the input
    "relu": lambda x: F.relu(x),
    "max_pool2d": lambda x: F.max_pool2d(x[None, None], 2),
    "interpolate": lambda x: F.interpolate(x[None, None], scale_factor=2, mode="bilinear"),
    "dropout": lambda x: F.dropout(x, 0.5),
    "reshape": lambda x: x.reshape(-1),
    "times a number": lambda x: x * 2.0,
    "batch_norm": lambda x: F.batch_norm(x, ts.zeros(6), ts.ones(6), ts.ones(6), ts.zeros(6), training=True),
}


@pytest.mark.parametrize("half", HALVES)
def test_each_function_runs_in_its_type(half):
    narrow = X.to(half)
    with ts.autocast(half):
        for name, function in LOWERED.items():
            assert function().dtype.name == half, name
        for name, function in WIDENED.items():
            assert function(narrow).dtype == np.float32, name
        for name, function in KEPT.items():
            assert function(narrow).dtype.name == half, name
            assert function(X).dtype == np.float32, name
        assert (narrow + X).dtype == (X * narrow).dtype == ts.cat([narrow, X]).dtype == np.float32
        assert (X.double() @ X.double().mT).dtype == np.float64  # chosen by the user
    for name, function in LOWERED.items():
        assert function().dtype == np.float32, name
    with pytest.raises(DTypeError):
        narrow + X


@pytest.mark.parametrize("half", HALVES)
def test_gradients_beside_pytorch(half):
    """A smooth network: PyTorch's autocast on the CPU rounds at the same places."""
    dtype = getattr(torch, half)
    x, y = drawn(3, 4, 8, 8), np.array([0, 2, 1])
    ours = nn.Sequential(
        nn.Conv2d(4, 6, 3), nn.SiLU(), nn.GroupNorm(2, 6), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(54, 3)
    )
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(4, 6, 3), torch.nn.SiLU(), torch.nn.GroupNorm(2, 6), torch.nn.AvgPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(54, 3),
    )  # fmt: skip
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    with ts.autocast("cpu", dtype=half):
        loss = F.cross_entropy(ours(ts.tensor(x)), ts.tensor(y))
    with torch.autocast("cpu", dtype=dtype):
        reference = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y))
    loss.backward()
    reference.backward()
    eps = 2e-3 if half == "float16" else 2e-2
    assert loss.item() == pytest.approx(reference.item(), rel=eps)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert p.grad.dtype == np.float32
        g = q.grad.numpy()
        np.testing.assert_allclose(p.grad.numpy(), g, rtol=0, atol=4 * eps * np.abs(g).max(), err_msg=name)


def test_blocks_nest_and_belong_to_a_thread():
    assert not ts.is_autocast_enabled()
    with ts.autocast("float16"):
        with ts.autocast("bfloat16"):
            assert (X @ X.mT).dtype.name == "bfloat16"
        with ts.autocast("cuda", enabled=False):
            assert (X @ X.mT).dtype == np.float32
        assert (X @ X.mT).dtype == np.float16
        seen = []
        thread = threading.Thread(target=lambda: seen.append(ts.is_autocast_enabled()))
        thread.start()
        thread.join()
        assert seen == [False]
        assert ts.is_autocast_enabled()
    with pytest.raises(ZeroDivisionError), ts.autocast("float16"):
        1 / 0
    assert not ts.is_autocast_enabled()

    @ts.autocast("cuda", dtype=ts.bfloat16)
    def product():
        return X @ X.mT

    assert product().dtype.name == "bfloat16"
    assert [ts.autocast(name).dtype.name for name in ("cuda", "cpu", "cpu:0")] == ["float16", *["bfloat16"] * 2]
    for wrong in ("float32", np.int64, "half a type"):
        with pytest.raises(DTypeError, match="autocast: dtype"):
            ts.autocast(wrong)


def test_a_walk_inside_the_block_keeps_the_types():
    w = ts.tensor(drawn(6, 6), requires_grad=True)
    with ts.autocast("float16"):
        (X @ w).sum().backward()
    inside, w.grad = w.grad, None
    with ts.autocast("float16"):
        loss = (X @ w).sum()
    loss.backward()
    assert w.grad.dtype == np.float32
    assert w.grad.data.tobytes() == inside.data.tobytes()


def test_second_derivatives_pass_through_the_casts():
    w = ts.tensor(drawn(6, 6), requires_grad=True)
    with ts.autocast("bfloat16"):
        y = F.silu(X @ w).sum()
    (g,) = ts.grad(y, w, create_graph=True)
    (h,) = ts.grad((g * g).sum(), w)
    (g32,) = ts.grad(F.silu(X @ w).sum(), w, create_graph=True)
    (h32,) = ts.grad((g32 * g32).sum(), w)
    assert h.dtype == np.float32
    np.testing.assert_allclose(h.numpy(), h32.numpy(), atol=0.05 * np.abs(h32.numpy()).max())


def test_a_checkpoint_is_run_again_in_the_same_types():
    layer = nn.Linear(6, 6)
    grads = []
    for call in (lambda f, x: f(x), ts.checkpoint):
        layer.zero_grad()
        with ts.autocast("float16"):
            y = call(lambda x: F.gelu(layer(x)), X).sum()
        y.backward()
        grads.append(layer.weight.grad.data.tobytes())
    assert grads[0] == grads[1]


def test_the_scaler_beside_pytorch():
    """Steps with and without infinite gradients: the same scales, the same weights."""
    ours, theirs = nn.Linear(2, 1), torch.nn.Linear(2, 1)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    settings = {"init_scale": 8.0, "growth_interval": 2, "growth_factor": 4.0, "backoff_factor": 0.25}
    a, b = ts.amp.GradScaler("cpu", **settings), torch.amp.GradScaler("cpu", **settings)
    p, q = (
        optim.SGD(ours.parameters(), lr=0.1, momentum=0.9),
        torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9),
    )
    for step in range(9):
        x = drawn(3, 2, seed=step)
        factor = np.float32(np.inf if step in (2, 5, 6) else 1)
        for scaler, optimiser, model, tensor in ((a, p, ours, ts.tensor), (b, q, theirs, torch.tensor)):
            optimiser.zero_grad()
            scaler.scale((model(tensor(x)) ** 2).mean() * float(factor)).backward()
            if step % 2:
                scaler.unscale_(optimiser)
            scaler.step(optimiser)
            scaler.update()
        assert a.get_scale() == b.get_scale()
        np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert a.state_dict() == b.state_dict()
    twin = ts.amp.GradScaler()
    twin.load_state_dict(b.state_dict())
    assert twin.state_dict() == a.state_dict()


def test_the_scaler_refuses_what_cannot_work():
    for wrong in ({"growth_factor": 1.0}, {"backoff_factor": 1.0}, {"init_scale": 0}):
        with pytest.raises(ArgumentError, match=next(iter(wrong))):
            ts.amp.GradScaler(**wrong)
    layer = nn.Linear(2, 1)
    sgd, scaler = optim.SGD(layer.parameters(), lr=0.1), ts.amp.GradScaler()
    with pytest.raises(GraphError, match="no step"):
        scaler.update()
    scaler.scale(layer(ts.ones(1, 2)).sum()).backward()
    scaler.unscale_(sgd)
    with pytest.raises(GraphError, match="already"):
        scaler.unscale_(sgd)
    with pytest.raises(CheckpointError, match="scale"):
        scaler.load_state_dict({})
    off = ts.amp.GradScaler(enabled=False)
    loss = layer(ts.ones(1, 2)).sum()
    assert off.scale(loss) is loss
    assert off.state_dict() == {}
    off.step(sgd)
    off.update()


def test_float16_needs_the_scale():
    """Gradients of 1e-8 vanish in float16, and come through with a scale."""
    w = ts.full((1, 1), 1e-4, requires_grad=True)
    for scale, expected in ((1.0, 0.0), (2.0**16, 1e-8)):
        w.grad = None
        scaler = ts.amp.GradScaler(init_scale=scale)
        with ts.autocast("float16"):
            y = (ts.ones(1, 1) @ w).float() * 1e-8
        scaler.scale(y.sum()).backward()
        scaler.unscale_(optim.SGD([w], lr=1.0))
        assert w.grad.item() == pytest.approx(expected, rel=0.01, abs=1e-12)


def test_switches_of_tf32():
    assert ts.backends.allow_tf32 is False
    try:
        for switch in (ts.backends, ts.backends.cudnn, ts.backends.cuda.matmul):
            switch.allow_tf32 = True
            assert ts.kernels.allow_tf32()
            assert ts.backends.allow_tf32
            assert ts.get_float32_matmul_precision() == "high"
            ts.set_float32_matmul_precision("highest")
            assert not switch.allow_tf32
        with pytest.raises(ArgumentError, match="allow_tf32"):
            ts.backends.allow_tf32 = "yes"
        with pytest.raises(ArgumentError, match="precision"):
            ts.set_float32_matmul_precision("low")
    finally:
        ts.backends.allow_tf32 = False


@pytest.mark.parametrize("half", HALVES)
def test_the_cuda_kernels_give_the_same_up_to_a_rounding(half):
    """Emulated, beside the CPU: both store half types and sum in float32, in another order."""
    x, y, found = drawn(2, 3, 8, 8), np.array([0, 2]), []
    for device in ("cpu", "emulated"):
        ts.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.SiLU(), nn.BatchNorm2d(8), nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 3, stride=2),
            nn.GroupNorm(2, 4), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3),
        ).to(device)  # fmt: skip
        with ts.autocast(half):
            scores = model(ts.tensor(x, device=device))
            loss = F.cross_entropy(scores, ts.tensor(y, device=device))
        assert (scores.dtype.name, loss.dtype.name) == (half, "float32")
        loss.backward()
        found.append([loss.item(), *(p.grad.cpu().numpy() for p in model.parameters())])
    for a, b in zip(*found, strict=True):
        tolerance = 8e-3 if half == "float16" else 6e-2
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1e-2, np.abs(a).max()))
