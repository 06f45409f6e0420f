"""Every version of the families that have several, on the rows of the table that they apply to.

The rows are small, so that left alone the rule would take the first versions only: this names the others. Off the CPU,
every access traced where the kernels are emulated; against PyTorch in float64 on the rounded inputs.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tests.cases import CASES, DEVICES
from tests.cases.launches import LAUNCHES
from tests.kernels_cuda import KERNEL_NAMES
from tests.test_cases import as_type, close, gradients_of_ours, gradients_of_theirs, rounded, weights_of
from tinyseg import kernels
from tinyseg.devices import to_cpu
from tinyseg.kernels import emulator

CONVOLUTIONS = [c for c in CASES if c.name.partition("[")[0] in ("conv2d", "conv_transpose2d")]
ATTENTION = [c for c in CASES if c.name.partition("[")[0] == "scaled_dot_product_attention"]
HALVES = ["float16", "bfloat16"]
# The kernels that show that a version ran, in at least one row: forward and both gradients.
IMPLICIT = "implicit implicit_pack implicit_weight"
TENSOR = "channels_last sum_of_turned_parts tensor tensor_weight"
WINOGRAD = (
    "pixels_of_values product product_of_rows values_of_pixels values_of_tiles values_of_windows windows_of_values"
)
VERSIONS = [
    ("direct", "float32", "direct_forward direct_grad_input direct_grad_weight depthwise"),
    ("im2col", "float32", "im2col col2im"),
    ("implicit", "float32", IMPLICIT),
    ("implicit", "float16", IMPLICIT),
    ("tensor", "tf32", TENSOR),
    *(("tensor", half, TENSOR) for half in HALVES),
    ("winograd2x2", "float32", WINOGRAD),
    ("winograd4x4", "float32", WINOGRAD),
    ("composed", "float32", "softmax"),
    ("flash", "float32", "flash flash_grad_queries flash_grad_keys"),
    ("flash_tensor", "tf32", "flash flash_grad_queries flash_grad_keys"),
    *(("flash_tensor", half, "flash flash_grad_queries flash_grad_keys") for half in HALVES),
]
TOLERANCE = {"tf32": 2e-3, "float16": float(ml_dtypes.finfo("float16").eps), "bfloat16": 2.0**-7}


@pytest.mark.parametrize("device", [device for device in DEVICES if device != "cpu"])
@pytest.mark.parametrize(("version", "precision", "expected"), VERSIONS, ids=[f"{v}-{p}" for v, p, _ in VERSIONS])
def test_version(version, precision, expected, device):
    dtype = np.dtype(np.float32 if precision == "tf32" else precision)
    attention = version in ("composed", "flash", "flash_tensor")
    seen = set()
    for case in ATTENTION if attention else CONVOLUTIONS:
        arrays = [rounded(a, dtype) for a in case.arrays()]
        narrow = [as_type(a, dtype) for a in arrays]
        us = [rounded(u, dtype) for u in weights_of(case.theirs(arrays)[1], np.random.default_rng(3))]
        named = kernels.use(allow_tf32=precision == "tf32", **{"attention" if attention else "conv2d": version})
        with named, emulator.using(mode="trace"), emulator.record() as launches:
            ys = case.ours(narrow, device)[1]
            gxs = gradients_of_ours(case, narrow, us, device, dtype=dtype)[2]
        seen |= {launch.kernel for launch in launches}
        bound = TOLERANCE.get(precision, case.tolerance)
        for y, t in zip(ys, case.theirs(arrays)[1], strict=True):
            close(to_cpu(y.data).astype(float), t.detach().numpy(), bound, f"value of {case.name}")
        for g, t in zip(gxs, gradients_of_theirs(case, arrays, us)[2], strict=True):
            close(to_cpu(g.data).astype(float), t.numpy(), bound, f"gradient of {case.name}")
    if device == "emulated":
        assert seen >= set(expected.split()), seen


def test_the_table_launches_every_kernel():
    """In one of its versions; bar the optimisers' steps, which have no gradient (test_kernels_cuda_elementwise.py)."""
    listed = [*LAUNCHES.values(), *(expected for _, _, expected in VERSIONS), "adam rmsprop sgd"]
    assert KERNEL_NAMES - {name for names in listed for name in names.split()} == set()
