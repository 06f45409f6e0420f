"""Every layer beside PyTorch's in float64, with its weights: printed form, keys, output, gradients."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinyseg as ts
from tinyseg import nn
from tinyseg.errors import ArgumentError, ShapeError

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # PyTorch's own

X4, X3, X2 = (2, 4, 9, 8), (4, 9, 8), (3, 4)
LAYERS = [
    (lambda n: n.Conv2d(4, 6, 3), X4),
    (lambda n: n.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False), X4),
    (lambda n: n.Conv2d(4, 4, 3, 2, 1, 2, 4), X3),
    (lambda n: n.Conv2d(4, 6, 4, padding="same"), X4),
    (lambda n: n.Conv2d(4, 6, 3, padding="valid"), X4),
    *(
        (lambda n, m=mode, p=padding: n.Conv2d(4, 2, (3, 4), padding=p, dilation=(2, 1), padding_mode=m), X4)
        for mode in ("reflect", "replicate", "circular")
        for padding in ((2, 3), "same", "valid")
    ),
    (lambda n: n.ConvTranspose2d(4, 6, 2, 2), X4),
    (lambda n: n.ConvTranspose2d(4, 6, (3, 4), (2, 3), (1, 2), (1, 2), 2, False, (1, 2)), X4),
    (lambda n: n.ConvTranspose2d(4, 2, 3, dilation=2), X3),
    (lambda n: n.Linear(4, 5), X2),
    (lambda n: n.Linear(8, 5, bias=False), X4),
    (lambda n: n.BatchNorm2d(4), X4),
    (lambda n: n.BatchNorm2d(4, eps=0.1, momentum=0.4, affine=False), X4),
    (lambda n: n.BatchNorm2d(4, momentum=None), X4),
    (lambda n: n.BatchNorm2d(4, track_running_stats=False), X4),
    (lambda n: n.BatchNorm2d(4, bias=False), X4),
    (lambda n: n.BatchNorm1d(4), X2),
    (lambda n: n.BatchNorm1d(4), (2, 4, 5)),
    (lambda n: n.BatchNorm1d(4, momentum=None, track_running_stats=False), X2),
    (lambda n: n.InstanceNorm2d(4), X4),
    (lambda n: n.InstanceNorm2d(4, 0.1, 0.3, True, True), X4),
    (lambda n: n.InstanceNorm2d(4, affine=True, bias=False), X3),
    (lambda n: n.InstanceNorm2d(4, momentum=None, track_running_stats=True), X3),
    (lambda n: n.InstanceNorm1d(4, affine=True), (2, 4, 5)),
    (lambda n: n.InstanceNorm1d(4, track_running_stats=True), (4, 5)),
    (lambda n: n.GroupNorm(2, 4), X4),
    (lambda n: n.GroupNorm(1, 4, 0.1, False), X4),
    (lambda n: n.GroupNorm(2, 4, bias=False), X2),
    (lambda n: n.LayerNorm(8), X4),
    (lambda n: n.LayerNorm((9, 8), 0.1, bias=False), X4),
    (lambda n: n.LayerNorm([4, 9, 8], elementwise_affine=False), X4),
    (lambda n: n.RMSNorm(8), X4),
    (lambda n: n.RMSNorm((9, 8), 1e-3, False), X4),
    (lambda n: n.MaxPool2d(2), X4),
    (lambda n: n.MaxPool2d((3, 2), (2, 1), (1, 0), ceil_mode=True), X4),
    (lambda n: n.MaxPool2d(2, dilation=2), X3),
    (lambda n: n.AvgPool2d(3, 2, 1, True, False), X4),
    (lambda n: n.AvgPool2d((2, 3), divisor_override=4), X4),
    (lambda n: n.LPPool2d(2, (2, 3), stride=2, ceil_mode=True), X4),
    (lambda n: n.LPPool2d(4, 3), X3),
    (lambda n: n.AdaptiveAvgPool2d(1), X4),
    (lambda n: n.AdaptiveAvgPool2d((None, 3)), X3),
    (lambda n: n.AdaptiveMaxPool2d((4, 11)), X4),
    (lambda n: n.AdaptiveMaxPool2d((5, None)), X3),
    (lambda n: n.LocalResponseNorm(3), X4),
    (lambda n: n.LocalResponseNorm(2, 0.5, 0.6, 2.0), X3),
    (lambda n: n.Unfold((3, 2), padding=1, stride=(2, 1)), X4),
    (lambda n: n.Unfold(2, dilation=(1, 2)), X3),
    (lambda n: n.Fold((4, 5), (2, 1), padding=(1, 0), stride=2), (2, 6, 9)),
    (lambda n: n.PixelShuffle(2), X4),
    (lambda n: n.PixelUnshuffle(3), (2, 1, 9, 6)),
    (lambda n: n.ChannelShuffle(2), X4),
    (lambda n: n.Upsample(scale_factor=2), X4),
    (lambda n: n.Upsample(scale_factor=1.3, mode="nearest-exact"), X4),
    (lambda n: n.Upsample((5, 13), mode="bicubic"), X4),
    (lambda n: n.Upsample((5, 3), mode="area"), X4),
    (lambda n: n.Upsample((5, 13), mode="bilinear"), X4),
    (lambda n: n.Upsample(scale_factor=(1.5, 2), mode="bilinear", align_corners=True), X4),
    (lambda n: n.Upsample(scale_factor=1.3, mode="bilinear", recompute_scale_factor=True), X4),
    (lambda n: n.UpsamplingNearest2d(scale_factor=3), X4),
    (lambda n: n.UpsamplingBilinear2d((7, 7)), X4),
    (lambda n: n.ZeroPad2d((1, 2, 0, -1)), X4),
    (lambda n: n.ReflectionPad2d(3), X4),
    (lambda n: n.ReplicationPad2d((1, 2, 3, 4)), X4),
    (lambda n: n.ConstantPad2d((1, 2, 0, -1), 3.5), X4),
    (lambda n: n.CircularPad2d((1, 2, 3, -1)), X4),
    (lambda n: n.CircularPad2d(2), X3),
    (lambda n: n.Flatten(), X4),
    (lambda n: n.Flatten(0, -2), X4),
    (lambda n: n.Identity(3, what="ever"), X4),
    (lambda n: n.Dropout(0.0), X4),
    (lambda n: n.Dropout1d(0.0), (2, 4, 5)),
    (lambda n: n.Dropout2d(0.0), X4),
    (lambda n: n.ReLU(), X4),
    (lambda n: n.ReLU(inplace=True), X4),
    (lambda n: n.ReLU6(), X4),
    (lambda n: n.LeakyReLU(0.2), X4),
    (lambda n: n.LeakyReLU(inplace=True), X4),
    (lambda n: n.ELU(0.7), X4),
    (lambda n: n.SiLU(), X4),
    (lambda n: n.Mish(), X4),
    (lambda n: n.GELU(), X4),
    (lambda n: n.GELU("tanh"), X4),
    (lambda n: n.Hardtanh(-0.5, 0.3), X4),
    (lambda n: n.Sigmoid(), X4),
    (lambda n: n.LogSigmoid(), X4),
    (lambda n: n.Tanh(), X4),
    (lambda n: n.Softplus(2.0, 1.0), X4),
    (lambda n: n.Softmax(1), X4),
    (lambda n: n.LogSoftmax(dim=-1), X4),
    (lambda n: n.Softmin(dim=1), X4),
    (lambda n: n.Softmax2d(), X3),
    (lambda n: n.CELU(0.75), X4),
    (lambda n: n.CELU(inplace=True), X4),
    (lambda n: n.SELU(), X4),
    (lambda n: n.PReLU(), X4),
    (lambda n: n.PReLU(4, init=0.1), X4),
    (lambda n: n.Hardsigmoid(True), X4),
    (lambda n: n.Hardswish(True), X4),
    (lambda n: n.Threshold(0.3, -1.0), X4),
    (lambda n: n.Hardshrink(0.3), X4),
    (lambda n: n.Softshrink(), X4),
    (lambda n: n.Softsign(), X4),
    (lambda n: n.Tanhshrink(), X4),
    (lambda n: n.GLU(), X4),
    (lambda n: n.GLU(0), X3),
]


def both(build, seed=0):
    """The layer in both libraries, float64, with PyTorch's weights."""
    torch.manual_seed(seed)
    theirs = build(torch.nn).double()
    ours = build(nn).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def compare(ours, theirs, shape, *args, seed=0, torch_args=None):
    """Output, gradient of the input, gradients of the parameters, buffers afterwards."""
    rng = np.random.default_rng(seed)
    values = np.where((v := rng.standard_normal(shape)) > 0, v + 0.02, v - 0.02)  # away from the kinks at 0
    x, t = ts.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y = ours(x, *args)
    u = theirs(t * 1, *args)  # not a leaf: PyTorch may work in place
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-9, atol=1e-10)
    g = rng.standard_normal(y.shape)
    y.backward(ts.tensor(g))
    u.backward(torch.tensor(g))
    # PyTorch's hardsigmoid multiplies by a sixth in float32
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-7, atol=1e-9)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-8, atol=1e-9)
    for b, c in zip(ours.buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(b.numpy(), c.numpy(), rtol=1e-10)


@pytest.mark.parametrize(("build", "shape"), LAYERS, ids=lambda v: repr(v(torch.nn))[:60] if callable(v) else "")
def test_layer_equals_pytorchs(build, shape):
    ours, theirs = both(build)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    compare(ours, theirs, shape)
    ours.eval(), theirs.eval()
    ours.zero_grad(), theirs.zero_grad()
    compare(ours, theirs, shape, seed=1)


def test_max_pool_returns_indices():
    x = np.random.default_rng(0).standard_normal((1, 2, 6, 6))
    y, indices = nn.MaxPool2d(2, return_indices=True)(ts.tensor(x))
    u, places = torch.nn.MaxPool2d(2, return_indices=True)(torch.tensor(x))
    np.testing.assert_array_equal(y.numpy(), u.numpy())
    np.testing.assert_array_equal(indices.numpy(), places.numpy())


def test_adaptive_max_pool_returns_indices():
    x = np.random.default_rng(0).standard_normal((1, 2, 6, 7))
    y, indices = nn.AdaptiveMaxPool2d((4, 3), return_indices=True)(ts.tensor(x))
    u, places = torch.nn.AdaptiveMaxPool2d((4, 3), return_indices=True)(torch.tensor(x))
    np.testing.assert_array_equal(y.numpy(), u.numpy())
    np.testing.assert_array_equal(indices.numpy(), places.numpy())


@pytest.mark.parametrize("output_size", [None, (7, 6), (1, 2, 7, 6)])
def test_max_unpool(output_size):
    x = np.random.default_rng(0).standard_normal((1, 2, 7, 6))
    ours, theirs = (n.MaxUnpool2d((2, 3), stride=(2, 3)) for n in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    y = ours(*nn.MaxPool2d((2, 3), return_indices=True)(ts.tensor(x)), output_size)
    u = theirs(*torch.nn.MaxPool2d((2, 3), return_indices=True)(torch.tensor(x)), output_size)
    np.testing.assert_array_equal(y.numpy(), u.numpy())


@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
def test_batch_norm_running_statistics_over_many_batches(momentum):
    ours, theirs = both(lambda n: n.BatchNorm2d(3, momentum=momentum))
    for seed in range(5):
        ours.zero_grad(), theirs.zero_grad()
        compare(ours, theirs, (2, 3, 4, 4), seed=seed)
    assert ours.num_batches_tracked.item() == 5
    assert ours.num_batches_tracked.dtype == np.int64
    ours.reset_parameters()
    assert ours.running_var.numpy().tolist() == [1, 1, 1]
    assert ours.running_mean.numpy().tolist() == [0, 0, 0]
    assert ours.num_batches_tracked.item() == 0


@given(data=st.data())
@settings(max_examples=60)
def test_every_padding_mode_and_geometry(data):
    kernel, dilation = (data.draw(st.tuples(*[st.integers(1, 3)] * 2)) for _ in range(2))
    mode = data.draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    padding = data.draw(st.sampled_from(["same", "valid"]) | st.tuples(st.integers(0, 4), st.integers(0, 4)))
    stride = (1, 1) if padding == "same" else data.draw(st.tuples(*[st.integers(1, 3)] * 2))
    size = data.draw(st.tuples(*[st.integers(1, 8)] * 2))
    widths = (
        [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)] if padding == "same" else [2 * p for p in padding]
        if padding != "valid" else [0, 0]
    )  # fmt: skip
    around = [-(-w // 2) for w in widths]
    least = {"reflect": 1, "circular": 0}.get(mode)
    assume(least is None or all(n >= a + least for n, a in zip(size, around, strict=True)))
    assume(all(n + w > d * (k - 1) for n, w, d, k in zip(size, widths, dilation, kernel, strict=True)))
    ours, theirs = both(lambda n: n.Conv2d(2, 2, kernel, stride, padding, dilation, padding_mode=mode))
    compare(ours, theirs, (1, 2, *size))


@pytest.mark.parametrize(("layer", "channels"), [(nn.Dropout, False), (nn.Dropout2d, True)])
def test_dropout_keeps_the_mean_and_stops_in_evaluation(layer, channels):
    drop, x = layer(0.25), ts.ones(40, 50, 4, 4)
    y = drop(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    kept = (y > 0).mean()
    assert kept == pytest.approx(0.75, abs=0.05)
    assert bool((y == y[:, :, :1, :1]).all()) is channels
    np.testing.assert_array_equal(drop.eval()(x).numpy(), x.numpy())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(0, 1, 3), "Conv2d: in_channels must be a positive integer, got 0"),
        (lambda: nn.Conv2d(4, 6, 3, groups=3), "groups must divide in_channels 4 and out_channels 6, got 3"),
        (lambda: nn.Conv2d(1, 1, 3, stride=2, padding="same"), "needs stride 1"),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), "'full'"),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), "padding_mode must be .* got 'mirror'"),
        (lambda: nn.Conv2d(1, 1, (3, 3, 3)), "kernel_size"),
        (lambda: nn.ConvTranspose2d(1, 1, 2, padding_mode="reflect"), "only padding_mode 'zeros'"),
        (lambda: nn.Linear(1.5, 1), "in_features must be a positive integer"),
        (lambda: nn.BatchNorm2d(0), "num_features"),
        (lambda: nn.Dropout(1.5), "p must be between 0 and 1, got 1.5"),
        (lambda: nn.ZeroPad2d((1, 2)), "left, right, top, bottom"),
        (lambda: nn.MSELoss(reduction="average"), "'average'"),
        (lambda: nn.L1Loss(size_average=True), "size_average"),
        (lambda: nn.KLDivLoss(reduction="average"), "'mean' or 'batchmean' or 'sum' or 'none', got 'average'"),
        (lambda: nn.GroupNorm(3, 4), "GroupNorm: num_groups 3 does not divide num_channels 4"),
        (lambda: nn.GroupNorm(0, 4), "GroupNorm: num_groups must be a positive integer, got 0"),
        (lambda: nn.LayerNorm(()), "LayerNorm: normalized_shape must be one or more positive integers"),
        (lambda: nn.PReLU(0), "PReLU: num_parameters must be a positive integer, got 0"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(2), nn.BatchNorm1d(2)])
