"""Storage in float32, float16 and bfloat16: errors within the committed tolerances, types, range."""

from __future__ import annotations

import bisect
import functools
import math

import numpy as np
import pytest
import torch

import tinyseg as ts
from tests import op_db, precision
from tests import precision_tables as tables
from tinyseg.errors import DTypeError

WHAT = ("value", "gradient")
every_subject = pytest.mark.parametrize("subject", precision.subjects(), ids=lambda s: s.name)


def step(error: float) -> int:
    """The first step of the ladder that is not below an error."""
    return bisect.bisect_left(tables.LADDER, error)


@every_subject
def test_errors_are_within_the_tolerance(subject: precision.Subject):
    failures = []
    for name in [t for t in precision.TYPES if t not in subject.refused]:
        runs = precision.measured(subject, name)
        assert runs, f"{subject.name}, {name}: no sample is left"
        for sample, m in runs:
            failures += [f"{name}: {wrong}: {sample}" for wrong in m.wrong_types]
            for what, ours, theirs, tolerance in zip(WHAT, m.ours, m.theirs, subject.tolerance(name), strict=True):
                if ours > tolerance:
                    failures.append(f"{name}, {what}: {ours:.3g} eps, tolerance {tolerance}: {sample}")
                if name != "float32" and ours > 4 * theirs + 1:
                    failures.append(f"{name}, {what}: {ours:.3g} eps, PyTorch: {theirs:.3g}: {sample}")
        for place, what in enumerate(WHAT):
            tolerance, common = subject.tolerance(name)[place], tables.DEFAULT[name][place]
            worst = max((m.ours[place] for _, m in runs if not math.isnan(m.ours[place])), default=0.0)
            if tolerance > common and step(tolerance) - step(worst) > 2:
                failures.append(f"{name}, {what}: tolerance {tolerance} is too loose for {worst:.3g} eps")
    assert not failures, "\n".join(failures[:20])


def test_the_tables_name_subjects():
    named = {*tables.EXCEPTIONS, *tables.VANISHING}
    assert named <= {s.name for s in precision.subjects()}
    assert tables.TIES & {s.name for s in precision.subjects()}
    entries = {e.id: e for e in op_db.offered()}
    assert not any(op_db.planned(entries[name], "gradients").samples for name in tables.NO_SAMPLES)
    for name, (reason, types) in tables.EXCEPTIONS.items():
        assert reason in tables.REASONS
        assert types, name
        for dtype, pair in types.items():
            assert set(pair) <= set(tables.LADDER), name
            assert all(n >= least for n, least in zip(pair, tables.DEFAULT[dtype], strict=True)), name
            assert pair != tables.DEFAULT[dtype], f"{name}: {dtype} is no exception"
    assert {reason for reason, _ in tables.EXCEPTIONS.values()} == set(tables.REASONS)


def test_refused_types_are_refused_on_both_sides():
    refused = [(s, name) for s in precision.subjects() for name in s.refused]
    assert {s.name for s, _ in refused} == set(tables.REFUSED)
    for subject, name in refused:
        dtype = precision.TYPES[name]
        for sample in subject.samples():
            with pytest.raises(DTypeError, match=rf"^{subject.name}: .* {name}$"):
                precision.our_run(sample, dtype)
            with pytest.raises(RuntimeError, match="float or double"):
                precision.their_run(sample, dtype, dtype)


def test_the_page_is_current():
    assert precision.PAGE.read_text() == precision.page(), "docs/precision.md is old: run python -m tests.precision"


# --- the measure itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "exact", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0 + 2**-10], [1.0, 2.0], 0.5),  # relative to the largest element
        ([0.25 + 2**-12], [0.25], 1.0),
        ([np.inf], [1e6], 0.0),  # float16 does not hold it
        ([65504.0], [65530.0], 0.0),  # a last bit below infinity
        ([np.inf], [1e4], np.inf),
        ([-np.inf], [1e6], np.inf),
        ([np.nan], [1e6], np.inf),
        ([np.nan], [np.nan], 0.0),
        ([np.nan], [1.0], np.inf),
        ([6e-8], [0.0], 6e-8 / 2**-24),  # below the smallest normal number errors are absolute
        ([1], [1], 0.0),
        ([1], [2], np.inf),
        ([1.0], [[1.0]], np.inf),
    ],
)
def test_the_measure(found, exact, expected):
    assert precision.error(np.array(found), np.array(exact), torch.float16) == pytest.approx(expected, rel=1e-12)


