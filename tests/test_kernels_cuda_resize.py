"""The CUDA kernels of interpolation, emulated, against PyTorch in float64 and dense matrices; every access traced."""

from __future__ import annotations

import functools

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels_cuda import drawn, launched, same_in_every_order, within
from tinyseg.kernels import emulator, planes, tables
from tinyseg.kernels import resize as kernel
from tinyseg.kernels.emulated import emulated
from tinyseg.kernels.resize import cuda, reference

DRAWN = settings(max_examples=30)
ROUNDING = {np.float64: 1e-12, np.float32: 2e-6, np.float16: 2e-3, ml_dtypes.bfloat16: 2e-2}
INTEGERS = [np.uint8, np.int16, np.int32, np.int64, np.bool_]
close = functools.partial(within, ROUNDING)
types = st.sampled_from([*ROUNDING])
sizes = st.sampled_from([1, 2, 3, 5, 8, 13, 20])
widths = st.sampled_from([1, 2, 3, 7, 8, 9, 31, 33, 64, 65, 129, 140])
MODES = {
    "nearest": {}, "bilinear": {"align_corners": False}, "corners": {"mode": "bilinear", "align_corners": True},
    "bicubic": {"align_corners": False},
}  # fmt: skip


def taps_of(mode, size, out):
    made = {"nearest": kernel.nearest_taps, "bilinear": lambda n, m: kernel.bilinear_taps(n, m, False),
            "corners": lambda n, m: kernel.bilinear_taps(n, m, True),
            "bicubic": lambda n, m: kernel.bicubic_taps(n, m, False)}[mode]  # fmt: skip
    return [made(n, m) for n, m in zip(size, out, strict=True)]


