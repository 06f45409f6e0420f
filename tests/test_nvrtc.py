"""Every .cu file, by NVRTC for every architecture with the options that CuPy uses: no spills, within its budget."""

from __future__ import annotations

import pathlib
import struct

import pytest

from tests.kernels_cuda import SOURCES
from tinyseg.errors import ArgumentError, DeviceError
from tinyseg.kernels import emulator, nvrtc
from tinyseg.kernels.source import KERNELS, read_source

COMPILED = [architecture for architecture in nvrtc.ARCHITECTURES if architecture != 89]  # whose code is sm_86's


def architectures(path):
    """Those that some variant of the source is meant for, but for sm_89."""
    least = min(variant.architecture for variant in read_source(KERNELS / path).variants)
    return [architecture for architecture in COMPILED if architecture >= least]


@pytest.mark.parametrize("path", SOURCES)
def test_a_source_says_how_it_is_compiled_and_what_its_kernels_may_take(path):
    source = read_source(KERNELS / path)
    assert source.variants, "no line `// nvrtc: ...`"
    assert len(set(source.variants)) == len(source.variants)
    assert source.signatures
    for signature in source.signatures:
        assert signature.extern_c, f"{signature.name}: CuPy finds a kernel by its name, which C++ would mangle"
        assert signature.budget, f"{signature.name}: no line `// budget: ...` right above it"
        assert signature.bound, f"{signature.name}: no __launch_bounds__, so nothing holds its registers"


def test_a_kernel_has_its_name_alone():
    """It is by its name that tests of launches, profiles and reports tell one from another."""
    kernels = [signature.name for path in SOURCES for signature in read_source(KERNELS / path).signatures]
    assert len(kernels) == len(set(kernels)), sorted({name for name in kernels if kernels.count(name) > 1})


@pytest.mark.parametrize(("path", "architecture"), [(path, a) for path in SOURCES for a in architectures(path)])
def test_no_spills_and_within_the_budget(path, architecture):
    """Every variant."""
    source = read_source(KERNELS / path)
    budgets = {signature.name: signature.budget for signature in source.signatures}
    for variant in source.variants:
        macros = " ".join(map("=".join, variant.defines))
        if architecture < variant.architecture:
            continue
        cubin, taken = nvrtc.compile_source(source, variant.defines, architecture)
        assert cubin[:4] == b"\x7fELF"
        assert taken.keys() == budgets.keys()
        for name, resources in taken.items():
            what = f"{name} {macros}: {resources}"
            assert resources.spills == 0, what
            assert resources.registers <= budgets[name].registers, what
            assert resources.shared <= budgets[name].static, what  # the emulator holds launches to the rest
            assert nvrtc.occupancy(architecture, budgets[name].threads, resources.registers, budgets[name].shared) > 0


@pytest.mark.parametrize("path", SOURCES)
def test_the_code_for_sm_89_is_that_for_sm_86(path):
    """The first and the last variant of each source, float and bfloat16, stand for all, which are compiled once."""
    source = read_source(KERNELS / path)
    for variant in {source.variants[0], source.variants[-1]}:
        of_86, of_89 = (nvrtc.compile_source(source, variant.defines, architecture) for architecture in (86, 89))
        assert machine_code(of_89[0]) == machine_code(of_86[0])
        assert of_89[1] == of_86[1]


def machine_code(cubin):
    """{kernel: instructions} of an ELF file, from its sections .text.<kernel>."""
    (start,), (count, names) = struct.unpack_from("<Q", cubin, 0x28), struct.unpack_from("<HH", cubin, 0x3C)
    sections = [struct.unpack_from("<IIQQQQ", cubin, start + 64 * i) for i in range(count)]  # name, ..., offset, size
    contents = {cubin[sections[names][4] + s[0] :].partition(b"\0")[0]: cubin[s[4] : s[4] + s[5]] for s in sections}
    code = {name: content for name, content in contents.items() if name.startswith(b".text.")}
    assert code
    return code


@pytest.mark.parametrize("path", SOURCES)
def test_budgets_are_not_generous(path):
    """Some variant takes the registers that a budget allows, but for the last few, and some variant all the bytes."""
    source = read_source(KERNELS / path)
    most, shared = ({signature.name: 0 for signature in source.signatures} for _ in range(2))
    for variant in source.variants:
        for architecture in COMPILED:
            if architecture < variant.architecture:
                continue
            for name, resources in nvrtc.compile_source(source, variant.defines, architecture)[1].items():
                most[name] = max(most[name], resources.registers)
                shared[name] = max(shared[name], resources.shared)
    for signature in source.signatures:
        assert signature.budget.registers <= most[signature.name] + 16, (signature.name, most[signature.name])
        assert signature.budget.static == shared[signature.name], (signature.name, shared[signature.name])


SPILLING = """
extern "C" __global__ void __launch_bounds__(1024, 2) spilling(const float* __restrict__ x, float* __restrict__ y) {
    float kept[80] = {};
    for (int k = 0; k < 100; ++k)
        #pragma unroll
        for (int i = 0; i < 80; ++i) kept[i] = kept[i] * x[k + i] + kept[(i + 1) % 80];
    #pragma unroll
    for (int i = 0; i < 80; ++i) y[i * 1024 + threadIdx.x] = kept[i];
}
"""


def test_a_spill_is_seen():
    _, taken = nvrtc.compile_source(read_source(text=SPILLING), (), 90)
    assert taken["spilling"].spills > 0
    assert taken["spilling"].registers <= 32


