"""U-Net against PyTorch: names, counts, values, gradients, training steps; the 2015 form, tiling and the weight map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tinyseg as ts
from tests.torch_unet import TorchUNet, smooth_torch
from tinyseg import nn
from tinyseg.errors import ArgumentError, ShapeError
from tinyseg.models import UNet, UNet2015, overlap_tile, weight_map


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("channels", "classes", "bilinear", "parameters", "keys"),
    [
        (3, 2, False, 31_037_698, 118),
        (3, 2, True, 17_263_042, 110),
        (3, 1, False, 31_037_633, 118),
        (3, 1, True, 17_262_977, 110),
        (1, 2, False, 31_036_546, 118),
        (1, 1, True, 17_261_825, 110),
        (3, 21, False, 31_038_933, 118),
    ],
)
def test_published_counts(channels: int, classes: int, bilinear: bool, parameters: int, keys: int) -> None:
    model = UNet(channels, classes, bilinear)
    assert count(model) == parameters
    assert len(model.state_dict()) == keys


@pytest.mark.parametrize("bilinear", [False, True])
def test_keys_and_shapes_are_pytorchs_in_order(bilinear: bool) -> None:
    ours = {k: tuple(v.shape) for k, v in UNet(3, 2, bilinear, width=8).state_dict().items()}
    theirs = {k: tuple(v.shape) for k, v in TorchUNet(3, 2, bilinear, width=8).state_dict().items()}
    assert list(ours.items()) == list(theirs.items())


def pair(width: int, bilinear: bool, dtype: torch.dtype = torch.float64, smooth: bool = False):
    torch.manual_seed(0)
    theirs = TorchUNet(3, 2, bilinear, width).to(dtype)
    ours = UNet(3, 2, bilinear, width).to(str(dtype).removeprefix("torch."))
    if smooth:
        smooth_torch(theirs)
        smoothed(ours)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def smoothed(model: nn.Module) -> None:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(parent, name, nn.SiLU())
            elif isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(2))


def problem(size: tuple[int, int], dtype: str, n: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((n, 3, *size)).astype(dtype), rng.integers(0, 2, (n, *size))


def losses(ours, theirs, x, t):
    x_ours, x_theirs = ts.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y_ours, y_theirs = ours(x_ours), theirs(x_theirs)
    loss_ours = nn.functional.cross_entropy(y_ours, ts.tensor(t))
    loss_theirs = torch.nn.functional.cross_entropy(y_theirs, torch.tensor(t))
    return (x_ours, y_ours, loss_ours), (x_theirs, y_theirs, loss_theirs)


def worst(ours, theirs) -> float:
    """Largest difference between gradients, each relative to that gradient's largest element."""
    reference = dict(theirs.named_parameters())
    return max(
        float(np.abs(p.grad.data - reference[k].grad.numpy()).max() / max(reference[k].grad.abs().max().item(), 1e-30))
        for k, p in ours.named_parameters()
    )


@pytest.mark.parametrize(
    ("width", "bilinear", "size"), [(64, False, (32, 32)), (8, True, (37, 50)), (8, False, (29, 17))]
)
def test_outputs_and_every_gradient_in_float64(width: int, bilinear: bool, size: tuple[int, int]) -> None:
    ours, theirs = pair(width, bilinear)
    (x, y, loss), (tx, ty, tloss) = losses(ours, theirs, *problem(size, "float64"))
    loss.backward()
    tloss.backward()
    np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(x.grad.numpy(), tx.grad.numpy(), rtol=1e-7, atol=1e-9)
    assert worst(ours, theirs) < 1e-9
    for key, value in theirs.state_dict().items():  # running statistics too
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("width", [16, 64])
def test_ten_adam_steps_stay_together(width: int) -> None:
    ours, theirs = pair(width, False)
    adam, reference = ts.optim.Adam(ours.parameters(), lr=1e-3), torch.optim.Adam(theirs.parameters(), lr=1e-3)
    x, t = problem((32, 32), "float64")
    for _ in range(10):
        adam.zero_grad()
        reference.zero_grad()
        (_, _, loss), (_, _, tloss) = losses(ours, theirs, x, t)
        loss.backward()
        tloss.backward()
        adam.step()
        reference.step()
        assert abs(loss.item() - tloss.item()) < 1e-8
    state = ours.state_dict()
    assert max(float(np.abs(state[k].numpy() - v.numpy()).max()) for k, v in theirs.state_dict().items()) < 1e-8


def test_float32_without_kinks() -> None:
    ours, theirs = pair(16, False, torch.float32, smooth=True)
    (_, y, loss), (_, ty, tloss) = losses(ours, theirs, *problem((48, 40), "float32"))
    loss.backward()
    tloss.backward()
    np.testing.assert_allclose(y.detach().numpy(), ty.detach().numpy(), atol=1e-4)
    assert worst(ours, theirs) < 1e-3


def test_hessian_vector_product_through_the_whole_net() -> None:
    ours, theirs = pair(4, False)
    x, t = problem((20, 19), "float64")
    (_, _, loss), (_, _, tloss) = losses(ours, theirs, x, t)
    rng = np.random.default_rng(2)
    vectors = {k: rng.standard_normal(p.shape) for k, p in ours.named_parameters()}
    gs = ts.grad(loss, list(ours.parameters()), create_graph=True)
    inner = sum((g * ts.tensor(v)).sum() for g, v in zip(gs, vectors.values(), strict=True))
    hv = ts.grad(inner, list(ours.parameters()), materialize_grads=True)
    tgs = torch.autograd.grad(tloss, list(theirs.parameters()), create_graph=True)
    tinner = sum((g * torch.tensor(v)).sum() for g, v in zip(tgs, vectors.values(), strict=True))
    thv = torch.autograd.grad(tinner, list(theirs.parameters()), materialize_grads=True)
    for a, b in zip(hv, thv, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-7, atol=1e-9)


