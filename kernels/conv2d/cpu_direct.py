"""Version 1, direct: the definition, one row of pixels at a time.

    y[n, o, i, :] += w[o, c, p, q] · x[n, c, i·step + offset_p, offset_q + step·:]        for every c, p, q

Every product is fetched, used once and put back: a core spends its time on loads and stores. The others exist to avoid
that. No memory beside x, w and y.
"""

from __future__ import annotations

import numpy as np

from ..jit import parallel, prange
from . import ConvGeometry, Pair, output_size
from .reference import finish
from .rows import add_row, inside
from .taps import backward_axis, forward_axis

__all__ = ["applies", "correlate", "correlate_weight"]


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...]) -> bool:
    """To every convolution."""
    return True


@parallel
def _add_taps(x, w, down, right, step, origin, every, size, y):
    """y[n, g, o, origin + every·(i, j)] += Σ w[g, o, c, p, q] · x[n, g, c, i·step + down[p], j·step + right[q]]."""
    batch, groups, outputs = y.shape[:3]
    height, width = x.shape[3:]
    for plane in prange(batch * groups * outputs):
        n, g, o = plane // outputs // groups, plane // outputs % groups, plane % outputs
        for c in range(x.shape[2]):
            for p in range(len(down)):
                for q in range(len(right)):
                    weight, (lo, hi) = w[g, o, c, p, q], inside(width, right[q], step[1], size[1])
                    for i in range(size[0]):
                        h = i * step[0] + down[p]
                        if 0 <= h < height and lo < hi:
                            source = x[n, g, c, h, lo * step[1] + right[q] :]
                            target = y[n, g, o, origin[0] + i * every[0], origin[1] + lo * every[1] :]
                            add_row(weight, source, step[1], target, every[1], hi - lo)


def correlate(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, relu: bool, geometry: ConvGeometry, size: Pair, adjoint: bool
) -> np.ndarray:
    """See `cpu`."""
    axis = backward_axis if adjoint else forward_axis
    down, right = axis(0, w.shape[2], geometry), axis(1, w.shape[3], geometry)
    groups = geometry.groups
    by_group = w.reshape(groups, len(w) // groups, *w.shape[1:])
    by_group = by_group.swapaxes(1, 2) if adjoint else by_group
    y = np.zeros((len(x), *by_group.shape[:2], *size), x.dtype)
    images = x.reshape(len(x), groups, x.shape[1] // groups, *x.shape[2:])
    for above, r, p, rows in down.phases(size[0]):
        for before, s, q, columns in right.phases(size[1]):
            weights = np.ascontiguousarray(by_group[..., p[:, None], q])
            _add_taps(images, weights, above, before, (down.step, right.step), (r, s), (down.every, right.every),
                      (rows, columns), y)  # fmt: skip
    return finish(y.reshape(len(x), groups * y.shape[2], *size), bias, relu)


@parallel
def _sum_pixels(x, gy, down, right, step, gw):
    """gw[g, o, c, p, q] = Σ gy[n, g, o, i, j] · x[n, g, c, i·step + down[p], j·step + right[q]]."""
    groups, outputs, channels = gw.shape[:3]
    height, width = x.shape[3:]
    for filter in prange(groups * outputs * channels):
        g, o, c = filter // channels // outputs, filter // channels % outputs, filter % channels
        for p in range(len(down)):
            for q in range(len(right)):
                lo, hi = inside(width, right[q], step[1], gy.shape[4])
                total = gw.dtype.type(0)
                for n in range(len(x)):
                    for i in range(gy.shape[3]):
                        h = i * step[0] + down[p]
                        if 0 <= h < height:
                            for j in range(lo, hi):
                                total += gy[n, g, o, i, j] * x[n, g, c, h, j * step[1] + right[q]]
                gw[g, o, c, p, q] = total


def correlate_weight(x: np.ndarray, gy: np.ndarray, geometry: ConvGeometry, kernel_size: Pair) -> np.ndarray:
    """See `cpu`."""
    assert gy.shape[2:] == output_size(x.shape[2:], kernel_size, geometry)
    down, right = (forward_axis(a, kernel_size[a], geometry) for a in (0, 1))
    groups = geometry.groups
    images, grads = (a.reshape(len(a), groups, a.shape[1] // groups, *a.shape[2:]) for a in (x, gy))
    gw = np.empty((groups, grads.shape[2], images.shape[2], *kernel_size), x.dtype)
    _sum_pixels(images, grads, down.parts[0].offset, right.parts[0].offset, (down.step, right.step), gw)
    return gw.reshape(groups * gw.shape[1], *gw.shape[2:])
