"""The launchers through CuPy, its driver stubbed: the same launches, arguments and bits as through the emulator."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

cupy = pytest.importorskip("cupy", exc_type=ImportError)
if cupy.cuda.is_available():
    pytest.skip("a GPU is here: the launches are real", allow_module_level=True)

from cupy.cuda import compiler  # noqa: E402

from tests.cupy_on_host import as_numpy, cupy_on_host, to_host_cupy  # noqa: E402
from tests.kernels_cuda import KERNEL_NAMES, drawn, names  # noqa: E402
from tinyseg import kernels  # noqa: E402
from tinyseg.kernels import (  # noqa: E402
    attention,
    conv2d,
    elementwise,
    emulator,
    im2col,
    matmul,
    norm,
    nvrtc,
    pad,
    pool,
    resize,
    scatter,
    softmax,
)
from tinyseg.kernels.conv2d import ConvGeometry  # noqa: E402
from tinyseg.kernels.emulated import emulated  # noqa: E402
from tinyseg.kernels.launch import kernel, options, scalar  # noqa: E402
from tinyseg.kernels.pool import PoolGeometry  # noqa: E402
from tinyseg.kernels.source import KERNELS, read_source  # noqa: E402


@pytest.mark.parametrize(
    ("path", "architecture"), [("im2col/im2col.cu", "75"), ("elementwise/select.cu", "90"), ("conv2d/layout.cu", "90")]
)
def test_nvrtc_is_given_what_cupy_gives_it(path, architecture, monkeypatch, tmp_path):
    """CuPy's own way from RawModule to NVRTC, but for the question which GPU is here and for loading the result."""
    source = read_source(KERNELS / path)
    variant = source.variants[0]
    given = []

    class Loaded:
        def load(self, cubin):
            self.cubin = cubin

        def _set_mapping(self, mapping):
            pass

    class Nvrtc:
        """CuPy's module, the options noted."""

        def __getattr__(self, name):
            return getattr(nvrtc_, name)

        def compileProgram(self, program, flags):
            given.append(tuple(flags))
            return nvrtc_.compileProgram(program, flags)

    nvrtc_ = compiler.nvrtc
    monkeypatch.setattr(compiler, "_kernel_cache_backend", compiler._DiskKernelCacheBackend(str(tmp_path)))
    monkeypatch.setattr(compiler, "nvrtc", Nvrtc())
    monkeypatch.setattr(compiler.function, "Module", Loaded)
    monkeypatch.setattr(compiler, "_get_arch_for_options_for_nvrtc", lambda arch=None: (f"-arch=sm_{arch}", "cubin"))
    nvrtc.loaded()  # and its part, which CuPy's loader asks the system for
    module = compiler._compile_module_with_cache(source.text, options(variant.defines), arch=architecture)
    assert module.cubin[:4] == b"\x7fELF"
    wanted = {*options(variant.defines), *nvrtc.CUPY_OPTIONS, f"-arch=sm_{architecture}"}
    assert {flag for flag in given[-1] if not flag.startswith(("-I", "--pch"))} == wanted


class Call(NamedTuple):
    """A call, the kernels that it launches in the order in which they first run, and settings of `kernels.use`."""

    launches: str
    function: Callable
    args: tuple
    chosen: dict


def call(launches, function, *args, **chosen):
    return Call(launches, function, args, chosen)


def updated(update, states, **settings):
    """A call of an optimiser's update, which writes its arguments."""
    name = update.__name__.removesuffix("_update")
    return call(name, functools.partial(update, **settings), *(abs(drawn((5, 7), seed=seed)) for seed in range(states)))