# --- range: what fits float16 at the end does not overflow on the way ------------------------------------------------

RNG = np.random.default_rng(0)
FAR = RNG.uniform(200, 400, (4, 6, 8, 8)) * RNG.choice([-1, 1], (4, 6, 8, 8))  # squares up to 160,000
NEAR = FAR + RNG.standard_normal(FAR.shape)
ROWS = FAR[0, 0] / 4
LARGE = np.full((1, 40, 60), 3e4)
MIXED = np.concatenate([np.full(64, 3e4), np.full(64, -3e4), RNG.uniform(1, 2, 8)])[None]
EVEN = np.ones((8, 8))
RETURNS = np.array([[3e2] * 6 + [1 / 256] * 6])
CLASSES = np.arange(4 * 8 * 8).reshape(4, 8, 8) % 6


def F(name, **kwargs):
    return lambda m, *xs: getattr(m.nn.functional, name)(*xs, **kwargs)


RANGE = {
    "mean": (lambda m, x: m.mean(x), LARGE),
    "mean over an axis": (lambda m, x: x.mean(1, keepdim=True), LARGE),
    "sum that cancels": (lambda m, x: x.sum(1), MIXED),
    "cumsum that returns": (lambda m, x: m.cumsum(x, 1)[:, 128:], MIXED),
    "prod that returns": (lambda m, x: m.prod(x, 1), RETURNS),
    "cumprod that returns": (lambda m, x: m.cumprod(x, 1)[:, -1], RETURNS),
    "std": (lambda m, x: (m.std(x), m.std(x, 1)), FAR),
    "var": (lambda m, x: m.var(x, (0, 2)), FAR / 2),
    "var_mean": (lambda m, x: m.var_mean(x, 1), FAR / 2),
    "std_mean": (lambda m, x: m.std_mean(x, 1), FAR),
    "logsumexp": (lambda m, x: m.logsumexp(x, (1, 2)), FAR),
    "softmax": (lambda m, x: (m.softmax(x, 1), m.log_softmax(x, 1)), FAR),
    "softmin": (F("softmin", dim=1), FAR),
    "softplus": (F("softplus"), FAR),
    "layer_norm": (F("layer_norm", normalized_shape=(8, 8)), FAR),
    "group_norm": (F("group_norm", num_groups=2), FAR),
    "instance_norm": (F("instance_norm"), FAR),
    "batch_norm": (lambda m, x: m.nn.functional.batch_norm(x, None, None, training=True), FAR),
    "rms_norm": (F("rms_norm", normalized_shape=(8, 8)), FAR),
    "local_response_norm": (F("local_response_norm", size=3), FAR),
    "normalize": (F("normalize"), FAR),
    "normalize, p = 3": (F("normalize", p=3.0), FAR),
    "cosine_similarity": (F("cosine_similarity"), FAR, FAR[::-1]),
    "pairwise_distance": (F("pairwise_distance"), FAR, FAR[:, ::-1]),
    "mse_loss": (F("mse_loss"), FAR, NEAR * np.where(RNG.random(FAR.shape) < 0.1, -1, 1)),
    "l1_loss": (F("l1_loss"), FAR, NEAR),
    "smooth_l1_loss": (F("smooth_l1_loss", beta=500.0), FAR, NEAR),
    "huber_loss": (F("huber_loss", delta=500.0), FAR / 2, NEAR / 2),
    "gaussian_nll_loss": (F("gaussian_nll_loss"), FAR, -NEAR, np.full(FAR.shape, 20.0)),
    "cross_entropy": (F("cross_entropy"), FAR, CLASSES),
    "nll_loss": (F("nll_loss"), FAR * 100, CLASSES),
    "binary_cross_entropy_with_logits": (F("binary_cross_entropy_with_logits"), FAR, np.abs(FAR) / 400),
    "kl_div": (F("kl_div"), FAR, np.abs(FAR)),
    "avg_pool2d": (F("avg_pool2d", kernel_size=8), LARGE.reshape(1, 1, 40, 60)),
    "adaptive_avg_pool2d": (F("adaptive_avg_pool2d", output_size=1), LARGE.reshape(1, 1, 40, 60)),
    "lp_pool2d": (F("lp_pool2d", norm_type=2.0, kernel_size=4), FAR),
    "interpolate": (F("interpolate", scale_factor=0.1, mode="area"), LARGE.reshape(1, 1, 40, 60)),
    "attention": (F("scaled_dot_product_attention"), FAR, FAR[:, ::-1], FAR / 8),
    "linear": (F("linear"), EVEN * 100, EVEN[:1] * 100, np.array([-3e4])),
    "addmm": (lambda m, c, a, b: m.addmm(c, a, b, alpha=-0.25, beta=4), EVEN * 2e4, EVEN * 160, EVEN * 160),
    "einsum": (lambda m, a, b, c: m.einsum("ij,jk,kl->il", a, b, c), ROWS * 2, ROWS * 2, np.eye(8) / 256),
    "multiply by a number": (lambda m, x: x * 1e5, np.array([0.01, 0.5])),
    "divide by a number": (lambda m, x: x / 1e6, np.array([3e4, 6e4])),
    "add a multiple": (lambda m, x, y: m.add(x, y, alpha=3), np.array([-6e4]), np.array([3e4])),
    "subtract a number": (lambda m, x: 7e4 - x, np.array([3e4])),
    "lerp": (lambda m, x, y: m.lerp(x, y, 0.5), np.array([-6e4]), np.array([6e4])),
    "div": (lambda m, x, y: x / y, np.array([6e4]), np.array([0.95])),
    "pow": (lambda m, x: x**2.5, np.array([80.0])),
    "addcmul": (lambda m, x, a, b: m.addcmul(x, a, b, value=-0.5), np.array([6e4]), np.array([3e2]), np.array([3e2])),
    "addcdiv": (lambda m, x, a, b: m.addcdiv(x, a, b, value=2), np.array([-6e4]), np.array([2e4]), np.array([0.5])),
    "fmod": (lambda m, x, y: m.fmod(x, y), np.array([6e4, 5e4]), np.array([0.5, 7.0])),
    "round": (lambda m, x: m.round(x, decimals=3), np.array([300.0, 0.125])),
    "atan": (lambda m, x: m.atan(x), np.array([300.0, 400.0])),
    "tan": (lambda m, x: m.tan(x), np.array([1.5, 1.0])),
    "dist": (lambda m, x, y: m.dist(x, y), FAR / 4, FAR[:, ::-1] / 4),
    "cdist": (lambda m, x, y: (m.cdist(x, y), m.cdist(x, y, 3.0)), FAR, FAR[:, ::-1]),
    "diff": (lambda m, x: m.diff(x, n=2), np.array([[-6e4, 3e4, 6e4]])),
    "logaddexp": (lambda m, x, y: m.logaddexp(x, y), FAR, NEAR),
    "nanmean": (lambda m, x: m.nanmean(x), np.concatenate([LARGE[0], np.full((1, 60), np.nan)])),
    "matrix norm": (lambda m, x: (m.linalg.norm(x, 1), m.linalg.norm(x)), FAR[0, 0]),
    "softsign": (F("softsign"), np.array([6e4, -6e4])),
}


