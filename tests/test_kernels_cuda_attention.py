"""The CUDA kernels of attention, emulated, against PyTorch in float64; every access traced."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels_cuda import names, same_in_every_order
from tinyseg import kernels
from tinyseg.errors import ArgumentError
from tinyseg.kernels import attention, emulator
from tinyseg.kernels.attention import cuda, cuda_composed
from tinyseg.kernels.emulated import EmulatedArray, emulated, plain

DRAWN = settings(max_examples=12)
TF32 = "tf32"
ROUNDING = {np.float64: 1e-12, np.float32: 1e-5, TF32: 4e-3, np.float16: 4e-3, ml_dtypes.bfloat16: 2.5e-2}
FLASH = ["flash", "flash_grad_queries", "flash_grad_keys"]
SOFTMAX = ["shares", "shares_grad"]

batches = st.integers(1, 3)
lengths = st.sampled_from([1, 2, 5, 31, 32, 33, 63, 65, 129, 140])  # around the tiles of 32, and blocks of 32, 64, 128
features = st.sampled_from([1, 3, 4, 7, 8, 20, 32])
shapes = st.tuples(batches, lengths, lengths, features, features)


def tensors(shape, kind, seed=0):
    """(gy, q, k, v) of L places that ask and S that answer, with E and V features."""
    batch, length, source, size, breadth = shape
    rng = np.random.default_rng(seed)
    sizes = [(batch, length, breadth), (batch, length, size), (batch, source, size), (batch, source, breadth)]
    return [rng.standard_normal(s).astype(np.float32 if kind is TF32 else kind) for s in sizes]


def expected(given_, scale, causal):
    """(y, gq, gk, gv) from PyTorch, in float64, by the formula: its own function adds −inf to masked scores of +inf."""
    gy, *inputs = (torch.from_numpy(t.astype(np.float64)) for t in given_)
    q, k, v = (t.requires_grad_() for t in inputs)
    scores = scale * q @ k.mT
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[1:], dtype=torch.bool).tril(), -torch.inf)
    y = torch.softmax(scores, -1) @ v
    return [t.detach().numpy() for t in (y, *torch.autograd.grad(y, (q, k, v), gy))]


def attend(version, given_, scale, causal, tf32=False, **how):
    """((y, gq, gk, gv), (top, total), kernels of ours that were launched), with every access traced."""
    gy, q, k, v = (t if isinstance(t, EmulatedArray) else emulated(t) for t in given_)
    with (
        kernels.use(attention=version, allow_tf32=tf32),
        emulator.using(**{"mode": "trace", **how}),
        emulator.record() as launches,
    ):
        y, *sums = attention.forward(q, k, v, scale, causal)
        found = y, *attention.grad(gy, q, k, v, *sums, scale, causal)
    assert all(type(t) is EmulatedArray and t.flags.c_contiguous for t in (*found, *sums))
    assert all(t.dtype == q.dtype for t in found)
    return found, sums, [name for name in names(launches) if not name.startswith("cublas")]


def check(version, shape, kind, scale=0.4, causal=False, seed=0):
    given_ = tensors(shape, kind, seed)
    found, _, launched = attend(version, given_, scale, causal, kind is TF32)
    for ours, theirs in zip(found, expected(given_, scale, causal), strict=True):
        bound = ROUNDING[kind] * max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(plain(ours).astype(float), theirs, rtol=0, atol=bound)
    assert launched == (SOFTMAX if version == "composed" else FLASH)


@DRAWN
@given(shapes, st.booleans(), st.sampled_from([0.4, -0.7]), st.integers(0, 99))
def test_flash(shape, causal, scale, seed):
    check("flash", shape, np.float32, scale, causal, seed)


@DRAWN
@given(shapes, st.sampled_from([np.float16, TF32]), st.booleans(), st.sampled_from([0.4, -0.7]), st.integers(0, 99))
def test_flash_on_tensor_cores(shape, kind, causal, scale, seed):
    check("flash_tensor", shape, kind, scale, causal, seed)


@DRAWN
@given(
    shapes, st.sampled_from([np.float32, np.float64, np.float16, ml_dtypes.bfloat16]), st.booleans(), st.integers(0, 99)
)
def test_composed(shape, kind, causal, seed):
    check("composed", shape, kind, 0.4, causal, seed)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("version", "kind", "size", "breadth"),
    [("flash", np.float32, 64, 33), ("flash", np.float32, 40, 128), ("flash_tensor", ml_dtypes.bfloat16, 72, 128)],
)
def test_wide_heads(version, kind, size, breadth, causal):
    check(version, (2, 140, 70, size, breadth), kind, 0.1, causal)


@pytest.mark.parametrize("source", [256, 300, 2500])
def test_rows_of_scores_for_a_warp_a_block_and_longer_than_its_registers(source):
    for causal in (False, True):
        check("composed", (1, 3, source, 2, 3), np.float32, 0.4, causal)


def test_composed_takes_as_many_heads_at_a_time_as_fit(monkeypatch):
    given_ = tensors((5, 9, 8, 4, 3), np.float32)
    whole, *_ = attend("composed", given_, 0.4, True)
    monkeypatch.setattr(cuda_composed, "WORKSPACE", 2 * 9 * 8 * 4 + 1)
    parts, _, launched = attend("composed", given_, 0.4, True)
    assert launched == ["shares"] * 3 + ["shares_grad"] * 3
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(plain(a), plain(b), rtol=0, atol=1e-6)


VERSIONS = [("composed", np.float32), ("flash", np.float32), ("flash_tensor", TF32), ("flash_tensor", np.float16)]


@pytest.mark.parametrize(("version", "kind"), VERSIONS[:3])
def test_shares_add_up_to_one_however_large_the_scores(version, kind):
    """Scores around 16384: a rounded top + log(total) would leave the backward's shares wrong by 1e-3."""
    gy, q, k, v = tensors((2, 40, 70, 8, 4), kind)
    q[..., 0] = k[..., 0] = 128.0
    gy[:], v[:] = 1, 1
    (y, gq, gk, gv), (top, total), _ = attend(version, (gy, q, k, v), 1.0, False, kind is TF32)
    assert (plain(top) > 16000).all()
    assert (plain(total) >= 1).all()
    np.testing.assert_allclose(plain(y), 1, rtol=0, atol=1e-3 if kind is TF32 else 1e-6)
    np.testing.assert_allclose(plain(gv).sum(1), 40, rtol=1e-3 if kind is TF32 else 1e-6)
    slack = 4e-3 if kind is TF32 else 1e-5
    np.testing.assert_allclose(plain(gq), 0, atol=128 * slack)
    np.testing.assert_allclose(plain(gk), 0, atol=128 * 40 * slack)


