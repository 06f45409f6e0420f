"""Off the CPU every row of the table launches the CUDA kernels that tests/cases/launches.py lists, and no others.

NumPy's functions would give the right numbers too: what `test_cases.py` compares does not show that a kernel ran.
"""

from __future__ import annotations

import collections

import numpy as np
import pytest

import tinyseg as ts
from tests.cases import CASES
from tests.cases.launches import LAUNCHES, NONE
from tests.test_cases import gradients_of_ours, weights_of
from tinyseg.kernels import emulator

FUNCTIONS = collections.defaultdict(list)
for _case in CASES:
    FUNCTIONS[_case.name.partition("[")[0]].append(_case)


def launched(case):
    """The names of the kernels that a row launches: forward, and in its first two derivatives, in float64."""
    arrays, rng = case.arrays(), np.random.default_rng(1)
    with emulator.record() as launches:
        _, outputs = case.ours(arrays, "emulated")
        us = weights_of(outputs, rng)
        if case.varied():
            xs, _, gxs = gradients_of_ours(case, arrays, us, "emulated", create_graph=True)
            total = sum((g * ts.tensor(rng.standard_normal(g.shape), device="emulated")).sum() for g in gxs)
            ts.grad(total, xs, materialize_grads=True)
    return {launch.kernel for launch in launches}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_launches_its_kernels(function):
    by_row = {case.name: launched(case) for case in FUNCTIONS[function]}
    assert set().union(*by_row.values()) == set(LAUNCHES.get(function, "").split())
    if function in LAUNCHES:
        assert {name for name, kernels in by_row.items() if not kernels} == NONE & by_row.keys()


def test_the_lists_name_rows_that_exist():
    assert LAUNCHES.keys() <= FUNCTIONS.keys()
    assert {case.name for case in CASES} >= NONE
