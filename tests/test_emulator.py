"""CUDA kernels on the processor: tests/cuda against NumPy in every mode, and what a launch refuses."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyseg.errors import ArgumentError, DataError, DeviceError, DTypeError
from tinyseg.kernels import emulator
from tinyseg.kernels.emulator import build

CUDA = pathlib.Path(__file__).parent / "cuda"
MODES = "fast", "debug", "trace"
ORDERS = "forward", "reverse", "random"
i32, i64, f32 = np.int32, np.int64, np.float32
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

Array = np.ndarray


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, f32)


def up(n: int, block: int) -> int:
    return -(-n // block)


_modules: dict[Any, emulator.Module] = {}


def kernel(file: str, name: str, **options: Any) -> emulator.Function:
    key = file, repr(options)
    if key not in _modules:
        _modules[key] = emulator.Module(CUDA / f"{file}.cu", **options)
    return _modules[key].get_function(name)


# ---- each kernel, called, and what NumPy says ----


def row_sum(x: Array, threads: int = 128) -> Array:
    name = {"float32": "float", "float64": "double"}.get(x.dtype.name, x.dtype.name)
    y = np.zeros(len(x), x.dtype)
    kernel("reduce", "row_sum", defines={"TYPE": name})((len(x),), (threads,), (x, y, i32(x.shape[1])))
    return y


def transpose(x: Array, name: str = "transpose") -> Array:
    (rows, columns), y = x.shape, np.zeros(x.shape[::-1], f32)
    block = (32, 8) if name == "transpose" else (32, 32)
    kernel("transpose", name)((up(columns, 32), up(rows, 32)), block, (x, y, i32(rows), i32(columns)))
    return y


def matmul(a: Array, b: Array) -> Array:
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), f32)
    kernel("matmul", "matmul")((n // 32, m // 32), (64,), (a, b, c, i32(n), i32(k)))
    return c


HALF_NAMES = "matmul_half<float16>", "matmul_half<bfloat16>"


def tensor_cores(a: Array, b: Array) -> Array:
    (m, k), n = a.shape, b.shape[1]
    c = np.zeros((m, n), f32)
    name = "matmul_tf32" if a.dtype == f32 else f"matmul_half<{a.dtype.name}>"
    function = kernel("tensor_cores", name, name_expressions=HALF_NAMES)
    function((n // 8, m // 16), (32,), (a, b, c, i32(n), i32(k)))
    return c


def histogram(values: Array, bins: int) -> Array:
    counts = np.zeros(bins, i32)
    args = values, counts, i64(values.size), i32(bins)
    kernel("histogram", "histogram")((3,), (96,), args, shared_mem=4 * bins)
    return counts


def nonzero(x: Array) -> tuple[Array, int]:
    positions, count = np.full(x.size, -1, i32), np.zeros(1, i32)
    kernel("histogram", "nonzero")((up(x.size, 64),), (64,), (x, positions, count, i32(x.size)))
    return positions, int(count[0])


SHAPE = np.dtype([("rows", i32), ("columns", i32), ("scale", f32)])


def weigh(x: Array, bias: Array | None) -> Array:
    y, (rows, columns) = np.zeros_like(x), x.shape
    shape = np.array((rows, columns, 0.5), SHAPE)[()]
    options = {"name_expressions": ("gather<4>",)}
    kernel("shapes", "weigh", **options)((up(columns, 16), 1, up(rows, 4)), (16, 1, 4), (x, y, shape, bias))
    return y


def gather(x: Array, indices: Array) -> Array:
    y = np.zeros((len(indices), 4), f32)
    args = x, indices, y, i32(len(indices))
    kernel("shapes", "gather<4>", name_expressions=("gather<4>",))((up(len(indices), 32),), (32,), args)
    return y


def to_tf32(x: Array) -> Array:
    return ((x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(f32).astype(np.float64)


def check_row_sum(dtype: Any, tolerance: float) -> None:
    x = drawn(5, 301).astype(dtype)
    wide = x.astype(np.float64).sum(1)
    np.testing.assert_allclose(row_sum(x).astype(np.float64), wide, rtol=tolerance, atol=tolerance)


def check_transpose() -> None:
    x = drawn(45, 70)
    assert np.array_equal(transpose(x), x.T)
    assert np.array_equal(transpose(x, "transpose_naive"), x.T)


def check_matmul() -> None:
    a, b = drawn(64, 40), drawn(40, 96, seed=1)
    np.testing.assert_allclose(matmul(a, b), a.astype(np.float64) @ b, rtol=1e-5, atol=1e-5)


def check_tensor_cores(dtype: Any) -> None:
    a, b = drawn(32, 48).astype(dtype), drawn(48, 24, seed=1).astype(dtype)
    wide_a, wide_b = (to_tf32(v) if dtype == f32 else v.astype(np.float64) for v in (a, b))
    np.testing.assert_allclose(tensor_cores(a, b), wide_a @ wide_b, rtol=1e-6, atol=1e-6)


def check_histogram() -> None:
    values = np.random.default_rng(0).integers(0, 256, 2000).astype(np.uint8)
    assert np.array_equal(histogram(values, 200), np.bincount(values, minlength=256)[:200])


def check_nonzero() -> None:
    x = drawn(300) * (np.random.default_rng(1).random(300) < 0.3)
    positions, count = nonzero(x.astype(f32))
    assert count == np.count_nonzero(x)
    assert np.array_equal(np.sort(positions[:count]), np.flatnonzero(x))
    assert (positions[count:] == -1).all()


def check_halves() -> None:
    x = np.concatenate([drawn(200) * 10.0**e for e in (-8, -6, -4, 0, 4)] + [[0.0, np.inf, -np.inf, 65519, 65520]])
    x = np.resize(x.astype(f32), 1005)
    h, b, back = np.zeros(1005, np.float16), np.zeros(1005, BFLOAT16), np.zeros(1005, f32)
    kernel("halves", "to_half_and_back")((4,), (256,), (x, h, b, back, i32(1005)))
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.array_equal(h, x.astype(np.float16))
        assert np.array_equal(b, x.astype(BFLOAT16))
        expected = h.astype(f32) + b.astype(f32)
        np.testing.assert_array_equal(back, np.where(np.abs(expected) < 2.0**-126, 0, expected))
    p, q, r = drawn(64).astype(np.float16), drawn(64, seed=1).astype(np.float16), np.zeros(64, np.float16)
    kernel("halves", "arithmetic")((2,), (32,), (p, q, r, i32(64)))
    wide = p.astype(np.float64) * q + (p + q)
    np.testing.assert_allclose(r.astype(np.float64), wide, rtol=1e-3, atol=1e-3)
    sums = np.zeros(32, f32)
    kernel("halves", "pairs")((1,), (32,), (p, sums, i32(32)))
    assert np.array_equal(sums, p.astype(f32)[0::2] + p.astype(f32)[1::2])


def check_shapes() -> None:
    x, bias = drawn(7, 21), drawn(21, seed=1)
    plain = 0.5 * np.array([1, 2, 4], f32)[np.arange(21) % 3] * x
    assert np.array_equal(weigh(x, None), plain)
    np.testing.assert_allclose(weigh(x, bias), plain + bias, rtol=1e-6, atol=1e-6)
    indices = np.array([0, 10, 100, 143], i64)
    assert np.array_equal(gather(x, indices), x.ravel()[indices[:, None] + np.arange(4)])


CHECKS: dict[str, Callable[[], None]] = {
    "row_sum-float32": lambda: check_row_sum(f32, 1e-5),
    "row_sum-float64": lambda: check_row_sum(np.float64, 1e-13),
    "row_sum-float16": lambda: check_row_sum(np.float16, 1e-3),
    "row_sum-bfloat16": lambda: check_row_sum(BFLOAT16, 8e-3),
    "transpose": check_transpose,
    "matmul": check_matmul,
    "tensor_cores-tf32": lambda: check_tensor_cores(f32),
    "tensor_cores-float16": lambda: check_tensor_cores(np.float16),
    "tensor_cores-bfloat16": lambda: check_tensor_cores(BFLOAT16),
    "histogram": check_histogram,
    "nonzero": check_nonzero,
    "halves": check_halves,
    "shapes": check_shapes,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CHECKS)
def test_kernels_give_what_numpy_gives(name: str, mode: str) -> None:
    with emulator.using(mode=mode):
        CHECKS[name]()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", ["reverse", "random"])
def test_the_order_of_the_threads_does_not_matter(order: str, mode: str) -> None:
    x, a, b = drawn(5, 301), drawn(64, 40), drawn(40, 96, seed=1)
    values = np.random.default_rng(0).integers(0, 256, 2000).astype(np.uint8)
    halves = a[:, :32].astype(np.float16), np.ascontiguousarray(b[:32]).astype(np.float16)

    def results() -> list[Array]:
        return [row_sum(x), transpose(x), matmul(a, b), tensor_cores(*halves), histogram(values, 200)]

    with emulator.using(mode=mode):
        expected = results()
    for seed in (1, 2):
        with emulator.using(mode=mode, order=order, seed=seed):
            assert all(np.array_equal(y, e) for y, e in zip(results(), expected, strict=True))


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 700),
    threads=st.integers(1, 8).map(lambda warps: 32 * warps),
    mode=st.sampled_from(MODES),
    order=st.sampled_from(ORDERS),
)
def test_row_sums_of_any_shape(rows: int, columns: int, threads: int, mode: str, order: str) -> None:
    x = drawn(rows, columns)
    with emulator.using(mode=mode, order=order):
        np.testing.assert_allclose(row_sum(x, threads), x.astype(np.float64).sum(1), rtol=1e-4, atol=1e-4)


@given(
    rows=st.integers(1, 100), columns=st.integers(1, 100), mode=st.sampled_from(MODES), order=st.sampled_from(ORDERS)
)
def test_transposes_of_any_shape(rows: int, columns: int, mode: str, order: str) -> None:
    x = drawn(rows, columns)
    with emulator.using(mode=mode, order=order):
        assert np.array_equal(transpose(x), x.T)


def test_every_half_number_survives() -> None:
    """All 65536 patterns, read as float16 and bfloat16, widened, and rounded again."""
    text = """
    #include "half.cuh"
    extern "C" __global__ void widen(const float16* h, const bfloat16* b, float* x, float* y, int n) {
        for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = h[i], y[i] = b[i];
    }
    extern "C" __global__ void narrow(const float* x, float16* h, bfloat16* b, int n) {
        for (int i = threadIdx.x; i < n; i += blockDim.x) h[i] = x[i], b[i] = x[i];
    }"""
    module = emulator.Module(text=text)
    patterns = np.arange(65536, dtype=np.uint16)
    h, b, (x, y) = patterns.view(np.float16), patterns.view(BFLOAT16), np.zeros((2, 65536), f32)
    module.get_function("widen")((1,), (128,), (h, b, x, y, i32(65536)))
    np.testing.assert_array_equal(x, h.astype(f32))
    np.testing.assert_array_equal(y, b.astype(f32))
    # Every pattern's float, and floats between two of them: ties and their neighbours.
    with np.errstate(over="ignore", invalid="ignore"):
        tie = x * f32(1 + 2**-11)
        between = np.concatenate([x, y, tie, tie * f32(1 + 2**-23), y * f32(1 + 2**-8)])
    between = between[(np.abs(between) >= 2.0**-126) | (between == 0)]  # tinier ones count as zero on the GPU too
    r, s = np.zeros(between.size, np.float16), np.zeros(between.size, BFLOAT16)
    module.get_function("narrow")((1,), (128,), (between, r, s, i32(between.size)))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(r, between.astype(np.float16))
        np.testing.assert_array_equal(s.astype(f32), between.astype(BFLOAT16).astype(f32))


def test_more_memory_than_32_bits_can_count() -> None:
    x = np.zeros((1 << 32) + 10, np.uint8)  # touched at four places only
    kernel("shapes", "mark", name_expressions=("gather<4>",))((1,), (32,), (x, i64((1 << 30) + 1), i32(4)))
    assert x[: 3 * (1 << 30) + 4 : (1 << 30) + 1].tolist() == [1, 1, 1, 1]
    assert x[3] == 0


def test_blocks_on_several_cpu_threads() -> None:
    x = drawn(300, 257)
    kernel("reduce", "row_sum", defines={"TYPE": "float"})  # 300 blocks of 128 threads: enough for all CPU threads
    np.testing.assert_allclose(row_sum(x), x.astype(np.float64).sum(1), rtol=1e-4, atol=1e-4)
    values = np.random.default_rng(0).integers(0, 256, 200_000).astype(np.uint8)
    counts = np.zeros(256, i32)
    args = values, counts, i64(values.size), i32(256)
    kernel("histogram", "histogram")((64,), (512,), args, shared_mem=1024)
    assert np.array_equal(counts, np.bincount(values, minlength=256))


def test_launches_from_several_python_threads() -> None:
    expected = [drawn(40, 300, seed=seed).astype(np.float64).sum(1) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda seed: row_sum(drawn(40, 300, seed=seed)), range(8)))
    np.testing.assert_allclose(results, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_empty_arrays(mode: str) -> None:
    with emulator.using(mode=mode):
        assert row_sum(np.zeros((3, 0), f32)).tolist() == [0, 0, 0]


def test_flushes_tiny_numbers_to_zero_as_cupy_compiles() -> None:
    text = 'extern "C" __global__ void scale(float* x) { x[threadIdx.x] *= 0.5f; }'
    x = np.array([2.0**-126, 1e-40, 2.0**-125], f32)
    emulator.Module(text=text).get_function("scale")((1,), (3,), (x,))
    assert x.tolist() == [0, 0, 2.0**-126]
    assert np.float32(2.0**-126) * np.float32(0.5) != 0  # and the switch is back where it was


# ---- what a launch refuses ----

SCALE = """
extern "C" __global__ void __launch_bounds__(64) scale(const float* x, float* y, int n, float factor, long long skip) {
    extern __shared__ float unused[];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = factor * x[i];
}
__global__ void not_exported(float* x) { x[0] = 1; }
"""


def scale(**changes: Any) -> Array:
    module = emulator.Module(text=SCALE, name="scale.cu")
    x, y = drawn(10), np.zeros(10, f32)
    given: dict[str, Any] = {"x": x, "y": y, "n": i32(10), "factor": f32(2), "skip": 0}
    launch: dict[str, Any] = {"grid": (1,), "block": (32,), "shared_mem": 0}
    unknown = {k: v for k, v in changes.items() if k in launch}
    given |= {k: v for k, v in changes.items() if k not in launch}
    launch |= unknown
    function = module.get_function("scale")
    function(launch["grid"], launch["block"], list(given.values()), shared_mem=launch["shared_mem"])
    return given["y"]


def test_python_numbers_are_64_bit_as_for_cupy() -> None:
    assert np.array_equal(scale(skip=3), 2 * drawn(10))
    with pytest.raises(DTypeError, match=r"scale: argument 2 \(n\) is int32, got a Python int.*int64.*np\.int32"):
        scale(n=10)
    with pytest.raises(DTypeError, match=r"argument 3 \(factor\) is float32, got a Python float.*float64.*np\.float32"):
        scale(factor=2.0)
    with pytest.raises(DTypeError, match=r"argument 4 \(skip\).*does not fit"):
        scale(skip=1 << 70)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": drawn(10).astype(np.float64)}, DTypeError, r"argument 0 \(x\) must be a float32 array, got float64"),
        ({"x": [1.0]}, DTypeError, r"argument 0 \(x\) must be a float32 array.*got list"),
        ({"x": drawn(20)[::2]}, ArgumentError, r"argument 0 \(x\) must be C-contiguous"),
        ({"x": drawn(10).astype(">f4")}, DTypeError, r"argument 0 \(x\) must be a float32 array, got >f4"),
        ({"n": i64(10)}, DTypeError, r"argument 2 \(n\) must be int32, got int64"),
        ({"n": np.array(10, i32)}, DTypeError, r"argument 2 \(n\) must be a NumPy scalar"),
        ({"more": i32(1)}, ArgumentError, "5 parameters, got 6 arguments"),
        ({"block": (65,)}, ArgumentError, r"has 65 threads; its __launch_bounds__ allow 64"),
        ({"block": (1, 1, 65)}, ArgumentError, "block must lie between"),
        ({"grid": (0,)}, ArgumentError, "grid must lie between"),
        ({"grid": (1, 65536)}, ArgumentError, "grid must lie between"),
        ({"grid": 1}, DTypeError, "grid must be a tuple of one to three integers"),
        ({"grid": (1.0,)}, DTypeError, "grid must be a tuple of one to three integers"),
        ({"grid": (1, 1, 1, 1)}, DTypeError, "grid must be a tuple of one to three integers"),
        ({"shared_mem": 49153}, ArgumentError, "max_dynamic_shared_size_bytes"),
        ({"shared_mem": -1}, ArgumentError, "shared_mem must be 0 to"),
    ],
)
def test_launches_that_are_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        scale(**changes)


def test_a_read_only_array_is_for_const_pointers() -> None:
    x = drawn(10)
    x.flags.writeable = False
    assert np.array_equal(scale(x=x), 2 * x)
    with pytest.raises(ArgumentError, match=r"argument 1 \(y\) is read-only"):
        scale(y=x)


def test_more_shared_memory_must_be_asked_for() -> None:
    text = """
    extern "C" __global__ void last(float* y, int n) {
        extern __shared__ __align__(16) float s[];
        for (int i = threadIdx.x; i < n; i += blockDim.x) s[i] = i;
        __syncthreads();
        y[threadIdx.x] = s[n - 1 - threadIdx.x];
    }"""
    function = emulator.Module(text=text).get_function("last")
    n, y = (200 << 10) // 4, np.zeros(32, f32)
    with pytest.raises(ArgumentError, match="max_dynamic_shared_size_bytes"):
        function((1,), (32,), (y, i32(n)), shared_mem=4 * n)
    function.max_dynamic_shared_size_bytes = 4 * n
    for mode in MODES:
        with emulator.using(mode=mode):
            function((1,), (32,), (y, i32(n)), shared_mem=4 * n)
        assert np.array_equal(y, n - 1 - np.arange(32))
    function.max_dynamic_shared_size_bytes = 1 << 20
    with pytest.raises(ArgumentError, match="232448"):
        function((1,), (32,), (y, i32(n)), shared_mem=(227 << 10) + 1)


def test_modules_that_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*missing\.cu"):
        emulator.Module(tmp_path / "missing.cu")
    with pytest.raises(DataError, match=r"kernel\.cu:2 includes 'missing\.cuh'"):
        emulator.Module(text='// first\n#include "missing.cuh"\n')
    with pytest.raises(ArgumentError, match="no extern \"C\" __global__ function 'not_exported'; there are: scale"):
        emulator.Module(text=SCALE).get_function("not_exported")
    with pytest.raises(ArgumentError, match="names no __global__ function"):
        emulator.Module(text=SCALE, name_expressions=["missing<1>"])
    with pytest.raises(ArgumentError, match="NVRTC uses T"):
        emulator.Module(text=SCALE, defines={"T": "float"})
    with pytest.raises(ArgumentError, match="mode must be one of fast, debug, trace, got 'slow'"):
        emulator.Module(text=SCALE, mode="slow")
    with pytest.raises(ArgumentError, match="either the paths"):
        emulator.Module()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("y[0] = undeclared;", r"broken\.cu:3:.*'undeclared' was not declared"),
        ("uint32_t i = 0; y[i] = 0;", "uint32_t"),  # NVRTC has no <cstdint> either
        ("y[0] = INFINITY;", "INFINITY"),
        ("y[0] = std::max(1, 2);", "std"),
    ],
)
def test_what_nvrtc_refuses_does_not_compile_here(line: str, message: str) -> None:
    text = f'\nextern "C" __global__ void broken(float* y) {{\n{line}\n}}'
    with pytest.raises(emulator.KernelError, match=message):
        emulator.Module(text=text, name="broken.cu").get_function("broken")((1,), (1,), (drawn(1),))


@pytest.mark.parametrize("mode", MODES)
def test_every_function_compiles(mode: str) -> None:
    assert emulator.Module(CUDA / "intrinsics.cu").library(mode).kernels.keys() == {"many"}


def test_host_headers_are_not_found() -> None:
    text = '#include <cstdint>\nextern "C" __global__ void k(float* y) { y[0] = 1; }'
    with pytest.raises(emulator.KernelError, match="cstdint"):
        emulator.Module(text=text).get_function("k")((1,), (1,), (drawn(1),))


def test_settings_are_checked_and_put_back() -> None:
    with pytest.raises(ArgumentError, match="no setting 'speed'"), emulator.using(speed=1):
        pass
    with pytest.raises(ArgumentError, match="order must be one of"), emulator.using(order="sideways"):
        pass
    with pytest.raises(ZeroDivisionError), emulator.using(mode="trace"):
        raise ZeroDivisionError
    with emulator.using() as settings:
        assert settings.mode == "fast"


def test_launches_are_recorded() -> None:
    with emulator.record() as launches:
        row_sum(drawn(3, 8), 64)
        with emulator.record() as inner:
            transpose(drawn(40, 40))
    row_sum(drawn(3, 8), 64)
    assert inner == [("transpose", (2, 2, 1), (32, 8, 1), 0)]
    assert launches == [("row_sum", (3, 1, 1), (64, 1, 1), 0), *inner]


def test_emulated_arrays() -> None:
    x = drawn(3, 8).view(emulator.EmulatedArray)
    assert type(x + 1) is type(x[1:].reshape(-1)) is type(x.copy()) is emulator.EmulatedArray
    assert type(np.asarray(x)) is np.ndarray
    assert np.shares_memory(np.asarray(x), x)
    with emulator.using(mode="trace"):
        np.testing.assert_allclose(np.asarray(row_sum(x)), np.asarray(x).sum(1), rtol=1e-5)


# ---- compiling ----


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    build.compiler.cache_clear()
    try:
        with pytest.raises(DeviceError, match=r"no g\+\+ on the PATH.*apt install g\+\+"):
            emulator.Module(text=SCALE + "// new").get_function("scale")((1,), (1,), (drawn(1),))
    finally:
        build.compiler.cache_clear()


def test_compiled_kernels_are_kept_and_edits_noticed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "emulator").mkdir()
    shutil.copy(build.build_runtime(), tmp_path / "emulator")  # it takes seconds to compile
    monkeypatch.setenv("TINYSEG_CACHE", str(tmp_path))
    source, header = tmp_path / "k.cu", tmp_path / "value.cuh"
    source.write_text('#include "value.cuh"\nextern "C" __global__ void k(float* y) { y[0] = VALUE; }')

    def value(**options: Any) -> tuple[float, int]:
        y = np.zeros(1, f32)
        emulator.Module(source, **options).get_function("k")((1,), (1,), (y,))
        return float(y[0]), len(list((tmp_path / "emulator").glob("fast-*.so")))

    header.write_text("#define VALUE 1 + OTHER")
    assert value(defines={"OTHER": 0}) == (1, 1)
    assert value(defines={"OTHER": 0}) == (1, 1)
    assert value(defines={"OTHER": 5}) == (6, 2)
    header.write_text("#define VALUE 2 + OTHER")
    assert value(defines={"OTHER": 0}) == (2, 3)
    assert not list((tmp_path / "emulator").glob("building-*"))


TWICE = """
import sys, numpy as np
from tinyseg.kernels import emulator
y = np.zeros(1, np.float32)
text = 'extern "C" __global__ void k(float* y) { y[0] = 3; }'
sys.stdin.readline()  # all start at once
emulator.Module(text=text).get_function("k")((1,), (1,), (y,))
print(y[0])
"""


def test_processes_that_compile_the_same_at_once(tmp_path: pathlib.Path) -> None:
    (tmp_path / "emulator").mkdir()
    shutil.copy(build.build_runtime(), tmp_path / "emulator")  # half the time; it is built by the same lines
    environment = {**os.environ, "TINYSEG_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", TWICE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    root = CUDA.parents[1]
    running = [subprocess.Popen(command, env=environment, cwd=root, **pipes) for _ in range(2)]
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        out, err = process.communicate(timeout=120)
        assert (out, err, process.returncode) == ("3.0\n", "", 0)
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / "emulator").iterdir())
    assert kept == ["fast", "runtime"]
