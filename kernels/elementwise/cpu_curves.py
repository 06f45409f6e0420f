"""Activations with settings and the rarer ones, on the CPU: compiled when the first of them is called.

Apart from `cpu.py`, whose kinds nearly every network needs: those would otherwise wait for these to be compiled.
"""

from __future__ import annotations

import numpy as np

from ..jit import parallel, prange
from .exponential import exp, expm1, log1p, sigmoid, strict

__all__ = ["KINDS", "curve", "curve_grad"]

CHUNK = 1 << 15

LEAKY_RELU, HARDTANH, HARDSIGMOID, HARDSWISH, ELU, SOFTPLUS, MISH = range(7)
NAMES = "leaky_relu", "hardtanh", "hardsigmoid", "hardswish", "elu", "softplus", "mish"
KINDS = {name: kind for kind, name in enumerate(NAMES)}
LIGHT = 1 << 17  # elements up to which a kind without an exponential stays on the caller's thread


def curve(kind: str, x: np.ndarray, *settings: float) -> np.ndarray:
    """y = f(x)."""
    y = np.empty_like(x)
    number = KINDS[kind]
    run = _curve if x.size <= (LIGHT if number < ELU else CHUNK) else _curve_chunks
    run(number, _three(settings), x.ravel(), y.ravel())
    return y


def curve_grad(kind: str, gy: np.ndarray, x: np.ndarray, *settings: float) -> np.ndarray:
    """gx = gy f'(x)."""
    gx = np.empty_like(gy)
    number = KINDS[kind]
    run = _curve_grad if gy.size <= (LIGHT if number < ELU else CHUNK) else _curve_grad_chunks
    run(number, _three(settings), gy.ravel(), x.ravel(), gx.ravel())
    return gx


def _three(settings: tuple[float, ...]) -> tuple[float, ...]:
    """Every kind's settings in one type, so that all share a compilation."""
    return (*map(float, settings), 0.0, 0.0, 0.0)[:3]


@strict
def _curve(kind, settings, x, y):
    real = x.dtype.type
    a, b, c = real(settings[0]), real(settings[1]), real(settings[2])
    zero, one, three, six = real(0), real(1), real(3), real(6)
    if kind == LEAKY_RELU:
        for i in range(x.size):
            y[i] = x[i] if x[i] > zero else x[i] * a
    elif kind == HARDTANH:
        for i in range(x.size):
            v = a if x[i] < a else x[i]
            y[i] = b if v > b else v
    elif kind == HARDSIGMOID:
        for i in range(x.size):
            y[i] = _ramp(x[i] + three, six) / six
    elif kind == HARDSWISH:
        for i in range(x.size):
            y[i] = x[i] * (_ramp(x[i] + three, six) / six)
    elif kind == ELU:
        for i in range(x.size):
            y[i] = x[i] * c if x[i] > zero else expm1(x[i] * b) * (a * c)
    elif kind == SOFTPLUS:
        for i in range(x.size):
            z = x[i] * a
            soft = (log1p(exp(-abs(z))) + (z if z > zero else zero)) / a
            y[i] = x[i] if z > b else soft
    else:
        for i in range(x.size):
            above, below, _ = _mish(x[i], exp(-abs(x[i])), zero, one)
            y[i] = x[i] * (above / (above + below))


@strict
def _curve_grad(kind, settings, gy, x, gx):
    real = gy.dtype.type
    a, b, c = real(settings[0]), real(settings[1]), real(settings[2])
    zero, one, three, six = real(0), real(1), real(3), real(6)
    if kind == LEAKY_RELU:
        for i in range(gy.size):
            g = gy[i]
            gx[i] = g if x[i] > zero else g * a
    elif kind == HARDTANH:
        for i in range(gy.size):
            g = gy[i]
            gx[i] = g if (x[i] > a) & (x[i] < b) else zero
    elif kind == HARDSIGMOID:
        for i in range(gy.size):
            g = gy[i] / six
            gx[i] = g if (x[i] > -three) & (x[i] < three) else zero
    elif kind == HARDSWISH:
        for i in range(gy.size):
            slope = (x[i] + x[i] + three) / six
            slope = zero if x[i] <= -three else slope
            gx[i] = gy[i] * (one if x[i] >= three else slope)
    elif kind == ELU:
        for i in range(gy.size):
            gx[i] = gy[i] * (c if x[i] > zero else exp(x[i] * b) * (a * b * c))
    elif kind == SOFTPLUS:
        for i in range(gy.size):
            z = x[i] * a
            g = gy[i]
            gx[i] = g if z > b else g * sigmoid(z)
    else:
        for i in range(gy.size):
            above, below, s = _mish(x[i], exp(-abs(x[i])), zero, one)
            whole = above + below
            t = above / whole
            gx[i] = gy[i] * (t + x[i] * s * (below / whole) * (one + t))


@strict
def _ramp(x, top):
    v = type(top)(0) if x < type(top)(0) else x
    return top if v > top else v


@strict
def _mish(x, e, zero, one):
    """tanh(log(1 + e^x)) is above / (above + below), by way of e = e^−|x|, which cannot overflow; and sigmoid(x)."""
    two = one + one
    above = one + two * e if x >= zero else e * (e + two)
    below = two * e * e if x >= zero else two
    return above, below, (one if x >= zero else e) / (one + e)


@parallel
def _curve_chunks(kind, settings, x, y):
    for chunk in prange((x.size + CHUNK - 1) // CHUNK):
        a, b = chunk * CHUNK, min(x.size, (chunk + 1) * CHUNK)
        _curve(kind, settings, x[a:b], y[a:b])


@parallel
def _curve_grad_chunks(kind, settings, gy, x, gx):
    for chunk in prange((gy.size + CHUNK - 1) // CHUNK):
        a, b = chunk * CHUNK, min(gy.size, (chunk + 1) * CHUNK)
        _curve_grad(kind, settings, gy[a:b], x[a:b], gx[a:b])
