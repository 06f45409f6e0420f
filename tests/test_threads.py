"""How many threads compute: one number for the whole process, which every launch of a kernel obeys."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest
import torch

import tinyseg as ts
from tinyseg import nn
from tinyseg.data.loader import Loader
from tinyseg.data.sample import Sample
from tinyseg.errors import ArgumentError, DTypeError
from tinyseg.kernels import conv2d, matmul
from tinyseg.kernels.conv2d import ConvGeometry
from tinyseg.kernels.jit import JIT, parallel, prange

MOST = numba.config.NUMBA_NUM_THREADS


@pytest.fixture(autouse=True)
def number_as_before():
    before = ts.get_num_threads()
    yield
    ts.set_num_threads(before)


@parallel
def _record(ids):
    for i in prange(ids.size):
        ids[i] = numba.get_thread_id()


def used():
    """(numba's number on this Python thread, the threads that took a share of a loop)."""
    ids = np.full(64, -1)
    _record(ids)
    return numba.get_num_threads(), set(ids.tolist())


def shares(number):
    """What `used` finds: without the compiler a loop runs on the caller."""
    return number, set(range(number)) if JIT else {0}


def elsewhere(work):
    """The result of a function that runs on a Python thread of its own."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def test_a_kernel_uses_as_many_threads_as_were_set():
    assert used() == shares(ts.get_num_threads())
    for number in (1, 2, 1, MOST):
        assert ts.set_num_threads(number) is None
        assert ts.get_num_threads() == number
        assert used() == shares(number)
    ts.set_num_threads(np.int64(1))
    assert type(ts.get_num_threads()) is int


def test_at_first_it_is_numba_s_number():
    code = "import tinyseg as ts; print(ts.get_num_threads())"
    for given in ("1", "3"):
        env = os.environ | {"NUMBA_NUM_THREADS": given}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout == f"{given}\n"


def test_all_python_threads_share_the_number():
    ts.set_num_threads(1)
    assert elsewhere(used) == shares(1)
    elsewhere(lambda: ts.set_num_threads(2))
    assert ts.get_num_threads() == 2
    assert used() == shares(2)


def test_a_python_thread_that_has_computed_before_follows():
    asked, answered = threading.Semaphore(0), threading.Semaphore(0)
    seen = []

    def work():
        for _ in range(3):
            asked.acquire()
            seen.append(used())
            answered.release()

    thread = threading.Thread(target=work)
    thread.start()
    for number in (2, 1, 2):
        ts.set_num_threads(number)
        asked.release()
        answered.acquire()
    thread.join()
    assert seen == [shares(2), shares(1), shares(2)]


def test_kernels_in_the_loader_s_threads_follow():
    class Samples:
        def __len__(self):
            return 6

        def __getitem__(self, index):
            threads, ids = used()
            return Sample(np.full((1, 1, 1), 10 * threads + len(ids), np.float32), np.zeros((1, 1), np.int64))

    for number in (1, 2):
        ts.set_num_threads(number)
        for batch in Loader(Samples(), 2, shuffle=False, workers=2):
            assert batch.images.ravel().tolist() == [10 * number + len(shares(number)[1])] * 2


def test_it_stands_above_the_number_that_numba_was_told_before():
    ts.set_num_threads(2)
    elsewhere(lambda: numba.set_num_threads(1))
    assert elsewhere(lambda: (numba.set_num_threads(1), used())[1]) == shares(2)


@pytest.mark.parametrize("n", [True, np.True_, 2.0, np.float32(1), "2", None, [1], (1,)])
def test_what_is_no_integer_is_refused(n):
    before = ts.get_num_threads()
    with pytest.raises(DTypeError, match=r"^set_num_threads: n must be a positive integer, got ") as caught:
        ts.set_num_threads(n)
    assert repr(n) in str(caught.value)
    assert ts.get_num_threads() == before


@pytest.mark.parametrize("n", [0, -1, -(2**70)])
def test_less_than_one_thread_is_refused(n):
    with pytest.raises(ArgumentError, match=f"^set_num_threads: n must be a positive integer, got {n}$"):
        ts.set_num_threads(n)


@pytest.mark.parametrize("n", [MOST + 1, 2**70])
def test_more_threads_than_the_process_has_are_refused(n):
    before = ts.get_num_threads()
    message = f"n must be 1 to {MOST}, the threads that this process has, got {n}; .*NUMBA_NUM_THREADS={n}"
    with pytest.raises(ArgumentError, match=message):
        ts.set_num_threads(n)
    assert ts.get_num_threads() == before


def test_more_threads_than_cores_where_the_process_starts_with_them():
    number = (os.cpu_count() or 1) + 1
    code = f"""
import tinyseg as ts
from tests.test_threads import used, shares
ts.set_num_threads({number})
assert used() == shares({number}), used()
"""
    env = os.environ | {"NUMBA_NUM_THREADS": str(number)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=120)


def test_naming_them_is_all_that_imports_numba():
    code = """
import sys
import tinyseg as ts
print("numba" in sys.modules)
ts.set_num_threads(1)
print(ts.get_num_threads())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "1"]