def test_what_does_not_compile_raises_with_the_compiler_s_words():
    with pytest.raises(DeviceError, match="undefined_thing"):
        nvrtc.compile_source(read_source(text='extern "C" __global__ void f() { undefined_thing(); }'), (), 80)


def test_static_shared_memory_is_counted():
    text = 'extern "C" __global__ void f(float* y) { __shared__ float s[300]; s[threadIdx.x] = 1; __syncthreads(); '
    text += "y[threadIdx.x] = s[299 - threadIdx.x]; }"
    assert nvrtc.compile_source(read_source(text=text), (), 86)[1]["f"].shared == 1200


@pytest.mark.parametrize(
    ("architecture", "threads", "registers", "shared", "expected"),
    [  # by hand from the table of compute capabilities: blocks per multiprocessor x threads / most threads
        (90, 256, 32, 0, 1.0),
        (90, 256, 64, 0, 0.5),  # 65536 / (64 x 256) = 4 blocks
        (90, 256, 128, 0, 0.25),
        (80, 256, 32, 48 << 10, 3 * 256 / 2048),  # 164 KB / 49 KB = 3 blocks
        (86, 128, 40, 0, 1536 / 1536),  # 12 blocks
        (75, 32, 16, 0, 16 * 32 / 1024),  # 16 blocks at most
        (90, 1024, 65, 0, 0.0),  # no block fits
        (89, 96, 72, 0, 27 / 48),  # 9 x 256 registers a warp: 28 warps, 9 blocks of 3
    ],
)
def test_occupancy(architecture, threads, registers, shared, expected):
    assert nvrtc.occupancy(architecture, threads, registers, shared) == pytest.approx(expected, abs=0.02)


def test_variants_and_budgets_are_read_from_comments():
    text = """// nvrtc: TYPE=float,double WIDE=0,1
// nvrtc: TYPE=float16; sm_80
// budget: 64 threads, 24 registers, 512 bytes
extern "C" __global__ void __launch_bounds__(64) first(float* y) {}
// budget: 32 threads, 16 registers, 512 + 4096 bytes
extern "C" __global__ void __launch_bounds__(32) second(float* y) {}
extern "C" __global__ void third(float* y) {}
"""
    source = read_source(text=text)
    assert [(dict(v.defines), v.architecture) for v in source.variants] == [
        ({"TYPE": "float", "WIDE": "0"}, 75),
        ({"TYPE": "float", "WIDE": "1"}, 75),
        ({"TYPE": "double", "WIDE": "0"}, 75),
        ({"TYPE": "double", "WIDE": "1"}, 75),
        ({"TYPE": "float16"}, 80),
    ]
    assert [s.budget for s in source.signatures] == [(64, 24, 512, 0), (32, 16, 512, 4096), None]
    assert [s.budget.shared for s in source.signatures[:2]] == [512, 4608]


def test_a_launch_outside_the_variants_or_the_budget_is_refused(tmp_path):
    text = "// nvrtc: TYPE=float\n// budget: 64 threads, 24 registers, 512 + 512 bytes\n"
    text += 'extern "C" __global__ void f(TYPE* y) { y[threadIdx.x] = 1; }\n'
    path: pathlib.Path = tmp_path / "f.cu"
    path.write_text(text)
    with pytest.raises(ArgumentError, match="TYPE=double"):
        emulator.Module(path, defines={"TYPE": "double"}, declared=True)
    kernel = emulator.Module(path, defines={"TYPE": "float"}, declared=True).get_function("f")
    y = emulator.EmulatedArray(128, "float32")
    for block, shared in ((128, 0), (32, 513)):
        with pytest.raises(ArgumentError, match="budget"):
            kernel((1,), (block,), (y,), shared_mem=shared)
    kernel((1,), (64,), (y,), shared_mem=512)
    assert (y[:64] == 1).all()


def test_what_is_compiled_once_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSEG_CACHE", str(tmp_path))
    source = read_source(text='extern "C" __global__ void kept(float* y) { y[threadIdx.x] = 3; }')
    first = nvrtc.compile_source(source, (), 80)
    monkeypatch.setattr(nvrtc, "_compiled", None)
    assert nvrtc.compile_source(source, (), 80) == first
    with pytest.raises(TypeError):
        nvrtc.compile_source(source, (("OTHER", "1"),), 80)


def test_a_profile_shows_what_a_kernel_takes():
    import tinyseg as ts

    x = ts.ones(4, 300, device="emulated")
    with ts.emulator.profile() as costs:
        ts.softmax(x, 1)
    uses = costs.uses()
    assert [u.architecture for u in uses] == list(nvrtc.ARCHITECTURES)
    for use in uses:
        assert use.kernel == "softmax"
        assert use.spills == 0
        assert use.occupancy == nvrtc.occupancy(use.architecture, use.threads, use.registers, use.shared)
    assert "sm_90" in str(costs)
    assert "per request" in str(costs)


def test_a_profile_keeps_the_types_of_a_kernel_apart():
    import tinyseg as ts

    with ts.emulator.profile() as costs:
        for dtype in (ts.float32, ts.float64):
            ts.softmax(ts.ones(2, 3, device="emulated", dtype=dtype), 1)
    assert [u.macros for u in costs.uses() if u.architecture == 90] == ["TYPE=float", "TYPE=double"]
    assert "TYPE=double" in str(costs)
