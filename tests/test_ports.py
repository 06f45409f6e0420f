"""What a script written for PyTorch says first: `import tinyseg as ts` in the place of `import torch as ts`."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch

import tinyseg as ts
from tests.test_optim_schedules import optimizers
from tinyseg.errors import ArgumentError, CheckpointError, DeviceError, DTypeError, ShapeError

BOTH = pytest.mark.parametrize("lib", [ts, torch], ids=["ours", "pytorch"])


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape)


# --- devices ----------------------------------------------------------------------------------------------------------


@BOTH
def test_the_first_line_of_a_script(lib):
    device = lib.device("cuda" if lib.cuda.is_available() else "cpu")
    model = lib.nn.Linear(3, 2).to(device)
    x = lib.ones(4, 3, device=device)
    assert model(x).device.type == x.to(device).device.type == device.type
    assert isinstance(device, lib.device)
    assert isinstance(x.device, lib.device)
    lib.manual_seed(0)
    lib.cuda.manual_seed_all(0)


@pytest.mark.parametrize("args", [("cpu",), ("cuda",), ("cuda:1",), ("cuda", 1), ("cpu", 0), ("cpu:0",)], ids=str)
def test_a_device_is_read_as_pytorch_reads_it(args):
    ours, theirs = ts.device(*args), torch.device(*args)
    assert (ours.type, ours.index, str(ours)) == (theirs.type, theirs.index, str(theirs))
    assert repr(ours) == repr(theirs)
    assert ts.device(ours) == ours == str(theirs)
    assert hash(ours) == hash(ts.device(str(theirs)))
    for other in (("cpu",), ("cuda",), ("cuda", 1)):
        assert (ours == ts.device(*other)) == (theirs == torch.device(*other))
    assert copy.deepcopy(ours).index == ours.index


def test_a_number_is_a_gpu():
    assert repr(ts.device(2)) == repr(torch.device("cuda", 2))


BAD = [("gpu",), ("cuda:",), ("cuda:x",), ("cuda:-1",), ("cpu:1",), ("",), (None,), (1.5,), (-1,), ("cuda", -1)]
BAD += [("cuda:1", 1), ("cuda", "x"), (True,)]


@pytest.mark.parametrize("args", BAD, ids=str)
def test_a_wrong_device_is_named(args):
    with pytest.raises(DeviceError, match="device: "):
        ts.device(*args)
    if len(args) == 1 and args[0] is not None:
        with pytest.raises(DeviceError, match="device: expected 'cpu', 'cuda', 'cuda:N' or 'emulated'"):
            ts.zeros(2, device=args[0])


def test_every_way_to_name_the_device_of_a_tensor():
    cpu, x = ts.device("cpu"), ts.ones(2)
    assert x.device == cpu == "cpu"
    assert x.device != "cuda"
    for same in (x.to(cpu), x.to(device=cpu), x.to(cpu, ts.float32), x.to("cpu:0")):
        assert same is x
    made = ts.tensor([1.0], device=cpu), ts.zeros_like(x, device=cpu), x.new_zeros(2, device=cpu)
    made += ts.arange(3, device=cpu), ts.randn(2, device=cpu), ts.as_tensor([1.0], device=cpu)
    assert all(t.device == cpu for t in made)
    assert ts.nn.Conv2d(1, 1, 1, device=cpu).to(device=cpu).weight.device == cpu
    assert ts.Generator(cpu).device == cpu
    assert isinstance(ts.Generator("cpu").device, ts.device)


@pytest.mark.skipif(ts.cuda.is_available(), reason="asks for what a machine with a GPU has")
def test_without_a_gpu():
    assert ts.cuda.device_count() == 0
    for ask in (
        lambda: ts.ones(1).to(ts.device("cuda")),
        lambda: ts.ones(1).to(0),
        lambda: ts.nn.Linear(1, 1).to(0),
        lambda: ts.ones(1, device=0),
        ts.cuda.synchronize,
        lambda: ts.cuda.synchronize("cuda:1"),
    ):
        with pytest.raises(DeviceError, match="'cuda'"):
            ask()
    with pytest.raises(DeviceError, match="synchronize: device must be a GPU"):
        ts.cuda.synchronize("cpu")


def test_one_seed_for_all_devices():
    ts.cuda.manual_seed_all(3)
    a = ts.rand(4)
    ts.manual_seed(3)
    assert ts.equal(a, ts.rand(4))


# --- small names ------------------------------------------------------------------------------------------------------


def test_constants_and_sizes():
    assert (ts.pi, ts.e, ts.inf) == (torch.pi, torch.e, torch.inf)
    assert math.isnan(ts.nan)
    assert isinstance(ts.ones(2).shape, ts.Size)
    assert ts.Size([2, 3]) == ts.ones(2, 3).shape


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (2, 0, 3), (1, 1)])
def test_strides(shape):
    ours, theirs = ts.zeros(*shape).mul(2), torch.zeros(shape)
    assert ours.stride() == theirs.stride()
    assert [ours.stride(d) for d in range(-len(shape), len(shape))] == [
        theirs.stride(d) for d in range(-len(shape), len(shape))
    ]
    with pytest.raises(IndexError, match="stride"):
        ours.stride(len(shape))


@pytest.mark.parametrize(
    "name", ["float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"]
)
def test_names_of_types(name):
    theirs = torch.ones(2).to(getattr(torch, name))
    assert ts.ones(2).to(name).type() == theirs.type()
    assert str(ts.ones(2).type(theirs.type()).dtype) == name


@BOTH
def test_small_methods(lib):
    x = lib.tensor([1.0, 2.5, 255.0])
    assert x.byte().dtype == lib.uint8
    assert x.byte().tolist() == [1, 2, 255]
    assert [p.tolist() for p in x.split(split_size=2)] == [[1, 2.5], [255]]
    assert [p.tolist() for p in x.split(split_size=[1, 2], dim=0)] == [[1], [2.5, 255]]
    for make in (lib.zeros, lib.ones, lib.empty, x.new_zeros, x.new_ones, x.new_empty, x.double().new_zeros):
        assert tuple(make(size=(2, 3)).shape) == (2, 3)
    assert x.double().new_ones(size=(2,)).dtype == lib.float64


def test_small_methods_name_mistakes():
    with pytest.raises(ArgumentError, match="split: give split_size_or_sections or split_size"):
        ts.ones(3).split()
    with pytest.raises(ArgumentError, match="split: give"):
        ts.ones(3).split(1, split_size=1)
    with pytest.raises(ArgumentError, match="zeros: give the sizes"):
        ts.zeros(2, size=(3,))
    with pytest.raises(DTypeError, match=r"Tensor: data must be an array, got list; ts.tensor\(...\) makes one"):
        ts.Tensor([1, 2])


def test_unflatten_undoes_flatten():
    values = numbers(2, 12)
    for size in ((3, 4), (3, -1), [2, 2, 3]):
        ours, theirs = ts.nn.Unflatten(1, size), torch.nn.Unflatten(1, tuple(size))
        np.testing.assert_array_equal(ours(ts.tensor(values)).numpy(), theirs(torch.tensor(values)).numpy())
        assert repr(ours) == repr(theirs)
    assert ts.gradcheck(ts.nn.Unflatten(1, (3, 4)), ts.tensor(values, requires_grad=True))
    with pytest.raises(DTypeError, match="Unflatten: dim must be an integer"):
        ts.nn.Unflatten("C", (3, 4))
    with pytest.raises(ShapeError, match="unflatten: sizes"):
        ts.nn.Unflatten(1, (5, 4))(ts.tensor(values))


@pytest.mark.parametrize("value", [0.5, 0.0, 100, math.inf])
def test_gradients_are_clipped_by_value(value):
    grads = numbers(3, 4), np.array([math.nan, math.inf, -2.0])
    for lib in (ts, torch):
        params = [lib.nn.Parameter(lib.zeros(*g.shape, dtype=lib.float64)) for g in grads]
        params.append(lib.nn.Parameter(lib.zeros(2)))  # without a gradient
        for p, g in zip(params, grads, strict=False):
            p.grad = lib.tensor(g)
        lib.nn.utils.clip_grad_value_(params, value)
        if lib is ts:
            ours = [p.grad.numpy() for p in params[:2]]
    for mine, p in zip(ours, params, strict=False):
        np.testing.assert_array_equal(mine, p.grad.numpy())


@BOTH
def test_parameters_as_one_vector(lib):
    params = [lib.nn.Parameter(lib.tensor(numbers(*s))) for s in ((2, 3), (), (4,))]
    vector = lib.nn.utils.parameters_to_vector(iter(params))
    assert vector.requires_grad
    np.testing.assert_array_equal(
        vector.detach().numpy(), np.concatenate([p.detach().numpy().reshape(-1) for p in params])
    )
    (g,) = lib.autograd.grad((vector * vector).sum(), params[:1], create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), 2 * params[0].detach().numpy())
    lib.nn.utils.vector_to_parameters(lib.arange(11, dtype=lib.float64), iter(params))
    assert params[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert params[1].item() == 6
    assert params[2].tolist() == [7, 8, 9, 10]


def test_nn_utils_names_mistakes():
    p = ts.nn.Parameter(ts.zeros(2))
    for value in (-1, math.nan):
        with pytest.raises(ArgumentError, match="clip_grad_value_: clip_value"):
            ts.nn.utils.clip_grad_value_(p, value)
    with pytest.raises(ShapeError, match="parameters_to_vector: parameters is empty"):
        ts.nn.utils.parameters_to_vector([])
    with pytest.raises(ShapeError, match=r"vector_to_parameters: vec must have shape \(2,\), got \(3,\)"):
        ts.nn.utils.vector_to_parameters(ts.zeros(3), [p])
    with pytest.raises(DTypeError, match="parameters_to_vector"):
        ts.nn.utils.parameters_to_vector([p, p.detach().double()])
    assert ts.nn.utils.clip_grad_norm_ is ts.optim.clip_grad_norm_


def test_utils():
    from tinyseg.utils.data import Dataset

    assert ts.utils.checkpoint.checkpoint is ts.checkpoint
    assert Dataset is ts.data.Dataset
    assert ts.utils.data.Subset is ts.data.Subset


# --- Tensors without axes ---------------------------------------------------------------------------------------------

TYPES = ["bool", "uint8", "int32", "int64", "float16", "float32", "float64"]
CALLS = {
    "add": lambda m, a, b: m.add(a, b),
    "mul": lambda m, a, b: a * b,
    "div": lambda m, a, b: a / b,
    "maximum": lambda m, a, b: m.maximum(a, b),
    "where": lambda m, a, b: m.where(m.tensor([True, False, True]), a, b),
    "eq": lambda m, a, b: a == b,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("one", "two"), list(itertools.product(TYPES, TYPES)))
def test_a_tensor_without_axes_yields_as_in_pytorch(one, two, name):
    vector = np.array([1, 2, 0.5]).astype(one)
    for value in (2, 0.3):
        scalar = np.array(value).astype(two)
        if not scalar:
            continue
        for flip in (False, True):
            for a, b in [((vector, scalar), (scalar, scalar.astype(one)))[flip]]:
                ours = CALLS[name](ts, ts.tensor(a), ts.tensor(b))
                theirs = CALLS[name](torch, torch.tensor(a), torch.tensor(b))
                assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
                np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        ours, theirs = (CALLS[name](m, m.tensor(scalar), m.tensor(vector)) for m in (ts, torch))
        assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_a_half_type_does_not_round_a_tensor_without_axes_first(half):
    for call in (lambda x, s: x / s, lambda x, s: x * 3 + s, lambda x, s: s - x, lambda x, s: x * (s * 0.7e-4)):
        ours = call(ts.tensor([1.0, 3.0]).to(half), ts.tensor(1e5))
        theirs = call(torch.tensor([1.0, 3.0]).to(getattr(torch, half)), torch.tensor(1e5))
        assert str(ours.dtype) == half
        np.testing.assert_array_equal(ours.float().numpy(), theirs.float().numpy())


def test_gradients_go_back_to_the_type_they_came_from():
    def ours_and_theirs(lib):
        x = lib.tensor([0.5, -1.5, 2.0], dtype=lib.float64, requires_grad=True)
        s = lib.tensor(1.25, dtype=lib.float32, requires_grad=True)
        y = ((x * s) ** 3 / (s + x * x) - s).sum()
        first = lib.autograd.grad(y, [x, s], create_graph=True)
        second = lib.autograd.grad((first[0] * first[0]).sum() + first[1] * first[1], [x, s])
        return [y, *first, *second]

    for a, b in zip(ours_and_theirs(ts), ours_and_theirs(torch), strict=True):
        assert str(a.dtype) == str(b.dtype).removeprefix("torch.")
        assert tuple(a.shape) == tuple(b.shape)
        rel = 1e-12 if a.dtype == np.float64 else 1e-6
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=rel)


def test_two_float_types_with_axes_still_do_not_mix():
    for shape in ((3,), (1,)):
        with pytest.raises(DTypeError, match="add: input is float32 but other is float64"):
            ts.ones(3) + ts.ones(*shape, dtype=ts.float64)


# --- schedules --------------------------------------------------------------------------------------------------------

SETTINGS = {
    "StepLR": [{"step_size": 3, "gamma": 0.5}, {"step_size": 5, "gamma": 0.2}],
    "MultiStepLR": [{"milestones": [2, 12, 12], "gamma": 0.5}, {"milestones": [4]}],
    "ExponentialLR": [{"gamma": 0.9}, {"gamma": 0.5}],
    "PolynomialLR": [{"total_iters": 20, "power": 2.0}, {"total_iters": 9}],
    "LinearLR": [{"start_factor": 0.2, "end_factor": 0.9, "total_iters": 20}, {}],
    "CosineAnnealingLR": [{"T_max": 30, "eta_min": 0.01}, {"T_max": 9}],
    "OneCycleLR": [
        {"max_lr": 0.5, "total_steps": 30, "three_phase": True, "anneal_strategy": "linear"},
        {"max_lr": 0.5, "total_steps": 25},
    ],
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("source", ["ours", "pytorch"])
def test_a_state_brings_its_settings(name, source):
    (a, b), (c, d) = optimizers(), optimizers()
    for optimizer in (a, b, c, d) if name == "OneCycleLR" else ():
        for group in optimizer.param_groups:
            group["momentum"] = 0.9
    old, new = SETTINGS[name]
    theirs_module = torch.optim.lr_scheduler
    first, theirs_first = getattr(ts.optim.lr_scheduler, name)(a, **old), getattr(theirs_module, name)(b, **old)
    for _ in range(7):
        b.step()
        first.step()
        theirs_first.step()
    second, theirs = getattr(ts.optim.lr_scheduler, name)(c, **new), getattr(theirs_module, name)(d, **new)
    d.load_state_dict(b.state_dict())
    theirs.load_state_dict(theirs_first.state_dict())
    second.load_state_dict((first if source == "ours" else theirs_first).state_dict())
    for _ in range(10):
        assert second.get_last_lr() == pytest.approx([g["lr"] for g in d.param_groups], rel=1e-10)
        d.step()
        second.step()
        theirs.step()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("source", ["ours", "pytorch"])
def test_a_state_of_schedules_in_turn_brings_theirs(source):
    def made(module, optimizer, warm, gamma, at):
        parts = [module.LinearLR(optimizer, 0.1, 1.0, warm), module.ExponentialLR(optimizer, gamma)]
        return module.SequentialLR(optimizer, parts, [at])

    (a, b), (c, d) = optimizers(), optimizers()
    ours, theirs = made(ts.optim.lr_scheduler, a, 5, 0.9, 5), made(torch.optim.lr_scheduler, b, 5, 0.9, 5)
    new, theirs_new = made(ts.optim.lr_scheduler, c, 3, 0.5, 2), made(torch.optim.lr_scheduler, d, 3, 0.5, 2)
    for _ in range(3):
        b.step()
        ours.step()
        theirs.step()
    new.load_state_dict((ours if source == "ours" else theirs).state_dict())
    d.load_state_dict(b.state_dict())
    theirs_new.load_state_dict(theirs.state_dict())
    for _ in range(9):
        assert new.get_last_lr() == pytest.approx([g["lr"] for g in d.param_groups], rel=1e-10)
        d.step()
        new.step()
        theirs_new.step()
    with pytest.raises(CheckpointError, match="not that of 2 schedulers"):
        new.load_state_dict({**ours.state_dict(), "_milestones": []})


@pytest.mark.parametrize("source", ["ours", "pytorch"])
def test_a_state_of_plateaus_brings_its_settings(source):
    (a, b), (c, d) = optimizers(), optimizers()
    old = {"mode": "max", "factor": 0.5, "patience": 1, "threshold": 0.1, "threshold_mode": "abs", "min_lr": 0.01}
    ours, theirs = (
        ts.optim.lr_scheduler.ReduceLROnPlateau(a, **old),
        torch.optim.lr_scheduler.ReduceLROnPlateau(b, **old),
    )
    new, theirs_new = ts.optim.lr_scheduler.ReduceLROnPlateau(c), torch.optim.lr_scheduler.ReduceLROnPlateau(d)
    for value in (1.0, 2.0, 2.05, 2.05, 2.0):
        ours.step(value)
        theirs.step(value)
    new.load_state_dict((ours if source == "ours" else theirs).state_dict())
    d.load_state_dict(b.state_dict())
    theirs_new.load_state_dict(theirs.state_dict())
    for value in (2.0, 2.2, 2.25, 2.25, 2.2, 2.1, 2.1, 2.1, 2.1, 2.1, 2.1, 2.1, 2.1, 2.1):
        new.step(value)
        theirs_new.step(value)
        assert new.get_last_lr() == [g["lr"] for g in d.param_groups]


def test_a_state_shares_no_list_and_is_checked():
    a, _ = optimizers()
    schedule = ts.optim.lr_scheduler.MultiStepLR(a, [2, 5])
    state = schedule.state_dict()
    state["milestones"].append(99)
    assert schedule.milestones == [2, 5]
    with pytest.raises(ArgumentError, match="MultiStepLR: milestones"):
        schedule.load_state_dict({**state, "milestones": ["x"]})
    with pytest.raises(ArgumentError, match="StepLR: step_size"):
        ts.optim.lr_scheduler.StepLR(a, 2).load_state_dict({**state, "step_size": 0})


# --- messages ---------------------------------------------------------------------------------------------------------


def test_a_division_speaks_of_itself():
    x = ts.tensor([1, 2])
    with pytest.raises(ArgumentError, match="floor_divide: other is an integer 0"):
        x // 0
    with pytest.raises(ArgumentError, match="div: other is an integer 0"):
        ts.div(x, 0, rounding_mode="floor")
    with pytest.raises(DTypeError, match="floor_divide: other must be a Tensor"):
        x // "2"


def test_numpys_functions_say_what_to_write():
    x = ts.tensor([[1.0, 2.0], [3.0, 5.0]])
    for function in (np.mean, np.sum, np.max, np.std, np.argmax, np.cumsum, np.any):
        with pytest.raises(DTypeError, match=rf"np.{function.__name__}: expected an array, got a Tensor; use t\."):
            function(x)
    assert np.concatenate([x, x]).shape == (4, 2)
    assert np.allclose(x, x.numpy())
    assert np.median(x) == 2.5
    assert np.shape(x) == (2, 2)