def test_batch_norm_names_a_wrong_number_of_axes(layer):
    with pytest.raises(ShapeError, match=r"BatchNorm.d: input must have .* axes, got shape \(2,\)"):
        layer(ts.zeros(2))


def test_instance_norm_and_softmax2d_name_wrong_shapes():
    with pytest.raises(ShapeError, match=r"InstanceNorm2d: input must have 3 or 4 axes, got shape \(2, 3\)"):
        nn.InstanceNorm2d(3)(ts.zeros(2, 3))
    with pytest.raises(ShapeError, match="InstanceNorm2d: input must have num_features 3 channels"):
        nn.InstanceNorm2d(3, affine=True)(ts.zeros(1, 2, 4, 4))
    with pytest.raises(ShapeError, match=r"Softmax2d: input must be \(N, C, H, W\) or \(C, H, W\), got shape \(2, 3\)"):
        nn.Softmax2d()(ts.zeros(2, 3))


@pytest.mark.parametrize(
    "layer", [nn.GroupNorm(2, 4), nn.LayerNorm((2, 3)), nn.RMSNorm(3), nn.InstanceNorm1d(4, affine=True), nn.PReLU(3)]
)
def test_reset_parameters_goes_back_to_the_start(layer):
    before = {k: t.numpy().copy() for k, t in layer.state_dict().items()}
    for p in layer.parameters():
        p.assign_(7.0)
    layer.reset_parameters()
    for k, t in layer.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), before[k])


