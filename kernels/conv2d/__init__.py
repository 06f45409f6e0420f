r"""Two-dimensional convolution and its two adjoints: the three kernels that close the family under differentiation.

With stride s, dilation d, padding (top, left) and G groups, group g holding C/G input and O/G output channels,

    y[n, o, i, j] = b[o] + Σ_{c, p, q} w[o, c, p, q] · x[n, gC/G + c, i·s_h − top + p·d_h, j·s_w − left + q·d_w]

where x is zero outside its borders (a cross-correlation, as every network library calls convolution). `forward` is
linear in x and in w; `grad_input` and `grad_weight` are its adjoints: ⟨forward(x, w), gy⟩ = ⟨x, grad_input(gy, w)⟩
= ⟨w, grad_weight(x, gy)⟩. `grad_input` is also the forward pass of the transposed convolution.

**Shapes**: x (N, C, H, W), w (O, C/G, KH, KW), bias (O,), gy and y (N, O, OH, OW); C-contiguous results in the type
of the first argument. **Source**: Dumoulin & Visin, A guide to convolution arithmetic, Relationships 6, 14 and 15.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..backend import backend

__all__ = ["ConvGeometry", "algorithms", "forward", "grad_input", "grad_weight", "output_size"]

Pair = tuple[int, int]


class ConvGeometry(NamedTuple):
    """How the window moves: everything about a convolution but its arrays.

    Pairs are (vertical, horizontal). Padding is ((top, bottom), (left, right)): 'same' with an even window
    needs one row more below than above.
    """

    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1


def output_size(size: Pair, kernel_size: Pair, geometry: ConvGeometry) -> Pair:
    """(OH, OW) of a convolution over `size` = (H, W): ⌊(H + top + bottom − d(KH − 1) − 1) / s⌋ + 1, likewise OW.

    Below 1 where the window is larger than the padded input; refusing that is the caller's business.
    """
    (top, bottom), (left, right) = geometry.padding
    window = [d * (k - 1) + 1 for d, k in zip(geometry.dilation, kernel_size, strict=True)]
    return (
        (size[0] + top + bottom - window[0]) // geometry.stride[0] + 1,
        (size[1] + left + right - window[1]) // geometry.stride[1] + 1,
    )


def algorithms(geometry: ConvGeometry, shape: tuple[int, ...], like: Any = None) -> list[str]:
    """The versions that apply to a weight of `shape` (O, C/G, KH, KW), for `kernels.use`; slowest first.

    They are those for arrays like `like`, on its device and of its type; without it, those on the CPU. On a GPU
    "tensor" takes float32 only where `kernels.use` allows TF32, and images that are too large for a version go to
    another.
    """
    if like is None or type(like) is np.ndarray:
        from .cpu import ALGORITHMS

        return [name for name, version in ALGORITHMS.items() if version.applies(geometry, shape)]
    versions = backend(__name__, like).ALGORITHMS
    return [name for name, version in versions.items() if version.applies(geometry, shape, like.dtype)]


def forward(x: Any, w: Any, geometry: ConvGeometry, bias: Any = None, relu: bool = False) -> Any:
    """y (N, O, OH, OW): the convolution of x with w, plus the bias of each output channel; with `relu` max(y, 0)."""
    return backend(__name__, x).forward(x, w, geometry, bias, relu)


def grad_input(gy: Any, w: Any, geometry: ConvGeometry, input_size: Pair, bias: Any = None) -> Any:
    """gx (N, C, H, W) for `input_size` = (H, W): every gy spread by its window back onto the input.

    Rows and columns that no window touches are zero. The bias (C,) of a transposed convolution is added.
    """
    return backend(__name__, gy).grad_input(gy, w, geometry, input_size, bias)


def grad_weight(x: Any, gy: Any, geometry: ConvGeometry, kernel_size: Pair) -> Any:
    """gw (O, C/G, KH, KW) for `kernel_size` = (KH, KW): input windows summed, weighted by their gy."""
    return backend(__name__, x).grad_weight(x, gy, geometry, kernel_size)
