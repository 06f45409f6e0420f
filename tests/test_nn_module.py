"""Module: registration, walking, state, printing; the same tree built in PyTorch is the reference."""

import copy
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch

import tinyseg as ts
from tinyseg import nn
from tinyseg.errors import ArgumentError, BoundsError, CheckpointError, DeviceError, DTypeError, GraphError


def build(n, tensor):
    """A tree with every kind of entry: `n` is tinyseg.nn or torch.nn."""

    class Block(n.Module):
        def __init__(self):
            super().__init__()
            self.scale = n.Parameter(tensor([1.0, 2.0]))
            self.conv = n.Conv2d(2, 2, 3, padding=1)
            self.register_buffer("steps", tensor([0.0]))
            self.register_buffer("cache", tensor([5.0]), persistent=False)
            self.register_parameter("late", None)
            self.norm = n.BatchNorm2d(2)
            self.shift = n.Parameter(tensor([3.0, 4.0]))
            self.late = n.Parameter(tensor([9.0]))

    class Net(n.Module):
        def __init__(self):
            super().__init__()
            self.blocks = n.ModuleList([Block(), Block()])
            self.heads = n.ModuleDict({"b": n.Linear(2, 3), "a": n.Linear(2, 1, bias=False)})
            self.tail = n.Sequential(n.ReLU(inplace=True), n.Dropout(0.3), n.Sequential())
            self.top = n.Parameter(tensor([7.0]))
            self.tied = self.blocks[0].conv
            self.heads["a"].weight = n.Parameter(tensor([[1.0, 1.0]]))
            self.also = self.top

    return Net()


def ours():
    return build(nn, ts.tensor)


def theirs():
    return build(torch.nn, torch.tensor)


@pytest.mark.parametrize("walk", ["named_parameters", "named_buffers", "named_modules", "named_children"])
def test_names_and_order_are_pytorchs(walk):
    assert [name for name, _ in getattr(ours(), walk)()] == [name for name, _ in getattr(theirs(), walk)()]


@pytest.mark.parametrize("walk", ["named_parameters", "named_buffers", "named_modules"])
def test_duplicates_and_prefixes_are_pytorchs(walk):
    for settings in ({"remove_duplicate": False}, {"prefix": "net"}, {"prefix": "net", "remove_duplicate": False}):
        a, b = (getattr(net, walk)(**settings) for net in (ours(), theirs()))
        assert [name for name, _ in a] == [name for name, _ in b]


def test_state_dict_keys_and_order_are_pytorchs():
    assert list(ours().state_dict()) == list(theirs().state_dict())
    assert list(ours().state_dict(prefix="net.")) == list(theirs().state_dict(prefix="net."))
    assert [n for n, _ in ours().named_parameters(recurse=False)] == ["top"]


def test_weights_travel_both_ways():
    a, b = ours(), theirs()
    assert a.load_state_dict(b.state_dict()) == ([], [])
    for name, value in b.state_dict().items():
        np.testing.assert_array_equal(a.state_dict()[name].numpy(), value.numpy())
    for p in a.parameters():
        p.assign_(np.random.default_rng(0).standard_normal(p.shape))
    b.load_state_dict({name: torch.tensor(value.numpy()) for name, value in a.state_dict().items()})
    for name, value in a.state_dict().items():
        np.testing.assert_array_equal(b.state_dict()[name].numpy(), value.numpy())


def test_repr_is_pytorchs():
    assert repr(ours()) == repr(theirs())
    assert repr(nn.Parameter(ts.zeros(1))).startswith("Parameter containing:\n")


def test_apply_visits_children_first_as_in_pytorch():
    seen_ours, seen_theirs = [], []
    ours().apply(lambda m: seen_ours.append(type(m).__name__))
    theirs().apply(lambda m: seen_theirs.append(type(m).__name__))
    assert seen_ours == seen_theirs


def test_train_and_eval_reach_every_module():
    net = ours().eval()
    assert not any(m.training for m in net.modules())
    net.tail.train()
    assert [m.training for m in net.children()] == [False, False, True, False]
    assert all(m.training for m in net.train().modules())


def test_a_shared_parameter_is_listed_once_and_saved_twice():
    net = ours()
    params = list(net.parameters())
    assert len({id(p) for p in params}) == len(params)
    assert {"top", "also", "tied.weight", "blocks.0.conv.weight"} <= set(net.state_dict())
    assert net.state_dict(keep_vars=True)["also"] is net.top


def test_state_dict_aliases_the_module():
    net = nn.Linear(2, 2)
    state = net.state_dict()
    net.weight.assign_(5.0)
    assert state["weight"].numpy().tolist() == [[5, 5], [5, 5]]
    assert not state["weight"].requires_grad


class Strange:
    """Something that is only known by `__array__`."""

    def __array__(self, dtype=None, copy=None):
        return np.array([1, 2], dtype)