def test_device_and_dtype_arguments():
    for layer in (nn.Conv2d(1, 1, 1, dtype=ts.float64), nn.ConvTranspose2d(1, 1, 1, dtype=ts.float64, device="cpu")):
        assert {p.dtype for p in layer.parameters()} == {ts.float64}
    assert nn.Linear(1, 1, dtype=ts.float16).bias.dtype == ts.float16
    assert nn.BatchNorm2d(1, dtype=ts.float64).running_mean.dtype == ts.float64


# -- losses -----------------------------------------------------------------------------------------------------------

LOGITS, CLASSES = (3, 4, 5, 2), np.random.default_rng(0).integers(0, 4, (3, 5, 2))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("CrossEntropyLoss", {}),
        ("CrossEntropyLoss", {"ignore_index": 2, "label_smoothing": 0.1}),
        ("CrossEntropyLoss", {"weight": [1.0, 2.0, 0.5, 3.0]}),
        ("NLLLoss", {"weight": [1.0, 2.0, 0.5, 3.0], "ignore_index": 1}),
        ("BCEWithLogitsLoss", {"weight": [0.5, 2.0], "pos_weight": [3.0, 1.0]}),
        ("MSELoss", {}),
        ("L1Loss", {}),
        ("BCELoss", {"weight": [0.5, 2.0]}),
        ("SmoothL1Loss", {"beta": 0.5}),
        ("HuberLoss", {"delta": 0.75}),
        ("KLDivLoss", {}),
        ("KLDivLoss", {"log_target": True}),
        ("PoissonNLLLoss", {"full": True}),
        ("PoissonNLLLoss", {"log_input": False, "eps": 5.0}),
    ],
)
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:UserWarning")  # PyTorch's, of kl_div
def test_loss_equals_pytorchs(name, settings, reduction):
    made = []
    for n, tensor, kind in ((nn, ts.tensor, ts.float64), (torch.nn, torch.tensor, torch.float64)):
        args = {k: tensor(v, dtype=kind) if isinstance(v, list) else v for k, v in settings.items()}
        made.append(getattr(n, name)(reduction=reduction, **args))
    ours, theirs = made
    assert list(ours.state_dict()) == list(theirs.state_dict())
    rng = np.random.default_rng(1)
    x = rng.random(LOGITS) if name == "BCELoss" else rng.standard_normal(LOGITS)
    target = CLASSES if name in ("CrossEntropyLoss", "NLLLoss") else rng.random(LOGITS)
    a, b = ts.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, u = ours(a, ts.tensor(target)), theirs(b, torch.tensor(target))
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-11)
    y.sum().backward()
    u.sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-14)