def test_setting_it_before_a_fork_starts_no_threads():
    code = """
import os
import numpy as np
import tinyseg as ts
from tests.test_threads import used, shares
ts.set_num_threads(1)
if os.fork() == 0:
    print(used() == shares(1), flush=True)
    os._exit(0)
os.wait()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "True\n", done.stderr


# -- what is computed -------------------------------------------------------------------------------------------------


def convolved(dtype=np.float32):
    """A convolution, large enough for several blocks, with both gradients."""
    rng = np.random.default_rng(0)
    shapes = (3, 5, 19, 21), (7, 5, 3, 3), (3, 7, 19, 21)
    x, w, gy = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    geometry = ConvGeometry((1, 1), ((1, 1), (1, 1)))
    kernels = (
        conv2d.forward(x, w, geometry),
        conv2d.grad_input(gy, w, geometry, x.shape[2:]),
        conv2d.grad_weight(x, gy, geometry, w.shape[2:]),
    )
    return (x, w, gy), kernels


def test_results_are_pytorch_s_whatever_the_number():
    for number in (1, 2):
        ts.set_num_threads(number)
        (x, w, gy), found = convolved(np.float64)
        a, b = (torch.tensor(value, requires_grad=True) for value in (x, w))
        y = torch.nn.functional.conv2d(a, b, padding=1)
        y.backward(torch.tensor(gy))
        for value, expected in zip(found, (y.detach(), a.grad, b.grad), strict=True):
            np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


@pytest.mark.parametrize("number", [1, 2])
def test_the_same_number_gives_the_same_bits_on_every_python_thread(number):
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((3, 97, 65), np.float32), rng.standard_normal((3, 65, 130), np.float32)

    def computed():
        return [array.tobytes() for array in (*convolved()[1], matmul.matmul(a, b))]

    ts.set_num_threads(number)
    here = computed()
    ts.set_num_threads(3 - number)
    computed()
    ts.set_num_threads(number)
    assert computed() == here
    assert elsewhere(computed) == here


def trained():
    """The bits of a small network's parameters after a few steps."""
    ts.manual_seed(3)
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 2, 1)
    net = nn.Sequential(*layers)
    adam = ts.optim.Adam(net.parameters(), lr=1e-2)
    rng = np.random.default_rng(2)
    x, target = ts.tensor(rng.standard_normal((4, 3, 24, 24), np.float32)), ts.zeros(4, 24, 24, dtype=ts.int64)
    for _ in range(3):
        adam.zero_grad()
        nn.functional.cross_entropy(net(x), target).backward()
        adam.step()
    return [p.detach().numpy().tobytes() for p in net.parameters()]


def test_a_run_on_one_thread_repeats_to_the_bit():
    ts.set_num_threads(1)
    first = trained()
    assert trained() == first
    assert elsewhere(trained) == first
