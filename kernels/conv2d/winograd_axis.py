"""Winograd's F(m, 3) along one axis: the matrices of m = 2 and m = 4, applied to registers.

A window of 3 over a tile of m + 2 elements gives m pixels. As polynomials: know both by their values at m + 1 points
and at infinity, multiply value by value, and go back to coefficients.

    y  = Aᵀ [(G w) ⊙ (Bᵀ x)]        Bᵀ: values of a tile, G: of a window, Aᵀ: back to pixels
    gw = Gᵀ [(A gy) ⊙ (Bᵀ x)]       the adjoint in w: the same values, every matrix transposed

F(2, 3) has the points 0, ±1, ∞, and needs additions only: its error in float32 is that of a plain sum, or smaller.
F(4, 3) has 0, ±3/4, ±3/2, ∞. The usual 0, ±1, ±2, ∞ have rounder constants and three times the error.

Values at p and −p share their even and odd powers. Every function takes and gives tuples, and is written for either m.
**Source**: Lavin & Gray, Fast algorithms for convolutional neural networks, 2016.
"""

from __future__ import annotations

from ..jit import serial
from ..simd import by_length

__all__ = ["from_pixels", "from_tile", "from_window", "to_pixels", "to_window"]

P, Q = 0.75, 1.5
PP, QQ, PPQQ, SUM = P * P, Q * Q, P * P * Q * Q, P * P + Q * Q
G_0, G_P, G_Q = 1 / PPQQ, 1 / (2 * PP * (PP - QQ)), 1 / (2 * QQ * (QQ - PP))


@serial
def _from_tile_2(x):
    return x[0] - x[2], x[2] + x[1], x[2] - x[1], x[3] - x[1]


@serial
def _from_tile_4(x):
    even_p, odd_p = x[4] - QQ * x[2], P * x[3] - (P * QQ) * x[1]
    even_q, odd_q = x[4] - PP * x[2], Q * x[3] - (Q * PP) * x[1]
    first, last = PPQQ * x[0] - SUM * x[2] + x[4], PPQQ * x[1] - SUM * x[3] + x[5]
    return first, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, last


from_tile = by_length({4: _from_tile_2, 6: _from_tile_4})  # Bᵀ x


@serial
def _from_window_2(like, w):
    even, odd = 0.5 * (w[0] + w[2]), 0.5 * w[1]
    return w[0], even + odd, even - odd, w[2]


@serial
def _from_window_4(like, w):
    even_p, odd_p = G_P * w[0] + (G_P * PP) * w[2], (G_P * P) * w[1]
    even_q, odd_q = G_Q * w[0] + (G_Q * QQ) * w[2], (G_Q * Q) * w[1]
    return G_0 * w[0], even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, w[2]


from_window = by_length({4: _from_window_2, 6: _from_window_4})  # G w, as many values as `like` has


@serial
def _to_window_2(m):
    return m[0] + 0.5 * (m[1] + m[2]), 0.5 * (m[1] - m[2]), 0.5 * (m[1] + m[2]) + m[3]


@serial
def _to_window_4(m):
    even_p, odd_p = G_P * (m[1] + m[2]), (G_P * P) * (m[1] - m[2])
    even_q, odd_q = G_Q * (m[3] + m[4]), (G_Q * Q) * (m[3] - m[4])
    return G_0 * m[0] + even_p + even_q, odd_p + odd_q, PP * even_p + QQ * even_q + m[5]


to_window = by_length({4: _to_window_2, 6: _to_window_4})  # Gᵀ m


@serial
def _to_pixels_2(m):
    return m[0] + (m[1] + m[2]), (m[1] - m[2]) + m[3]


@serial
def _to_pixels_4(m):
    even_p, odd_p, even_q, odd_q = m[1] + m[2], P * (m[1] - m[2]), m[3] + m[4], Q * (m[3] - m[4])
    return m[0] + even_p + even_q, odd_p + odd_q, PP * even_p + QQ * even_q, PP * odd_p + QQ * odd_q + m[5]


to_pixels = by_length({4: _to_pixels_2, 6: _to_pixels_4})  # Aᵀ m


@serial
def _from_pixels_2(y):
    return y[0], y[0] + y[1], y[0] - y[1], y[1]


@serial
def _from_pixels_4(y):
    even_p, odd_p = y[0] + PP * y[2], P * y[1] + (P * PP) * y[3]
    even_q, odd_q = y[0] + QQ * y[2], Q * y[1] + (Q * QQ) * y[3]
    return y[0], even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, y[3]


from_pixels = by_length({2: _from_pixels_2, 4: _from_pixels_4})  # A y
