"""The summary's numbers: by hand, from papers, and the receptive field against gradients that show what was used."""

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import tinyseg as ts
from tinyseg import nn
from tinyseg.errors import ArgumentError


def quiet(module, example):
    return nn.summary(module, example, Console(file=io.StringIO()))


@pytest.mark.parametrize("layer", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_adaptive_pooling_sees_its_longest_window(layer):
    result = quiet(nn.Sequential(nn.Conv2d(1, 1, 3), layer((3, 1))), (1, 1, 12, 8))  # from 10x6: rows 0-3, 3-6, 6-9
    assert result.layers[1].field.size == (4 + 2, 6 + 2)
    assert result.layers[1].field.step == (10 / 3, 6)


def test_small_network_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4, bias=False),
        nn.ConvTranspose2d(8, 2, 2, 2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    net[7].requires_grad_(False)
    result = quiet(net, (1, 3, 16, 16))
    rows = [(r.kind, r.shape, r.parameters, r.multiply_adds) for r in result.layers]
    assert rows == [
        ("Conv2d", (1, 8, 16, 16), 3 * 8 * 9 + 8, 16 * 16 * 8 * 3 * 9),
        ("BatchNorm2d", (1, 8, 16, 16), 16, 16 * 16 * 8),
        ("ReLU", (1, 8, 16, 16), 0, 0),
        ("MaxPool2d", (1, 8, 8, 8), 0, 0),
        ("Conv2d", (1, 8, 4, 4), 8 * 2 * 9, 4 * 4 * 8 * 2 * 9),
        ("ConvTranspose2d", (1, 2, 8, 8), 8 * 2 * 4 + 2, 4 * 4 * 8 * 2 * 4),
        ("Flatten", (1, 128), 0, 0),
        ("Linear", (1, 10), 128 * 10 + 10, 128 * 10),
    ]
    fields = [(r.field.size, r.field.step) for r in result.layers[:6]]
    assert fields == [((n, n), (s, s)) for n, s in ((3, 1), (3, 1), (3, 1), (4, 2), (8, 4), (8, 2))]
    assert str(result.layers[7].field) == "all"
    assert result.parameters == sum(row[2] for row in rows)
    assert result.trainable == result.parameters - 1290
    assert result.multiply_adds == sum(row[3] for row in rows)


def test_vgg16_has_its_known_numbers():
    plan = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
    layers, channels = [], 3
    for entry in plan:
        if entry == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, entry, 3, padding=1), nn.ReLU(inplace=True)]
            channels = entry
    result = quiet(nn.Sequential(*layers), (1, 3, 32, 32))
    assert result.parameters == 14_714_688
    assert result.multiply_adds == 15_346_630_656 // 49  # known for 224 x 224, which is 49 times as large
    assert result.field.size == (212, 212)
    assert result.field.step == (32, 32)


def test_unet_has_its_known_parameters_and_field():
    from tinyseg.models.unet import UNet

    result = quiet(UNet(3, 2), (1, 3, 32, 32))
    assert result.parameters == 31_037_698
    assert result.layers[-1].shape == (1, 2, 32, 32)
    # 2 convolutions at each of the steps 1, 2, 4, 8, 16, four 2 x 2 poolings, 2 convolutions on each way up:
    # 1 + 4 (1 + 2 + 4 + 8 + 16) + (1 + 2 + 4 + 8) + 4 (8 + 4 + 2 + 1) = 200
    assert result.field.size == (200, 200)
    assert result.field.step == (1, 1)


class Branches(nn.Module):
    """A long and a short way, and functional calls outside any layer."""

    def __init__(self):
        super().__init__()
        self.long = nn.Sequential(nn.Conv2d(1, 1, (5, 1), padding=(2, 0)), nn.Conv2d(1, 1, 3, 2, 1))
        self.short = nn.Conv2d(1, 1, 1, 2)
        self.last = nn.Conv2d(2, 1, 3)

    def forward(self, x):
        both = ts.cat([self.long(x), self.short(x)], 1)
        return self.last(nn.functional.avg_pool2d(both, 2))


def test_branches_meet_at_the_widest_field():
    result = quiet(Branches(), (1, 1, 16, 16))
    fields = {row.name: str(row.field) for row in result.layers}
    # 5 x 1, then 3 x 3: 7 x 3 at step 2; the pooling in between adds 2, the last 3 x 3 at step 4 adds 8
    assert fields == {"long.0": "5×1/1", "long.1": "7×3/2", "short": "1/2", "last": "17×13/4"}


