"""A row of each function that launches CUDA kernels, in the half types, every access traced, against PyTorch's float64.

`test_precision.py` holds all functions to a rounding on the CPU; this shows that the kernels do not round more often.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tests.cases import CASES
from tests.cases.launches import LAUNCHES, NONE
from tests.test_cases import as_type, close, gradients_of_ours, gradients_of_theirs, rounded, weights_of
from tinyseg.kernels import emulator

HALVES = [np.float16, ml_dtypes.bfloat16]
# What the type itself changes: the largest number that stands for infinity; a kernel that the second derivative alone
# launches; no half types at all.
LEFT_OUT = {"nan_to_num", "binary_cross_entropy", "quantile"}
SUMS = {"dist", "multi_head_attention_forward"}  # gradients made of terms that are rounded first, as PyTorch's
ROWS = {case.name.partition("[")[0]: case for case in reversed(CASES) if case.name not in NONE}


@pytest.mark.parametrize("dtype", HALVES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("function", [f for f in LAUNCHES if f not in LEFT_OUT])
def test_half_types(function, dtype):
    case, eps = ROWS[function], (1 + (function in SUMS)) * float(ml_dtypes.finfo(dtype).eps)
    arrays = [rounded(a, dtype) for a in case.arrays()]
    narrow = [as_type(a, dtype) for a in arrays]
    _, theirs = case.theirs(arrays)
    us = [rounded(u, dtype) for u in weights_of(theirs, np.random.default_rng(3))]
    with emulator.using(mode="trace"), emulator.record() as launches:
        _, ours = case.ours(narrow, "emulated")
        gxs = gradients_of_ours(case, narrow, us, "emulated", dtype=dtype)[2] if case.varied() else []
    assert launches
    for y, t in zip(ours, theirs, strict=True):
        close(y.data.astype(float) if y.dtype == dtype else y.data, t.detach().numpy(), eps, "value")
    if case.varied():
        for g, t in zip(gxs, gradients_of_theirs(case, arrays, us)[2], strict=True):
            assert g.dtype == dtype
            close(g.data.astype(float), t.numpy(), eps, "gradient")