def in_both(build, *shapes):
    """The same module of tinyseg and of PyTorch at the same inputs: values and gradients."""
    ours, theirs = build(nn), build(torch.nn)
    assert repr(ours) == repr(theirs)
    arrays = [np.random.default_rng(i).random(s) + 0.1 if isinstance(s, tuple) else np.array(s)
              for i, s in enumerate(shapes)]  # fmt: skip
    floats = [a.dtype.kind == "f" for a in arrays]
    xs = [ts.tensor(a, requires_grad=f) for a, f in zip(arrays, floats, strict=True)]
    ys = [torch.tensor(a, requires_grad=f) for a, f in zip(arrays, floats, strict=True)]
    a, b = ours(*xs), theirs(*ys)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)
    a.sum().backward()
    b.sum().backward()
    for x, y in zip(xs, ys, strict=True):
        if x.requires_grad:
            np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-9, atol=1e-13)


def test_losses_and_distances_of_several_inputs():
    in_both(lambda n: n.GaussianNLLLoss(full=True, eps=0.3, reduction="sum"), (4, 3), (4, 3), (4, 3))
    in_both(lambda n: n.GaussianNLLLoss(), (4, 3), (4, 3), (4,))
    in_both(lambda n: n.KLDivLoss(reduction="batchmean"), (4, 3), (4, 3))
    in_both(lambda n: n.CosineSimilarity(dim=-1, eps=1e-3), (4, 3), (4, 3))
    in_both(lambda n: n.CosineSimilarity(eps=1.1), (4, 3), (4, 3))
    in_both(lambda n: n.PairwiseDistance(1.0, 0.0, True), (4, 3), (4, 3))
    in_both(lambda n: n.CosineEmbeddingLoss(0.5, reduction="none"), (4, 3), (4, 3), [1, -1, -1, 1])


