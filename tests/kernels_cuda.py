"""What the tests of CUDA kernels share: calls on the emulated device, recorded and traced; every order of threads."""

from __future__ import annotations

import numpy as np
import torch

from tinyseg.kernels import emulator
from tinyseg.kernels.emulated import EmulatedArray, emulated, plain
from tinyseg.kernels.source import KERNELS, read_source

SOURCES = sorted(str(path.relative_to(KERNELS)) for path in KERNELS.glob("*/*.cu"))
KERNEL_NAMES = {signature.name for path in SOURCES for signature in read_source(KERNELS / path).signatures}
ORDERS = ("forward", "reverse", "random")


def names(launches):
    return [launch.kernel for launch in launches]


def launched(function, *args, mode="trace", **settings):
    """(*results as NumPy's, names of the kernels that made them); arrays of NumPy's among the arguments are moved."""
    moved = [emulated(a) if type(a) is np.ndarray else a for a in args]
    with emulator.using(mode=mode), emulator.record() as launches:
        ys = function(*moved, **settings)
    ys = ys if isinstance(ys, tuple) else () if ys is None else (ys,)
    assert all(type(y) is EmulatedArray and y.flags.c_contiguous for y in ys)
    return *map(plain, ys), names(launches)


def same_in_every_order(function, *args, **how):
    """The bits of the results do not depend on the order in which threads and blocks run."""
    bits = set()
    for order in ORDERS:
        with emulator.using(order=order, **how):
            ys = function(*args)
        bits.add(b"".join(y.tobytes() for y in (ys if isinstance(ys, tuple | list) else [ys])))
    assert len(bits) == 1


def within(rounding, got, expected, dtype, slack=1.0, least=1.0):
    """Of this type, and expected up to its `rounding`, in terms of the largest number and not less than of `least`."""
    assert got.dtype == dtype
    bound = rounding[dtype] * slack * max(least, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(got.astype(float), expected, rtol=0, atol=bound)


def shifted(a):
    """`a` where no 16 bytes begin: a view that begins one element into other memory."""
    memory = emulated(np.empty(a.size + 1, a.dtype))
    memory[1:] = emulated(a.reshape(-1))
    return memory[1:].reshape(a.shape)


def drawn(shape, dtype=np.float32, seed=0, spread=1.0):
    """Normal numbers."""
    return np.asarray(spread * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def wide(a):
    """PyTorch's, in float64."""
    return torch.from_numpy(np.asarray(a, float))


def convolved(x, w, geometry, bias=None):
    """PyTorch's convolution, the padding of all four sides put there first."""
    (top, bottom), (left, right) = geometry.padding
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    return torch.nn.functional.conv2d(padded, w, bias, geometry.stride, 0, geometry.dilation, geometry.groups)