@pytest.mark.parametrize(("version", "kind"), VERSIONS)
@pytest.mark.parametrize("causal", [False, True])
def test_nan_and_infinity_as_pytorch(version, kind, causal):
    given_ = tensors((2, 40, 45, 5, 3), kind)
    _, q, k, _ = given_
    q[0, 7] = np.nan
    k[0, 33, 2] = np.inf  # half of the queries get the score inf, and NaN; the others -inf, and no share of this key
    q[1, :, :] = np.abs(q[1, :, :])
    k[1, :40] = -np.inf  # all queries have scores of -inf for a whole tile; if causal they have no other
    found, _, _ = attend(version, given_, 1.0, causal, kind is TF32)
    theirs = expected(given_, 1.0, causal)
    np.testing.assert_array_equal(np.isnan(plain(found[0]).astype(float)), np.isnan(theirs[0]))
    if not causal:  # else PyTorch's NaN of a row reaches keys that the row does not see
        np.testing.assert_array_equal(np.isnan(plain(found[3]).astype(float)), np.isnan(theirs[3]))
    assert np.isfinite(theirs[0]).any()
    np.testing.assert_allclose(plain(found[0]).astype(float), theirs[0], rtol=0, atol=ROUNDING[kind])


@pytest.mark.parametrize(("version", "kind"), VERSIONS)
def test_causal_rows_know_nothing_of_a_later_nan(version, kind):
    gy, q, k, v = tensors((1, 40, 40, 4, 4), kind)
    k[0, 20] = np.nan
    (y, *_), _, _ = attend(version, (gy, q, k, v), 1.0, True, kind is TF32)
    assert np.isfinite(plain(y[0, :20]).astype(float)).all()
    assert np.isnan(plain(y[0, 20:]).astype(float)).all()


@pytest.mark.parametrize(("version", "kind"), VERSIONS[1:])
def test_keys_that_no_query_sees_get_zeros(version, kind):
    (_, _, gk, gv), *_ = attend(version, tensors((1, 10, 150, 4, 4), kind), 1.0, True, kind is TF32)
    assert not plain(gk)[0, 10:].any()
    assert not plain(gv)[0, 10:].any()
    assert plain(gv)[0, :10].any(1).all()