@pytest.mark.parametrize(
    "value",
    [
        np.array([1.0, 2.0]),
        np.array([1, 2], np.int32),
        ts.tensor([1.0, 2.0], dtype=ts.float64),
        torch.tensor([1.0, 2.0], requires_grad=True),
        torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
        [1.0, 2.0],
        Strange(),
    ],
    ids=lambda v: type(v).__name__,
)
def test_load_state_dict_takes_any_array_and_keeps_the_modules_type(value):
    net = nn.BatchNorm2d(2)
    result = net.load_state_dict({"weight": value}, strict=False)
    assert net.weight.dtype == np.float32
    assert net.weight.detach().numpy().tolist() == [1, 2]
    assert result.missing_keys == ["bias", "running_mean", "running_var"]
    assert result.unexpected_keys == []


def test_load_state_dict_lists_all_that_is_wrong_and_loads_nothing():
    net = ours()
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    state = {k: v + 1 for k, v in before.items()}
    del state["top"], state["heads.b.bias"]
    state["extra"] = np.zeros(1)
    state["blocks.0.scale"] = np.zeros(3)
    with pytest.raises(CheckpointError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("Net", "blocks.0.scale has shape (3,), the model needs (2,)", "missing: top, heads.b.bias", "extra"):
        assert part in message
    with pytest.raises(CheckpointError, match=r"blocks\.0\.scale") as caught:
        net.load_state_dict(state, strict=False)  # not strict is about keys, never about shapes
    assert "missing" not in str(caught.value)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    del state["blocks.0.scale"]
    assert net.load_state_dict(state, strict=False) == (["top", "blocks.0.scale", "heads.b.bias"], ["extra"])
    np.testing.assert_array_equal(net.blocks[1].scale.detach().numpy(), before["blocks.1.scale"] + 1)


def test_load_state_dict_refuses_what_is_no_number():
    with pytest.raises(DTypeError, match="'weight' must hold numbers"):
        nn.Linear(1, 1).load_state_dict({"weight": "text", "bias": np.zeros(1)})


def test_old_checkpoints_without_the_batch_count_load():
    net = nn.Sequential(nn.BatchNorm2d(2))
    state = {k: v for k, v in net.state_dict().items() if "num_batches" not in k}
    assert net.load_state_dict(state) == ([], [])


def test_loading_is_seen_by_a_graph_that_needs_the_old_values():
    net = nn.Linear(2, 1)
    y = net(ts.ones(1, 2, requires_grad=True)).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_to_keeps_the_parameters_and_moves_their_gradients():
    net = ours()
    before = list(net.parameters())
    net.top.grad = ts.ones(1)
    assert net.double() is net
    assert all(p is q for p, q in zip(net.parameters(), before, strict=True))
    assert {p.dtype for p in net.parameters()} == {ts.float64}
    assert {str(b.dtype) for b in net.buffers()} == {"float64", "int64"}
    assert net.top.grad.dtype == ts.float64
    assert net.half().top.dtype == ts.float16
    assert net.to(ts.zeros(1)).top.dtype == ts.float32
    assert net.to("cpu", ts.float64).float().cpu().top.dtype == ts.float32
    with pytest.raises(DTypeError, match="floating-point"):
        net.to(ts.int64)
    with pytest.raises(DTypeError, match=r"Module\.to: 'gpu' is not an element type"):
        net.to("gpu")
    with pytest.raises(DeviceError, match="device: expected 'cpu', 'cuda', 'cuda:N' or 'emulated', got 'gpu'"):
        net.to(device="gpu")


def test_to_is_seen_by_a_graph_of_the_old_type():
    net = nn.Linear(2, 1)
    y = net(ts.ones(1, 2, requires_grad=True)).sum()
    net.double()
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_requires_grad_and_zero_grad():
    net = ours().requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    assert len(list(net.parameters())) == len(list(theirs().parameters()))  # frozen ones stay parameters
    net.top.requires_grad_()
    net.top.grad = ts.ones(1)
    net.zero_grad(set_to_none=False)
    assert net.top.grad.item() == 0
    net.zero_grad()
    assert net.top.grad is None


def test_deleting_and_replacing_attributes():
    net = ours()
    del net.tail, net.also, net.tied
    other = theirs()
    del other.tail, other.also, other.tied
    assert list(net.state_dict()) == list(other.state_dict())
    del net.blocks[0].steps
    assert "blocks.0.steps" not in net.state_dict()
    net.heads["b"].bias = None
    assert "heads.b.bias" not in net.state_dict()
    del net.heads["a"]
    assert list(net.heads) == ["b"]
    with pytest.raises(AttributeError):
        del net.nothing


def test_lists_and_plain_tensors_are_not_state():
    net = nn.Module()
    net.layers = [nn.Linear(1, 1)]
    net.constant = ts.ones(2)
    assert list(net.state_dict()) == []
    assert list(net.modules()) == [net]


def test_forward_hooks_see_and_replace_the_output():
    net, seen = nn.Identity(), []
    handle = net.register_forward_hook(lambda m, args, output: seen.append((m, args[0], output)))
    x = ts.ones(2)
    assert net(x) is x
    assert len(seen) == 1
    assert all(got is wanted for got, wanted in zip(seen[0], (net, x, x), strict=True))
    double = net.register_forward_hook(lambda m, args, output: output * 2)
    assert net(x).numpy().tolist() == [2, 2]
    double.remove()
    handle.remove()
    handle.remove()
    net(x)
    assert len(seen) == 2


def test_a_copy_is_independent():
    net = ours()
    twin = copy.deepcopy(net)
    twin.top.assign_(0.0)
    twin.blocks[0].conv.weight.assign_(0.0)
    assert net.top.item() == 7
    assert np.any(net.blocks[0].conv.weight.detach().numpy())
    assert twin.tied is twin.blocks[0].conv
    assert list(twin.state_dict()) == list(net.state_dict())
    assert twin.top.requires_grad


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda m: setattr(m, "weight", ts.ones(1)), DTypeError, "Linear.weight: expected Parameter or None"),
        (lambda m: m.register_buffer("weight", ts.ones(1)), DTypeError, "expected Parameter or None, got Tensor"),
        (lambda m: m.register_buffer("a.b", ts.ones(1)), ArgumentError, "without dots"),
        (lambda m: m.register_buffer("", ts.ones(1)), ArgumentError, "not empty"),
        (lambda m: m.register_buffer("b", np.ones(1)), DTypeError, "'b' must be a Tensor or None, got ndarray"),
        (lambda m: m.register_buffer("in_features", ts.ones(1)), ArgumentError, "already has an attribute"),
        (lambda m: m.register_parameter("p", ts.ones(1)), DTypeError, "'p' must be a Parameter or None, got Tensor"),
        (lambda m: m.register_parameter("forward", nn.Parameter(ts.ones(1))), ArgumentError, "'forward' is a method"),
        (lambda m: m.add_module("c", 3), DTypeError, "'c' must be a Module or None, got int"),
        (lambda m: m.get_submodule("x.y"), ArgumentError, "no module 'x.y'"),
        (lambda m: nn.Module()(1), ArgumentError, "no forward"),
        (lambda m: nn.Sequential(3), DTypeError, "expected a Module, got int"),
        (lambda m: nn.Sequential(m)[1], BoundsError, "index 1 is out of range for 1 modules"),
        (lambda m: nn.ModuleDict({"a": m})["b"], ArgumentError, "no module 'b'; it holds a"),
        (lambda m: nn.ModuleDict({"keys": m}), ArgumentError, "'keys' is a method"),
    ],
)
def test_mistakes_are_named(act, error, message):
    with pytest.raises(error, match=message):
        act(nn.Linear(1, 1))


