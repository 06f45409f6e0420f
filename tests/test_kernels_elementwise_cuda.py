"""The array expressions that serve CuPy arrays, run on NumPy's: the same values as the numba kernels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from tinyseg.kernels.elementwise import cpu, cpu_updates, cuda


@pytest.fixture(autouse=True)
def scipy_s_error_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_erf", erf)


def drawn(*seeds: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed).standard_normal((5, 7)) * 3 for seed in seeds]


@pytest.mark.parametrize("kind", ["relu", "sigmoid", "silu", "gelu", "gelu_tanh"])
def test_activations(kind: str) -> None:
    x, gy = drawn(0, 1)
    np.testing.assert_allclose(cuda.activate(kind, x), cpu.activate(kind, x), rtol=1e-12, atol=1e-14)
    saved = cpu.activate(kind, x) if kind in ("relu", "sigmoid") else x
    expected = cpu.activate_grad(kind, gy, saved)
    np.testing.assert_allclose(cuda.activate_grad(kind, gy, saved), expected, rtol=1e-11, atol=1e-13)


def test_sums_and_products() -> None:
    a, b = drawn(0, 1)
    assert np.array_equal(cuda.combine("add", a, b), a + b)
    assert np.array_equal(cuda.combine("multiply", a, b), a * b)


@pytest.mark.parametrize(
    ("name", "states", "scalars"),
    [
        ("sgd", 1, (0.1, 0.9, 0.8, 0.01, False)),
        ("sgd", 1, (0.1, 0.9, 1.0, 0.01, True)),
        ("adam", 3, (0.1, 0.1, 0.99, 0.01, 0.3, 1e-8, 0.05, 1.0)),
        ("adam", 3, (0.1, 0.1, 0.99, 0.01, 0.3, 1e-8, 0.0, 0.98)),
        ("rmsprop", 3, (0.1, 0.9, 0.1, 1e-2, 0.01, 0.9)),
    ],
)
@pytest.mark.parametrize("absent", [False, True])
def test_updates(name: str, states: int, scalars: tuple[float, ...], absent: bool) -> None:
    ours = [np.abs(a) for a in drawn(*range(2 + states))]
    if name == "rmsprop":
        ours[4] *= 0.01  # a mean whose square stays below the mean square
    if absent:  # optional state arrives empty
        ours[2 if name == "sgd" else -1] = np.empty(0)
    theirs = [a.copy() for a in ours]
    for _ in range(3):
        getattr(cuda, name)(*ours, *scalars)
        getattr(cpu_updates, name)(*theirs, *scalars)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