X, W, GY = drawn((2, 4, 9, 11)), drawn((6, 4, 3, 3), seed=1), drawn((2, 6, 9, 11), seed=2)
SAME = ConvGeometry((1, 1), ((1, 1), (1, 1)))
TWICE = resize.bilinear_taps(9, 18, False), resize.bilinear_taps(11, 22, False)
COLUMNS, PLANES, WIDE, C = drawn((3, 4, 5)), drawn((3, 4, 100)), drawn((2, 3, 4, 70)), drawn(4, seed=3)
STATISTICS, PARAMETERS = abs(drawn((2, 3))), drawn((3, 4))
ROW, TARGET, ONES = drawn((3, 5, 1)), np.array([[0], [4], [2]]), np.ones(5, np.float32)
Q, TOP, TOTAL = drawn((2, 5, 8)), drawn((2, 5)), np.full((2, 5), 9, np.float32)
PLACES, INDEX = np.arange(72).reshape(2, 4, 3, 3) % 20, np.arange(70) % 5
MAXIMA = np.array([[[[0, 3, 4], [6, 8, 9]]]])
GEMM, GEMMS = "cublasGemmEx", "cublasGemmStridedBatchedEx"
DIRECTIONS = (
    (conv2d.forward, (X, W, SAME)),
    (conv2d.grad_input, (GY, W, SAME, (9, 11))),
    (conv2d.grad_weight, (X, GY, SAME, (3, 3))),
)
CONVOLUTIONS = {  # forward, gradient of the input, of the weight
    "direct": ("direct_forward", "direct_grad_input", "direct_grad_weight sum_of_parts"),
    "im2col": (f"im2col {GEMMS}", f"{GEMMS} col2im", f"im2col {GEMMS}"),
    "implicit": ("implicit_pack implicit", "implicit_pack implicit", "implicit_weight sum_of_parts"),
    "tensor": ("channels_last tensor", "channels_last tensor", "channels_last tensor_weight sum_of_turned_parts"),
    "winograd4x4": (
        "values_of_windows values_of_tiles product pixels_of_values",
        "values_of_windows values_of_tiles product pixels_of_values",
        "values_of_tiles values_of_pixels product_of_rows windows_of_values",
    ),
}
CALLS = [
    call("softmax", softmax.softmax, drawn((7, 300, 1))),
    call("softmax", softmax.log_softmax, drawn((2, 5, 70))),
    call("softmax_grad", softmax.softmax_grad, drawn((3, 40, 1)), drawn((3, 40, 1), seed=1)),
    call("cross_entropy", softmax.cross_entropy, ROW, TARGET, ONES),
    call("cross_entropy_grad", softmax.cross_entropy_grad, drawn((3, 1)), ROW, drawn((3, 1), seed=1), TARGET, ONES),
    call("im2col", im2col.im2col, X, (3, 3), SAME),
    call("col2im", im2col.col2im, drawn((2, 36, 99)), (3, 3), SAME, (9, 11)),
    call("max_2x2", pool.max_forward, X, PoolGeometry((2, 2), (2, 2))),
    call("max_3x3", pool.max_forward, X, PoolGeometry((3, 3), (2, 2))),
    call("max_any", pool.max_forward, X, PoolGeometry((2, 3), (2, 2))),
    call("resize", pool.avg_forward, X, PoolGeometry((3, 3), (2, 2), (1, 1))),
    call("resize_wide", pool.avg_forward, drawn((2, 1, 7000)), PoolGeometry((1, 7000), (1, 1))),
    call("gather", pool.gather, drawn((2, 4, 4, 5)), PLACES),
    call("extents scatter", pool.scatter, drawn((2, 4, 3, 3)), PLACES, (4, 5)),
    call("adjoint_2x2", pool.scatter, drawn((1, 1, 2, 3)), MAXIMA, (4, 6), PoolGeometry((2, 2), (2, 2))),
    call("adjoint_apart", pool.scatter, drawn((1, 1, 2, 3)), MAXIMA, (4, 6), (2, 3)),
    call("adjoint_pairs", pool.scatter, drawn((1, 1, 2, 3)), MAXIMA, (4, 6), PoolGeometry((3, 3), (2, 2), (1, 1))),
    call("adjoint_any", pool.scatter, drawn((1, 1, 2, 3)), MAXIMA, (4, 5), PoolGeometry((3, 3), (1, 1))),
    call("response_5", norm.response_norm, COLUMNS, 5, 1.0, 0.75, 1.0),
    call("response_any", norm.response_norm, COLUMNS, 3, 1.0, 0.75, 1.0),
    call("response_grad_5", norm.response_norm_grad, COLUMNS, COLUMNS + 1, 5, 1.0, 0.75, 1.0),
    call("response_terms response_grad_any", norm.response_norm_grad, COLUMNS, COLUMNS + 1, 4, 1.0, 0.75, 1.0),
    call("resize", resize.resize, X, *TWICE),
    call("resize", resize.adjoint, drawn((2, 18, 22)), *TWICE),
    call("pick", resize.resize, X, resize.nearest_taps(9, 20), resize.nearest_taps(11, 5)),
    call("pick", pad.pad, X, ((0, 0), (0, 0), (1, 2), (2, 1)), "reflect", 0.0),
    call("resize", pad.adjoint, X, ((0, 0), (0, 0), (1, 2), (2, 1)), "reflect"),
    call("plane_moments finish_moments", norm.moments, PLANES, 1e-5),
    call("column_moments finish_moments", norm.moments, COLUMNS, 1e-5),
    call("normalize", norm.normalize, COLUMNS, C, C, C, C),
    call("plane_sums finish_sums grad_input", norm.grad, PLANES, PLANES + 1, C, C, C, C),
    call("column_sums finish_sums grad_input", norm.grad, COLUMNS, COLUMNS + 1, C, C, C, C),
    call("normalize column_sums finish_sums", norm.grad_eval, COLUMNS, COLUMNS + 1, C, C, C),
    call("group_norm", norm.group_norm, WIDE, PARAMETERS, PARAMETERS, 1e-5),
    call("group_norm_grad finish_sums", norm.group_norm_grad, *[WIDE[..., :9]] * 2, *[STATISTICS] * 2, PARAMETERS),
    call(
        "plane_sums group_means grad_input finish_sums", norm.group_norm_grad, WIDE, WIDE, *[STATISTICS] * 2, PARAMETERS
    ),
    call("flash", attention.forward, Q, Q, Q, 0.5, True),
    call("flash_grad_queries flash_grad_keys", attention.grad, Q, Q, Q, Q, TOP, TOTAL, 0.5, False),
    call(f"{GEMMS} shares", attention.forward, Q, Q, Q, 0.5, True, attention="composed"),
    call(f"{GEMMS} shares_grad", attention.grad, Q, Q, Q, Q, TOP, TOTAL, 0.5, False, attention="composed"),
    call(GEMM, matmul.matmul, drawn((5, 8)), drawn((8, 3))),
    call(GEMMS, matmul.matmul, Q, drawn((2, 5, 8)).swapaxes(1, 2)),
    call("activate", elementwise.activate, "silu", X),
    call("activate_grad", elementwise.activate_grad, "gelu", X, X + 1),
    call("curve", elementwise.activate, "hardtanh", X, -1.0, 1.0),
    call("curve_grad", elementwise.activate_grad, "elu", X, X + 1, 1.0, 1.0, 1.0),
    call("loss", elementwise.loss, "huber", X, X + 1, 1.0, 1.0),
    call("loss_grad", elementwise.loss_grad, "logistic", X, X, X + 1),
    call("loss_sums total", elementwise.loss_sum, "square", X, X + 1),
    call("glu", elementwise.glu, drawn((3, 2, 5))),
    call("glu_grad", elementwise.glu_grad, drawn((3, 5)), drawn((3, 2, 5))),
    call("scale", elementwise.scale, X, drawn((2, 4, 1, 1))),
    call("select", elementwise.select, X > 0, X, X + 1),
    updated(elementwise.sgd_update, 3, lr=0.1, momentum=0.9),
    updated(elementwise.adam_update, 4, lr=0.1, step=2),
    updated(elementwise.rmsprop_update, 4, lr=0.1, momentum=0.9),
    call("pieces joins", scatter.add_slices, drawn((2, 70, 3)), INDEX, 5),
    call("pieces", scatter.add_at, drawn((3, 5)), (INDEX[:3],), (6, 5)),
    call("put", scatter.put_at, drawn((6, 5)), (INDEX, INDEX), drawn(70, seed=1)),
    call("depthwise", conv2d.forward, X, drawn((4, 1, 3, 3)), SAME._replace(groups=4)),
    *(
        call(launches, function, *args, conv2d=version, allow_tf32=version == "tensor")
        for version, by_direction in CONVOLUTIONS.items()
        for launches, (function, args) in zip(by_direction, DIRECTIONS, strict=True)
    ),
]


