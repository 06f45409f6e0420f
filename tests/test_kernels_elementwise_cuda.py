"""The array expressions that serve CuPy arrays, run on NumPy's: the same values as the numba kernels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from tinyseg.kernels.elementwise import cpu, cuda


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


def test_select() -> None:
    a, b = drawn(0, 1)
    assert np.array_equal(cuda.select(a > 0, a, b), cpu.select(a > 0, a, b))