def test_inputs_that_do_not_fit_are_named() -> None:
    model = UNet(3, 2, width=4).eval()
    assert model(ts.zeros(1, 3, 16, 17)).shape == (1, 2, 16, 17)
    with pytest.raises(ShapeError, match=r"UNet: input must be \(N, 3, H, W\).*\(1, 3, 15, 16\)"):
        model(ts.zeros(1, 3, 15, 16))
    with pytest.raises(ShapeError, match=r"\(1, 1, 16, 16\)"):
        model(ts.zeros(1, 1, 16, 16))
    with pytest.raises(ArgumentError, match="width"):
        UNet(3, 2, width=7)


def test_paper_form_counts_and_sizes() -> None:
    assert count(UNet2015(1, 2)) == 31_030_658
    assert count(UNet2015(1, 1)) == 31_030_593
    assert {n: UNet2015.output_size(n) for n in (572, 540, 444, 188, 570, 187, 172)} == {
        572: 388, 540: 356, 444: 260, 188: 4, 570: None, 187: None, 172: None,
    }  # fmt: skip
    model = UNet2015(1, 2, width=2).eval()
    assert model(ts.zeros(1, 1, 188, 204)).shape == (1, 2, 4, 20)
    with pytest.raises(ShapeError, match="UNet2015"):
        model(ts.zeros(1, 1, 190, 188))


@given(st.integers(1, 700))
def test_paper_output_size_is_the_layer_arithmetic(n: int) -> None:
    size, fits = n, True
    for _ in range(4):
        size -= 4
        fits, size = fits and size >= 2 and size % 2 == 0, size // 2
    size -= 4
    fits = fits and size > 0
    for _ in range(4):
        size = 2 * size - 4
    assert UNet2015.output_size(n) == (size if fits and size > 0 else None)


def test_tiles_give_what_the_whole_mirrored_image_gives() -> None:
    ts.manual_seed(0)
    model = UNet2015(1, 2, width=2).double().eval()
    image = np.random.default_rng(0).random((1, 45, 30))
    tiled = overlap_tile(model, image, tile=204, margin=92, align=16)  # middles of 16 pixels: 3 x 2 tiles
    mirrored = np.pad(image, [(0, 0), (92, 92 + 15), (92, 92 + 10)], mode="reflect")
    rows = next(n for n in range(mirrored.shape[1], 400) if UNet2015.output_size(n))
    columns = next(n for n in range(mirrored.shape[2], 400) if UNet2015.output_size(n))
    grown = np.pad(mirrored, [(0, 0), (0, rows - mirrored.shape[1]), (0, columns - mirrored.shape[2])], mode="edge")
    with ts.no_grad():
        whole = model(ts.tensor(grown[None])).numpy()[0, :, :45, :30]
    np.testing.assert_allclose(tiled, whole, rtol=1e-9, atol=1e-12)


def test_tiles_of_a_padded_net_keep_their_middles() -> None:
    conv = nn.Conv2d(2, 3, 3, padding=1).double()
    image = np.random.default_rng(0).random((2, 23, 31))
    mirrored = np.pad(image, [(0, 0), (1, 1), (1, 1)], mode="reflect")
    with ts.no_grad():
        whole = nn.functional.conv2d(ts.tensor(mirrored[None]), conv.weight, conv.bias).numpy()[0]
    np.testing.assert_allclose(overlap_tile(conv, image, tile=12, margin=2), whole, rtol=1e-12, atol=1e-12)
    with pytest.raises(ArgumentError, match="leaves 0"):
        overlap_tile(conv, image, tile=4, margin=2)


def test_tiles_of_the_padded_unet_give_what_the_whole_image_gives() -> None:
    ts.manual_seed(0)
    model = UNet(1, 2, width=2).double().eval()
    image = np.random.default_rng(0).random((1, 70, 40))
    mirrored = np.pad(image, [(0, 0), (96, 96), (96, 96)], mode="reflect")
    with ts.no_grad():
        whole = model(ts.tensor(mirrored[None, :, :-6, :-8])).numpy()[0, :, 96:-90, 96:-88]  # sizes of 16 k
    tiled = overlap_tile(model, image, tile=224, margin=96, align=16)
    np.testing.assert_allclose(tiled[:, :60, :30], whole[:, :60, :30], rtol=1e-9, atol=1e-12)


def test_weight_map_is_the_papers_formula() -> None:
    labels = np.zeros((12, 14), np.int32)
    labels[2:5, 2:5], labels[2:6, 7:10], labels[8:11, 3:9] = 1, 2, 3
    rows, columns = np.mgrid[:12, :14]
    distances = np.array(
        [
            np.min([np.hypot(rows - r, columns - c) for r, c in zip(*np.nonzero(labels == k), strict=True)], axis=0)
            for k in (1, 2, 3)
        ]
    )
    d1, d2 = np.sort(distances, axis=0)[:2]
    share = (labels > 0).mean()
    expected = np.where(labels > 0, 0.5 / share, 0.5 / (1 - share)) + 10 * np.exp(-((d1 + d2) ** 2) / 50)
    np.testing.assert_allclose(weight_map(labels), expected, rtol=1e-5)
    assert weight_map(np.zeros((5, 5), int)).tolist() == np.ones((5, 5)).tolist()
    one = np.zeros((4, 4), int)
    one[0] = 1
    np.testing.assert_allclose(weight_map(one), np.where(one, 2, 2 / 3), rtol=1e-6)
    with pytest.raises(ShapeError, match="weight_map"):
        weight_map(np.zeros((3, 4, 4), int))
