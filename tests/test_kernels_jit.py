"""How kernels are launched: one at a time, whichever thread calls."""

import os
import subprocess
import sys
import threading

import ml_dtypes
import numpy as np
import pytest

from tinyseg.kernels import conv2d, jit
from tinyseg.kernels.backend import narrow, native
from tinyseg.kernels.conv2d import ConvGeometry


def test_threads_that_launch_at_once_take_turns():
    rng = np.random.default_rng(0)
    geometry = ConvGeometry((1, 1), ((1, 1), (1, 1)))
    x, w = rng.standard_normal((2, 4, 16, 16)), rng.standard_normal((4, 4, 3, 3))
    expected = conv2d.forward(x, w, geometry)
    results: list[np.ndarray] = []

    def work():
        results.extend(conv2d.forward(x, w, geometry) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40
    assert all(r.tobytes() == expected.tobytes() for r in results)


def by_python(code, *arguments, env=None):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_forked_process_is_told_that_it_has_no_threads():
    code = """
import os, sys
import numpy as np
from tinyseg.kernels import conv2d
from tinyseg.kernels.conv2d import ConvGeometry
x = np.ones((1, 1, 4, 4))
if sys.argv[1] == "after":
    conv2d.forward(x, x, ConvGeometry())
if os.fork() == 0:
    try:
        print(conv2d.forward(x, x, ConvGeometry()).item(), flush=True)
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""
    assert by_python(code, "before") == "16.0\n"
    assert "forked from one that had run kernels" in by_python(code, "after")


def test_the_users_thread_pool_and_spinning_are_respected():
    code = """
import os, numba
from tinyseg.kernels import jit
print(numba.config.THREADING_LAYER, os.environ.get("GOMP_SPINCOUNT"))
"""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_THREADING", "GOMP", "OMP"))}
    for extra, expected in (
        ({}, ("omp None", "workqueue None")),
        ({"NUMBA_THREADING_LAYER": "workqueue"}, ("workqueue None",)),
        ({"GOMP_SPINCOUNT": "5"}, ("omp 5", "workqueue 5")),
    ):
        assert by_python(code, env=clean | extra).strip() in expected


def test_compiling_is_announced_when_it_happens(tmp_path):
    code = """
import numpy as np
from tinyseg.kernels.tiles import widen
widen(np.ones(64), 0, 8, 8, 8, np.zeros(64), 0, 8)
"""
    command = [sys.executable, "-c", code]
    env = os.environ | {"TINYSEG_CACHE": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    for expected in (1, 0):
        run = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120)
        assert run.stderr.count("compiling kernels, first run only") == expected


def test_the_cache_folder_follows_the_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSEG_CACHE", str(tmp_path))
    assert jit.cache_folder().is_relative_to(tmp_path)
    assert jit.cache_folder() == jit.cache_folder()
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "kernels" / "jit.py"))
    (tmp_path / "kernels").mkdir()
    empty = jit.cache_folder()
    (tmp_path / "kernels" / "new.py").write_text("x = 1")
    assert jit.cache_folder() != empty


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_types_go_to_float32_and_back(dtype):
    x = np.arange(6).reshape(2, 3).astype(dtype).T
    wide = native(x)
    assert wide.dtype == np.float32
    assert wide.flags.c_contiguous
    assert narrow(wide, x).dtype == dtype


def test_native_arrays_pass_unchanged_unless_read_only():
    x = np.ones((2, 3))
    assert native(x) is x
    assert narrow(x, x) is x
    x.flags.writeable = False
    assert native(x).flags.writeable