@DRAWN
@given(st.integers(0, 3), sizes, widths, sizes, widths, st.sampled_from([*MODES]), types, st.integers(0, 99))
def test_both_directions_equal_pytorch(count, h, w, oh, ow, mode, dtype, seed):
    x, gy = drawn((count, h, w), dtype, seed), drawn((count, oh, ow), dtype, seed + 1)
    taps = taps_of(mode, (h, w), (oh, ow))
    y, forward = launched(kernel.resize, emulated(x), *taps)
    gx, backward = launched(kernel.adjoint, emulated(gy), *taps)
    tx = torch.from_numpy(x.astype(float))[:, None].requires_grad_()
    ty = F.interpolate(tx, (oh, ow), **({"mode": mode} | MODES[mode])) if count else tx.new_zeros(0, 1, oh, ow)
    close(y, ty[:, 0].detach().numpy(), dtype, slack=4)
    expected = torch.autograd.grad(ty, tx, torch.from_numpy(gy.astype(float))[:, None])[0] if count else tx.detach()
    close(gx, expected[:, 0].numpy(), dtype, slack=4)
    if count == 0:
        assert forward + backward == []
    elif mode == "nearest":
        assert forward == ["pick"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", ["corners", "bicubic"])
def test_many_taps_and_hulls_that_do_not_fit(monkeypatch, mode, dtype):
    """The adjoint of a large scale has tens of taps; with less shared memory each output reads for itself."""
    gy = drawn((2, 40, 300), dtype, 0)
    taps = taps_of(mode, (2, 7), (40, 300))
    expected = reference.adjoint(gy.astype(float), *taps)
    gx, names = launched(kernel.adjoint, emulated(gy), *taps)
    close(gx, expected, dtype, slack=4)
    assert names == ["resize"]
    monkeypatch.setattr(cuda, "ROOM", 64)
    gx, names = launched(kernel.adjoint, emulated(gy), *taps)
    close(gx, expected, dtype, slack=4)
    assert names == ["resize_wide"]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_nearest_neighbours_of_integers_are_copies(dtype):
    x = np.random.default_rng(0).integers(0, 2 if dtype == np.bool_ else 100, (2, 5, 9)).astype(dtype)
    if dtype == np.int64:
        x += 2**60 + 1
    taps = taps_of("nearest", (5, 9), (7, 20))
    y, names = launched(kernel.resize, emulated(x), *taps)
    assert y.dtype == dtype
    assert np.array_equal(y, x[:, taps[0].by_output.source[0]][..., taps[1].by_output.source[0]])
    assert names == ["pick"]
    if dtype == np.int32:
        gx, _ = launched(kernel.adjoint, emulated(y), *taps)
        assert gx.sum() == y.sum()
        assert gx.dtype == dtype


def test_a_copy_keeps_its_bits():
    bits = np.array([[1, 0x7FC01234, 0x80000000], [0xFF800001, 0x007FFFFF, 0x3F800000]], np.uint32)
    taps = taps_of("nearest", (2, 3), (2, 3))
    y, _ = launched(kernel.resize, emulated(bits.view(np.float32)), *taps)
    assert np.array_equal(y.view(np.uint32), bits)


def test_an_infinite_pixel_reaches_only_the_outputs_that_use_it():
    x = np.zeros((1, 4, 4), np.float32)
    x[0, 0, 0] = np.inf
    for mode in ("bilinear", "bicubic"):
        taps = taps_of(mode, (4, 4), (9, 9))
        dense = [reference.matrix(t)[:, 0] != 0 for t in taps]
        y, _ = launched(kernel.resize, emulated(x), *taps)
        assert np.array_equal(~np.isfinite(y[0]), np.outer(*dense))
        gx, _ = launched(kernel.adjoint, emulated(np.where(np.indices((9, 9)).sum(0) == 0, np.inf, 0.0)[None]), *taps)
        assert np.array_equal(~np.isfinite(gx[0]), np.outer(*(reference.matrix(t)[0] != 0 for t in taps)))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_every_order_of_threads_gives_the_same_bits(mode):
    x, taps = emulated(drawn((3, 17, 40), np.float32, 1)), taps_of(mode, (17, 40), (40, 90))
    same_in_every_order(lambda: kernel.adjoint(kernel.resize(x, *taps), *taps))


def test_more_elements_than_a_launch_can_number(monkeypatch):
    monkeypatch.setattr(planes, "LARGEST", 900)
    x = drawn((2, 3, 10, 11), np.float32, 2)
    for mode, name in (("nearest", "pick"), ("bilinear", "resize")):
        taps = taps_of(mode, (10, 11), (20, 22))  # 440 outputs in a plane: two of the six planes in a launch
        y, names = launched(kernel.resize, emulated(x), *taps)
        close(y, reference.resize(x.astype(float), *taps), np.float32)
        assert names == [name] * 3
    with pytest.raises(AssertionError, match="more than a launch can number"):
        kernel.resize(emulated(x), *taps_of("nearest", (10, 11), (50, 22)))


def test_doubling_reads_and_writes_side_by_side():
    """What a GPU moves for a bilinear doubling and its adjoint: whole sectors; words meet by two in a bank."""
    x, taps = emulated(drawn((2, 32, 64), np.float32, 3)), taps_of("bilinear", (32, 64), (64, 128))
    for function, arg, most in ((kernel.resize, x, 1.0), (kernel.adjoint, kernel.resize(x, *taps), 2.2)):
        with emulator.profile() as costs:
            function(arg, *taps)
        moved = [row for row in costs.rows if row.size == 4 and row.requests >= 100]  # not the tables
        for access in ("load", "store"):
            rows = [row for row in moved if row.memory == "global" and row.access == access]
            assert rows
            assert all(row.transactions <= 1.1 * row.ideal for row in rows)
        assert all(row.transactions <= most * row.ideal for row in moved if row.memory == "shared")


# --- tables ----------------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.integers(1, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_divisors(d, n):
    _, multiplier, shift = map(int, tables.divisor(d))
    assert multiplier < 2**32
    for number in (n, n // d * d, max(n // d * d - 1, 0), 2**31 - 1):
        assert number * multiplier >> shift == number // d


@DRAWN
@given(st.integers(0, 3), sizes, widths, st.integers(1, 4), st.integers(1, 4), types)
def test_zeros_between_pixels_in_one_launch_and_out_again_in_one(count, h, w, down, across, dtype):
    x = drawn((count, h, w), dtype)
    taps = kernel.spaced_taps(h, down), kernel.spaced_taps(w, across)
    expected = np.zeros((count, (h - 1) * down + 1, (w - 1) * across + 1), dtype)
    expected[:, ::down, ::across] = x
    y, forward = launched(kernel.resize, x, *taps)
    gx, backward = launched(kernel.adjoint, expected + 1, *taps)
    assert y.dtype == gx.dtype == dtype
    assert np.array_equal(y, expected)
    assert np.array_equal(gx, x + 1)
    assert forward == backward == ["pick"] * (count > 0)


def test_zeros_between_pixels_are_written_whole_sectors_at_a_time():
    x, taps = emulated(drawn((2, 16, 64))), (kernel.spaced_taps(16, 2), kernel.spaced_taps(64, 2))
    with emulator.profile() as costs:
        y = kernel.resize(x, *taps)
    stored, loaded = (costs.select(memory="global", access=access) for access in ("store", "load"))
    assert sum(row.transactions for row in stored) <= 1.3 * y.nbytes / 32  # lines of 127 begin within a sector
    assert all(row.transactions <= 1.3 * row.ideal for row in loaded), costs


def test_tables_are_made_once_and_known_by_identity():
    table, like = np.arange(5), emulated(np.zeros(1))
    assert tables.on_device(table, like) is tables.on_device(table, like)
    assert tables.on_device(table.copy(), like) is not tables.on_device(table, like)
    calls = []

    @tables.remembered
    def made(array, width):
        calls.append(width)
        return array

    assert made(table, 2) is made(table, 2) is table
    made(table, 3)
    made(table.copy(), 3)
    assert calls == [2, 3, 3]


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_a_second_call_copies_no_table(monkeypatch, mode):
    x, taps = emulated(drawn((2, 9, 9), np.float32, 0)), taps_of(mode, (9, 9), (18, 18))
    first = kernel.resize(x, *taps)
    monkeypatch.setattr(tables, "to_device", None)
    assert np.array_equal(kernel.resize(x, *taps), first)