def _layer(kind, kernel, stride, dilation):
    if kind == "conv":
        return nn.Conv2d(1, 1, kernel, stride, dilation=dilation, bias=False)
    if kind == "transposed":
        return nn.ConvTranspose2d(1, 1, kernel, stride, dilation=dilation, bias=False)
    if kind == "pool":
        return nn.AvgPool2d(kernel, stride)
    return nn.Upsample(scale_factor=stride, mode="bilinear" if kernel > 1 else "nearest")


LAYER = st.tuples(
    st.sampled_from(["conv", "transposed", "pool", "resize"]), st.integers(1, 3), st.integers(1, 2), st.integers(1, 2)
)


@given(st.lists(LAYER, min_size=1, max_size=3))
@settings(max_examples=25)
def test_the_field_is_what_the_gradient_of_one_pixel_reaches(layers):
    """With all weights 1 nothing cancels: the gradient of one output pixel is not 0 exactly where it depends."""
    net = nn.Sequential(*(_layer(*settings) for settings in layers)).double()
    for p in net.parameters():
        p.assign_(1.0)
    size = 40
    field = quiet(net, (1, 1, size, size)).field
    x = ts.zeros(1, 1, size, size, dtype=ts.float64, requires_grad=True)
    y = net(x)
    middle = y.shape[-1] // 2
    extents = []
    for j in range(middle - 4, middle + 5):  # an upsampled pixel may lie well or badly between the input's
        (gx,) = ts.grad(y[0, 0, :, j].sum(), x, retain_graph=True)
        columns = np.flatnonzero(gx.numpy()[0, 0].sum(0))
        if len(columns):  # none where a strided transposed convolution leaves a hole
            extents.append(columns[-1] - columns[0] + 1)
    stated = math.ceil(field.size[1] - 1e-9)
    assert max(extents) <= stated
    if not any(kind == "resize" or (kind == "transposed" and stride > 1) for kind, _, stride, _ in layers):
        assert max(extents) == stated  # without upsampling every pixel has the same field, exactly


def test_a_layer_called_twice_has_its_parameters_once():
    conv = nn.Conv2d(1, 1, 3, padding=1)
    result = quiet(nn.Sequential(conv, nn.ReLU(), conv), (1, 1, 8, 8))
    assert [row.parameters for row in result.layers] == [10, 0, 0]
    assert result.parameters == 10
    assert result.layers[2].field.size == (5, 5)


def test_it_leaves_the_module_as_it_was():
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout())
    net[1].eval()
    with ts.no_grad():
        quiet(net, ts.ones(2, 1, 4, 4))
    assert [m.training for m in net] == [True, False]
    assert net[0].num_batches_tracked.item() == 0
    assert not net[0]._forward_hooks
    assert net[0].weight.grad is None


def test_the_table_shows_every_number_in_eighty_columns(capsys):
    result = nn.summary(nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU()), (1, 3, 66, 66))
    text = capsys.readouterr().out
    for part in ("Conv2d", "1×64×64×64", "1,792", f"{64 * 64 * 64 * 27:,}", "3/1", "total", "1,792 parameters"):
        assert part in text
    assert result.layers[0].name == "0"


def printed(module, shape, width):
    out = io.StringIO()
    nn.summary(module, shape, Console(file=out, width=width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_eighty_columns_show_long_names_as_a_tree_and_every_number_whole():
    from tinyseg.models.unet import UNet

    lines = printed(UNet(3, 2), (1, 3, 64, 64), 80)
    assert max(map(len, lines)) <= 80
    assert lines[3:5] == ["inc", " double_conv"]
    assert lines[5].startswith("  0 ")
    assert lines[5].split() == ["0", "Conv2d", "1×64×64×64", "1,728", "7,077,888", "3/1"]
    assert "31,037,698 3,012,722,688" in lines[-2]
    assert "…" not in "".join(lines)


def test_narrow_terminals_cut_names_never_numbers():
    lines = printed(nn.Sequential(nn.ConvTranspose2d(3, 64, 3)), (1, 3, 66, 66), 60)
    assert any("1×64×68×68" in line and "1,792" in line and "7,527,168" in line and "…" in line for line in lines)


def test_a_pipe_gets_the_full_names(capsys):
    block = nn.Sequential(nn.Sequential(nn.ReLU()))
    name = "a_rather_long_name_that_would_not_fit_into_eighty_columns_with_its_numbers"
    block.add_module(name, nn.ReLU())
    nn.summary(block, (1, 1, 4, 4))
    assert (
        "\na_rather_long_name_that_would_not_fit_into_eighty_columns_with_its_numbers  ReLU" in capsys.readouterr().out
    )


@pytest.mark.parametrize("example", [3, (), (1, "x"), [1.5]])
def test_a_bad_example_is_named(example):
    with pytest.raises(ArgumentError, match="summary: example must be"):
        quiet(nn.ReLU(), example)