def test_forgetting_super_init_is_named():
    class Net(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(1, 1)

    with pytest.raises(ArgumentError, match=r"Net\.fc: call super\(\)\.__init__\(\)"):
        Net()


# -- containers -------------------------------------------------------------------------------------------------------


def test_sequential_from_a_dict_slices_and_grows_as_pytorchs():
    layers = [("in", (2, 3)), ("mid", (3, 3)), ("out", (3, 1))]
    a = nn.Sequential({name: nn.Linear(*size) for name, size in layers})
    b = torch.nn.Sequential(OrderedDict((n, torch.nn.Linear(*s)) for n, s in layers))
    assert repr(a) == repr(b)
    assert repr(a[1:]) == repr(b[1:])
    assert a[-1] is a.out
    a.append(nn.ReLU())
    b.append(torch.nn.ReLU())
    assert repr(a) == repr(b)
    a[1] = nn.Identity()
    assert [type(m).__name__ for m in a] == ["Linear", "Identity", "Linear", "ReLU"]
    assert len(a.extend([nn.Tanh()])) == 5


def test_module_list_inserts_and_slices_as_pytorchs():
    a, b = (n.ModuleList([n.Linear(1, k) for k in (1, 2, 3)]) for n in (nn, torch.nn))
    for n, m in ((nn, a), (torch.nn, b)):
        m.insert(1, n.Linear(5, 5))
        m.append(n.ReLU())
        m.extend([n.ReLU(), n.ReLU()])
        m[0] = n.Identity()
    assert repr(a) == repr(b)
    assert list(a.state_dict()) == list(b.state_dict())
    assert repr(a[2:4]) == repr(b[2:4])


def test_module_dict_behaves_as_a_dict():
    d = nn.ModuleDict({"x": nn.ReLU()})
    d["y"] = nn.Tanh()
    assert list(d.keys()) == ["x", "y"]
    assert "x" in d
    assert len(d) == 2
    assert [type(m).__name__ for m in d.values()] == ["ReLU", "Tanh"]
    assert dict(d.items())["y"] is d["y"]


def test_nn_optim_and_weights_import_without_numba():
    code = "import sys, tinyseg as ts; ts.nn, ts.optim, ts.save; print({'numba', 'rich', 'torch'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