def carried(to_device, value):
    """Arrays moved, also those of an index."""
    if isinstance(value, np.ndarray):
        return to_device(value)
    return tuple(carried(to_device, v) for v in value) if type(value) is tuple else value


def test_every_kernel_goes_through_cupy():
    called = {name for c in CALLS for name in c.launches.split() if not name.startswith("cublas")}
    assert called == KERNEL_NAMES


@pytest.mark.parametrize("called", CALLS, ids=lambda c: f"{c.launches}, {getattr(c.function, '__name__', 'update')}")
def test_the_same_launches_and_bits_as_emulated(called, monkeypatch):
    with kernels.use(**called.chosen):
        given = carried(emulated, called.args)
        with emulator.record() as expected:
            results = called.function(*given)
        with cupy_on_host(monkeypatch), emulator.record() as launches:
            given_cupy = carried(to_host_cupy, called.args)
            results_cupy = called.function(*given_cupy)
    assert list(dict.fromkeys(names(launches))) == called.launches.split()
    assert launches == expected
    for y, z in zip(arrays_of((given, results)), arrays_of((given_cupy, results_cupy)), strict=True):
        assert isinstance(z, cupy.ndarray)
        np.testing.assert_array_equal(as_numpy(z), np.asarray(y))


def arrays_of(value):
    """Every array in nested tuples: also the arguments, of which an update has made its results."""
    return [a for v in value for a in arrays_of(v)] if type(value) is tuple else [value] * hasattr(value, "dtype")


