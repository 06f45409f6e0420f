"""The launchers through CuPy, its driver stubbed: the same launches, arguments and bits as through the emulator."""

from __future__ import annotations

import numpy as np
import pytest

cupy = pytest.importorskip("cupy", exc_type=ImportError)
if cupy.cuda.is_available():
    pytest.skip("a GPU is here: the launches are real", allow_module_level=True)

from cupy.cuda import compiler  # noqa: E402

from tests.cupy_on_host import as_numpy, cupy_on_host, to_host_cupy  # noqa: E402
from tinyseg.kernels import (  # noqa: E402
    attention,
    conv2d,
    elementwise,
    emulator,
    im2col,
    norm,
    nvrtc,
    pad,
    pool,
    resize,
    softmax,
)
from tinyseg.kernels.conv2d import ConvGeometry  # noqa: E402
from tinyseg.kernels.emulated import emulated  # noqa: E402
from tinyseg.kernels.launch import kernel, options, scalar  # noqa: E402
from tinyseg.kernels.pool import PoolGeometry  # noqa: E402
from tinyseg.kernels.source import KERNELS, read_source  # noqa: E402

SOURCES = sorted(str(path.relative_to(KERNELS)) for path in KERNELS.glob("*/*.cu"))


@pytest.mark.parametrize("architecture", ["75", "90"])
@pytest.mark.parametrize("path", SOURCES[:: len(SOURCES) // 4])
def test_nvrtc_is_given_what_cupy_gives_it(path, architecture, monkeypatch, tmp_path):
    """CuPy's own way from RawModule to NVRTC, but for the question which GPU is here and for loading the result."""
    source = read_source(KERNELS / path)
    variant = source.variants[0]
    if int(architecture) < variant.architecture:
        pytest.skip("this version needs a later architecture")
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


def drawn(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


X, W = drawn(2, 4, 9, 11), drawn(6, 4, 3, 3, seed=1)
PLANE = ConvGeometry((1, 1), ((1, 1), (1, 1)))
GY = drawn(2, 6, 9, 11, seed=2)
COLUMNS, PLANES, C = drawn(3, 4, 5), drawn(2, 3, 4, 20), drawn(4, seed=3)
PER_CHANNEL = drawn(3, 4)
Q, PLACES = drawn(2, 5, 8), np.arange(72).reshape(2, 4, 3, 3) % 20
CALLS = {
    "softmax": (softmax.softmax, (drawn(7, 300, 1),)),
    "softmax, planes": (softmax.softmax, (drawn(2, 5, 70),)),
    "softmax_grad": (softmax.softmax_grad, (drawn(3, 40, 1), drawn(3, 40, 1, seed=1))),
    "im2col": (im2col.im2col, (X, (3, 3), PLANE)),
    "col2im": (im2col.col2im, (drawn(2, 36, 99), (3, 3), PLANE, (9, 11))),
    "max_forward": (pool.max_forward, (X, PoolGeometry((2, 2), (2, 2)))),
    "avg_forward": (pool.avg_forward, (X, PoolGeometry((3, 3), (2, 2), (1, 1)))),
    "avg_adjoint": (pool.avg_adjoint, (drawn(2, 4, 5, 6), PoolGeometry((3, 3), (2, 2), (1, 1)), (9, 11))),
    "resize": (resize.resize, (X, resize.bilinear_taps(9, 18, False), resize.bilinear_taps(11, 22, False))),
    "silu": (lambda x: elementwise.activate("silu", x), (X,)),
    "cross_entropy": (softmax.cross_entropy, (drawn(3, 5, 1), np.array([[0], [4], [2]]), np.ones(5, np.float32))),
    "pad": (pad.pad, (X, ((0, 0), (0, 0), (1, 2), (2, 1)), "reflect", 0.0)),
    "max_forward, any window": (pool.max_forward, (X, PoolGeometry((2, 3), (2, 2)))),
    "scatter": (pool.scatter, (drawn(2, 4, 3, 3), PLACES, (4, 5))),
    "gather": (pool.gather, (drawn(2, 4, 4, 5), PLACES)),
    "moments, planes": (norm.moments, (drawn(3, 4, 100),)),
    "moments, columns": (norm.moments, (COLUMNS,)),
    "normalize": (norm.normalize, (COLUMNS, C, C, C, C)),
    "batch norm, gradient": (norm.grad, (COLUMNS, COLUMNS + 1, C, C, C, C)),
    "group_norm": (norm.group_norm, (PLANES, PER_CHANNEL, PER_CHANNEL, 1e-5)),
    "attention": (attention.forward, (Q, Q, Q, 0.5, True)),
    "attention, gradient": (attention.grad, (Q, Q, Q, Q, drawn(2, 5), np.full((2, 5), 9, np.float32), 0.5, False)),
    "huber": (lambda x, t: elementwise.loss("huber", x, t, 1.0, 1.0), (X, X + 1)),
    "square, sum": (lambda x, t: elementwise.loss_sum("square", x, t), (X, X + 1)),
    "glu": (elementwise.glu, (COLUMNS,)),
    "scale": (elementwise.scale, (X, drawn(2, 4, 1, 1))),
    "hardtanh": (lambda x: elementwise.activate("hardtanh", x, -1.0, 1.0), (X,)),
    "depthwise": (conv2d.forward, (X, drawn(4, 1, 3, 3), PLANE._replace(groups=4))),
    "gelu_grad": (lambda gy, x: elementwise.activate_grad("gelu", gy, x), (X, X + 1)),
    **{
        f"conv2d {direction}, {version}": (function, args, version)
        for version in ("direct", "implicit", "tensor", "winograd")
        for direction, function, args in (
            ("forward", conv2d.forward, (X, W, PLANE)),
            ("grad_input", conv2d.grad_input, (GY, W, PLANE, (9, 11))),
            ("grad_weight", conv2d.grad_weight, (X, GY, PLANE, (3, 3))),
        )
    },
}  # fmt: skip


def carried(to_device, value):
    return to_device(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("name", CALLS)
def test_the_same_launches_and_bits_as_emulated(name, monkeypatch):
    import tinyseg.kernels as kernels

    function, args, *version = CALLS[name]
    chosen = {"conv2d": version[0], "allow_tf32": version[0] == "tensor"} if version else {}
    with kernels.use(**chosen):
        with emulator.record() as expected:
            ys = function(*(carried(emulated, a) for a in args))
        with cupy_on_host(monkeypatch), emulator.record() as launches:
            zs = function(*(carried(to_host_cupy, a) for a in args))
    assert launches == expected
    assert launches
    for y, z in zip(*(t if isinstance(t, tuple) else (t,) for t in (ys, zs)), strict=True):
        assert isinstance(z, cupy.ndarray)
        np.testing.assert_array_equal(as_numpy(z), np.asarray(y))


def test_half_types_and_float64_go_by_their_own_types(monkeypatch):
    import ml_dtypes

    for dtype in (np.float16, ml_dtypes.bfloat16, np.float64):
        x = drawn(3, 40, 1, dtype=dtype)
        expected = np.asarray(softmax.softmax(emulated(x)))
        with cupy_on_host(monkeypatch):
            y = softmax.softmax(to_host_cupy(x))
            assert as_numpy(y).tobytes() == expected.tobytes()


def test_a_launch_above_48_kb_asks_for_it(monkeypatch, tmp_path):
    text = "// nvrtc: TYPE=float\n// budget: 32 threads, 16 registers, 65536 bytes\n"
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