@pytest.mark.parametrize(("version", "kind"), VERSIONS)
def test_every_order_of_threads_gives_the_same_bits(version, kind):
    given_ = tensors((2, 70, 45, 8, 8), kind)

    def results():
        found, sums, _ = attend(version, given_, 0.4, True, kind is TF32)
        return *found, *sums

    same_in_every_order(results)


@pytest.mark.parametrize(("version", "kind"), VERSIONS[1:])
def test_arrays_that_start_anywhere_give_the_same_bits(version, kind):
    """The copies of 16 bytes, and those of single values for arrays or rows that do not start at a multiple of 16."""
    given_ = tensors((2, 33, 40, 8, 8), kind)
    shifted = [emulated(np.concatenate([t[:1].ravel()[:1], t.ravel()]))[1:].reshape(t.shape) for t in given_]
    assert shifted[1].ctypes.data % 16 != 0
    runs = [attend(version, some, 0.4, False, kind is TF32) for some in (given_, shifted)]
    (one, *_), (other, *_) = runs
    assert [t.tobytes() for t in one] == [t.tobytes() for t in other]


def test_arrays_that_are_not_contiguous():
    given_ = tensors((2, 9, 8, 4, 3), np.float32)
    turned = [emulated(t.swapaxes(0, 1)).swapaxes(0, 1) for t in given_]
    for version in ("composed", "flash"):
        found, *_ = attend(version, turned, 0.4, False)
        for ours, theirs in zip(found, expected(given_, 0.4, False), strict=True):
            np.testing.assert_allclose(plain(ours), theirs, rtol=0, atol=1e-5)


def test_the_rule_and_the_names(monkeypatch):
    def chosen(features_, kind=np.float32, narrow=cuda.NARROW):
        q = emulated(np.zeros((1, 4, features_), kind))
        return cuda._version(q, q, q, narrow)

    assert chosen(64) is cuda.PLAIN
    assert chosen(64, narrow=cuda.NARROW_GRAD) is cuda_composed
    assert chosen(65) is cuda_composed
    assert chosen(8, np.float64) is cuda_composed
    assert chosen(128, np.float16) is chosen(3, ml_dtypes.bfloat16) is cuda.TENSOR
    assert chosen(129, np.float16) is cuda_composed
    with kernels.use(allow_tf32=True):
        assert chosen(128) is cuda.TENSOR
    with kernels.use(attention="composed"):
        assert chosen(8) is cuda_composed
    with kernels.use(attention="flash_tensor"):  # not for float32 unless TF32 is allowed: the rule's
        assert chosen(8) is cuda.PLAIN
    monkeypatch.setattr(cuda_composed, "WORKSPACE", 1)
    assert chosen(128) is cuda.PLAIN
    assert chosen(129) is cuda_composed
    with pytest.raises(ArgumentError, match="composed, flash, flash_tensor"):
        kernels.use(attention="flesh")


@pytest.mark.parametrize(("version", "kind"), VERSIONS[1:])
def test_memory_is_read_side_by_side_and_without_conflicts_of_banks(version, kind):
    given_ = tensors((1, 130, 64, 64, 64), kind)
    with emulator.profile() as costs:
        attend(version, given_, 0.4, False, kind is TF32)
    tiles = [row for row in costs.rows if "tiles_" in row.place.file]  # copies, products, the exchange between them
    assert sum(row.requests for row in tiles) > 3000
    assert all(row.transactions == row.ideal for row in tiles), costs
    stores = [row for row in costs.rows if "flash.cuh" in row.place.file]
    assert {row.kernel for row in stores} == {*FLASH}
    for row in stores:  # those of tensor cores are of 4 x 2 neighbours: 16 bytes of halves
        assert row.transactions == row.ideal * (2 if kind is np.float16 else 1), costs


def test_a_row_of_scores_is_read_and_written_once():
    with emulator.profile() as costs:
        attend("composed", tensors((1, 20, 320, 8, 8), np.float32), 0.4, False)
    row_sectors = 20 * 320 * 4 // 32
    of = {name: [r for r in costs.rows if r.kernel == name and r.requests > 100] for name in SOFTMAX}
    assert sum(r.transactions for r in of["shares"]) <= 1.1 * 2 * row_sectors
    assert sum(r.transactions for r in of["shares_grad"]) <= 1.1 * 4 * row_sectors