@pytest.mark.parametrize("name", RANGE)
def test_float16_does_not_overflow_on_the_way(name):
    function, *arrays = RANGE[name]
    floats = [np.ascontiguousarray(a) for a in arrays]
    tensors = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in floats]
    ours, theirs = (functools.partial(function, m) for m in (ts, torch))
    sample = precision.Sample((tuple(tensors), {}), ours, theirs)
    exact = precision.their_run(sample, torch.float16, torch.float64).outputs
    assert all(t.abs().max() < 65504 for t in exact), "the result itself does not fit"
    with op_db.one_thread():
        m = precision.measure(sample, "float16", vanishing=True)
    assert not m.wrong_types
    assert m.ours[0] <= 1
    assert math.isnan(m.ours[1]) or m.ours[1] <= 1


# --- sums of many: in a half type they would stop growing at 256 or 2048 ---------------------------------------------

MANY = 5000
ZEROS = np.zeros(MANY, np.int64)
ONES = {
    "embedding": lambda x, i: ts.nn.functional.embedding(i, x),
    "index_select": lambda x, i: x.index_select(0, i),
    "getitem": lambda x, i: x[i],
    "gather": lambda x, i: x.gather(0, i.reshape(MANY, 1)),
    "repeat_interleave": lambda x, i: ts.repeat_interleave(x, MANY, 0),
    "repeat": lambda x, i: x.repeat(MANY, 1),
    "expand": lambda x, i: x.expand(MANY, 1),
    "pad": lambda x, i: ts.nn.functional.pad(x.reshape(1, 1, 1, 1), (MANY - 1, 0, 0, 0), mode="replicate"),
    "interpolate": lambda x, i: ts.nn.functional.interpolate(x.reshape(1, 1, 1, 1), size=(50, 100)),
    "cumsum": lambda x, i: ts.cumsum(x.expand(MANY, 1), 0)[-1],
    "max_pool2d": lambda x, i: ts.nn.functional.max_pool2d(
        ts.nn.functional.pad(x.reshape(1, 1, 1, 1), (79,) * 4, value=-1.0), 80, stride=1
    )[..., :72, :72].reshape(-1)[:MANY],
    "convolution": lambda x, i: ts.nn.functional.conv2d(ts.ones(1, 1, 50, 100).to(x.dtype), x.reshape(1, 1, 1, 1)),
    "bias": lambda x, i: ts.nn.functional.linear(ts.zeros(MANY, 1).to(x.dtype), x, x.reshape(1)),
}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ONES)
def test_gradients_of_many_ones_add_up(name, dtype):
    x = ts.ones(1, 1).to(dtype).requires_grad_()
    y = ONES[name](x, ts.tensor(ZEROS))
    (g,) = ts.grad([y], [x], [ts.ones_like(y)])
    assert float(g.data.astype(np.float64).item()) == pytest.approx(MANY, rel=2.0**-8)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_many_ones_add_up(dtype):
    ones, index = ts.ones(MANY).to(dtype), ts.tensor(ZEROS)
    zero = ts.zeros(1).to(dtype)
    sums = [
        ones.sum(), ones.cumsum(0)[-1], ones @ ones, ts.einsum("i->", ones), zero.scatter_add(0, index, ones),
        zero.index_add(0, index, ones), zero.scatter(0, index, ones, reduce="add"), ts.trace(ts.eye(MANY).to(dtype)),
        ts.ones(1).to(dtype).scatter_add(0, index, ones) - 1.0, ts.nn.functional.linear(ones, ones),
    ]  # fmt: skip
    for s in sums:
        assert s.dtype == dtype
        assert float(s.data.astype(np.float64).item()) == pytest.approx(MANY, rel=2.0**-8)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_beside_half_types(dtype):
    """The result has the half type, and is that of the number itself, not of the number rounded to the half type."""
    theirs = torch.tensor([0.5, 1.5, 3.0], dtype=getattr(torch, dtype), requires_grad=True)
    x = ts.tensor(op_db.array_of(theirs), requires_grad=True)
    for f in (
        lambda x: x**0.75, lambda x: x**-1, lambda x: 1.7**x, lambda x: x * 0.1, lambda x: x / 1e4, lambda x: 0.3 - x,
        lambda x: x * 2 + 1, lambda x: x * np.float64(0.1), lambda x: x / 257, lambda x: x - 100.3,
    ):  # fmt: skip
        y, t = f(x), f(theirs)
        assert y.dtype == dtype
        exact = f(theirs.detach().double().requires_grad_())
        assert precision.error(y, exact, t.dtype) <= max(0.51, 1.1 * precision.error(t, exact, t.dtype))
        (g,) = ts.grad([y], [x], [ts.ones_like(y)])
        assert g.dtype == dtype