def test_half_types_and_float64_go_by_their_own_types(monkeypatch):
    import ml_dtypes

    for dtype in (np.float16, ml_dtypes.bfloat16, np.float64):
        x = drawn((3, 40, 1), dtype)
        expected = np.asarray(softmax.softmax(emulated(x)))
        with cupy_on_host(monkeypatch):
            y = softmax.softmax(to_host_cupy(x))
            assert as_numpy(y).tobytes() == expected.tobytes()


def test_a_launch_above_48_kb_asks_for_it(monkeypatch, tmp_path):
    text = "// nvrtc: TYPE=float\n// budget: 32 threads, 16 registers, 0 + 65536 bytes\n"
    text += 'extern "C" __global__ void __launch_bounds__(32) f(TYPE* y) { extern __shared__ float s[]; '
    text += "s[threadIdx.x + 12300] = threadIdx.x; __syncthreads(); y[threadIdx.x] = s[12331 - threadIdx.x]; }\n"
    (tmp_path / "f.cu").write_text(text)
    monkeypatch.setattr("tinyseg.kernels.launch.KERNELS", tmp_path)
    with cupy_on_host(monkeypatch):
        y = to_host_cupy(np.zeros(32, np.float32))
        kernel("f.cu", "f", y)((1,), (32,), (y,), shared_mem=50000)
        assert as_numpy(y).tolist() == list(range(31, -1, -1))


def test_scalars_have_the_types_that_kernels_declare():
    assert [scalar(v).dtype for v in (True, 3, 0.5, np.int64(3), np.float64(1))] == [
        np.bool_, np.int32, np.float32, np.int64, np.float64,
    ]  # fmt: skip
    with pytest.raises(OverflowError):
        scalar(2**31)
    struct = scalar((1, 0.5, np.int64(7), True))
    assert struct.shape == ()
    assert struct.dtype.itemsize == 24  # aligned as C does it: int, float, long long, bool
    assert [struct.dtype.fields[f"m{i}"][1] for i in range(4)] == [0, 4, 8, 16]
    assert scalar(None) is None