def test_focal_loss_by_hand():
    logits, target = ts.tensor(np.log([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])), ts.tensor([0, 1])
    expected = -(0.5**3 * np.log(0.5) * 2 + 0.2**3 * np.log(0.8) * 5) / 7
    loss = nn.FocalLoss(ts.tensor([2.0, 5.0, 1.0], dtype=ts.float64), gamma=3.0)
    assert list(loss.state_dict()) == ["weight"]
    assert loss(logits, target).item() == pytest.approx(expected)
    assert nn.FocalLoss(gamma=3.0, ignore_index=1)(logits, target).item() == pytest.approx(-(0.5**3) * np.log(0.5))


def test_dice_loss_by_hand():
    logits = np.zeros((1, 2, 1, 2))  # p = 1/2 everywhere; classes 0 and 1
    target = ts.tensor(np.array([[[0, 1]]]))
    # each class: (2·½ + ε) / (1 + 1 + ε)
    assert nn.DiceLoss(eps=0.0)(ts.tensor(logits), target).item() == pytest.approx(0.5)
    assert nn.DiceLoss(eps=1.0)(ts.tensor(logits), target).item() == pytest.approx(1 - 2 / 3)
    ignoring = nn.DiceLoss(ignore_index=1, include_background=True, eps=0.0)
    # without pixel 2: class 0 gives 2·½ / (½ + 1), class 1 gives 0
    assert ignoring(ts.tensor(logits), target).item() == pytest.approx(1 - (2 / 3) / 2)
