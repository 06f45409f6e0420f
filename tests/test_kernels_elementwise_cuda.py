"""The array expressions that serve CuPy arrays, run on NumPy's: the same values as the numba kernels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from tinyseg.kernels.elementwise import cpu, cpu_curves, cpu_losses, cuda


@pytest.fixture(autouse=True)
def scipy_s_error_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_erf", erf)


def drawn(*seeds: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed).standard_normal((5, 7)) * 3 for seed in seeds]


SETTINGS = {
    "leaky_relu": (0.2,), "hardtanh": (-0.7, 1.3), "elu": (0.75, 1.3, 1.5), "softplus": (2.0, 3.0), "huber": (0.5, 3.0)
}  # fmt: skip


@pytest.mark.parametrize("kind", [*cpu.KINDS, *cpu_curves.KINDS])
def test_activations(kind: str) -> None:
    x, gy = drawn(0, 1)
    settings = SETTINGS.get(kind, ())
    np.testing.assert_allclose(
        cuda.activate(kind, x, *settings), cpu.activate(kind, x, *settings), rtol=1e-12, atol=1e-14
    )
    saved = cpu.activate(kind, x) if kind in ("relu", "sigmoid") else x
    expected = cpu.activate_grad(kind, gy, saved, *settings)
    np.testing.assert_allclose(cuda.activate_grad(kind, gy, saved, *settings), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", cpu_losses.KINDS)
def test_losses(kind: str) -> None:
    x, t, gy = drawn(0, 1, 2)
    for name in ("loss", "loss_sum"):
        ours, expected = (getattr(backend, name)(kind, x, t, *SETTINGS.get(kind, ())) for backend in (cuda, cpu))
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-14)
    for g in (gy, gy[0, 0]):
        ours, expected = (backend.loss_grad(kind, g, x, t, *SETTINGS.get(kind, ())) for backend in (cuda, cpu))
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-14)


def test_parts() -> None:
    x, gy = drawn(0, 1)
    factors = x[:, :1].copy()
    assert np.array_equal(cuda.scale(x, factors), cpu.scale(x, factors))
    halves = np.stack([x, gy], 1)
    np.testing.assert_allclose(cuda.glu(halves), cpu.glu(halves), rtol=1e-12)
    np.testing.assert_allclose(cuda.glu_grad(gy, halves), cpu.glu_grad(gy, halves), rtol=1e-11, atol=1e-14)


def test_select() -> None:
    a, b = drawn(0, 1)
    assert np.array_equal(cuda.select(a > 0, a, b), cpu.select(a > 0, a, b))
