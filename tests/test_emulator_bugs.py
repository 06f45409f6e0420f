"""Bugs planted in CUDA kernels: each is found and its line named, and its clean twin passes without a report."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinyseg.kernels import emulator

i32, f32 = np.int32, np.float32


class Bug(NamedTuple):
    kind: str
    text: str  # ⟦right|wrong⟧ is what the clean twin and the buggy one have; `// here` is on the line to be named
    block: int = 64
    shared: int = 0
    message: str = ""
    modes: tuple[str, ...] = ("trace",)
    grid: int = 1


HEAD = '#include "ptx.cuh"\nextern "C" __global__ void k(const float* x, float* y, int n) {\n'
TAIL = "\n}\n"

SUM_IN_HALVES = """
    __shared__ float s[64];
    const int i = threadIdx.x;
    s[i] = x[i];
    __syncthreads();
    for (int half = 32; half > 0; half /= 2) {
        if (i < half) s[i] += s[i + half];  // here
        ⟦__syncthreads();|⟧
    }
    y[i] = s[0];
"""

WARP_SUM = """
    __shared__ float s[32];
    const int lane = threadIdx.x;
    s[lane] = x[lane];
    ⟦__syncwarp();|⟧
    y[lane] = s[31 - lane];  // here
    ⟦__syncwarp();|⟧
    s[lane] = 0;
"""

BUGS = {
    "read past the end": Bug(
        "out of bounds",
        "const int i = threadIdx.x;\ny[i] = x[⟦i|i + 1⟧];  // here",
        message=r"at byte 256 of argument 0 \(x\)",
        modes=("trace", "debug"),
    ),
    "read before the start": Bug(
        "out of bounds",
        "const int i = threadIdx.x;\ny[i] = x[⟦i|i - 1⟧];  // here",
        message=r"at byte -4 of argument 0 \(x\)",
    ),
    "write past the end": Bug(
        "out of bounds",
        "const int i = blockIdx.x * 64 + threadIdx.x;\n⟦if (i < n)|⟧ y[i + 0] = 1;  // here",
        block=96,
        message=r"at byte 256 of argument 1 \(y\)",
        modes=("trace", "debug"),
    ),
    "dynamic shared memory too small": Bug(
        "out of bounds",
        """extern __shared__ float s[];
        s[threadIdx.x + ⟦0|1⟧] = 1;  // here
        __syncthreads();
        y[threadIdx.x] = s[threadIdx.x + ⟦0|1⟧];""",
        shared=256,
        message="byte 256 of shared memory",
    ),
    "index outside a shared array": Bug(
        "undefined",
        """__shared__ float s[64], t[64];
        s[threadIdx.x] = t[threadIdx.x] = 1;
        __syncthreads();
        y[threadIdx.x] = s[threadIdx.x + ⟦0|1⟧];  // here""",
        message="an index is outside its array",
        modes=("trace", "debug"),
    ),
    "misaligned float4": Bug(
        "misaligned",
        """const int i = threadIdx.x;
        const float4 v = *reinterpret_cast<const float4*>(x + i * ⟦4|3⟧);  // here
        y[i] = v.x + v.y + v.z + v.w;""",
        block=16,
        message="not a multiple of its size",
    ),
    "barrier forgotten": Bug("race", SUM_IN_HALVES, message="race with bug.cu"),
    "barrier of the warp forgotten": Bug("race", WARP_SUM, block=32, message="race with bug.cu"),
    "every thread writes the same place": Bug(
        "race", "y[⟦threadIdx.x|0⟧] = x[threadIdx.x];  // here", message=r"argument 1 \(y\)"
    ),
    "sum without atomics": Bug("race", "⟦atomicAdd(y, x[threadIdx.x])|y[0] += x[threadIdx.x]⟧;  // here"),
    "blocks that write the same place": Bug("race", "y[⟦blockIdx.x|0⟧] = 1;  // here", block=1, grid=2),
    "blocks that read what others write": Bug(
        "race", "y[blockIdx.x] = y[⟦blockIdx.x|1 - blockIdx.x⟧] + 1;  // here", block=1, grid=2
    ),
    "a tile is overwritten while others read it": Bug(
        "race",
        """__shared__ float s[64];
        float sum = 0;
        for (int round = 0; round < 2; ++round) {
            s[threadIdx.x] = x[threadIdx.x] + round;  // here
            __syncthreads();
            sum += s[63 - threadIdx.x];
            ⟦__syncthreads();|⟧
        }
        y[threadIdx.x] = sum;""",
    ),
    "shared memory never written": Bug(
        "uninitialised",
        """__shared__ float s[64];
        ⟦|if (threadIdx.x < 60)⟧ s[threadIdx.x] = 1;
        __syncthreads();
        y[threadIdx.x] = s[threadIdx.x];  // here""",
        message="reads what nobody has written",
    ),
    "barrier in a branch": Bug(
        "diverged",
        """if (threadIdx.x < 32) {
            y[threadIdx.x] = 1;
            ⟦|__syncthreads();⟧
        } else {
            y[threadIdx.x] = 2;
            ⟦|__syncthreads();⟧  // here
        }
        __syncthreads();""",
        message="while others of their group are at bug.cu",
    ),
    "return before a barrier": Bug(
        "returned",
        "if (⟦threadIdx.x >= 64|threadIdx.x >= 40⟧) return;\n__syncthreads();  // here\ny[threadIdx.x] = 1;",
        message="24 threads of the block had returned",
    ),
    "a loop with a barrier that some leave early": Bug(
        "deadlock",
        """for (int i = 0; i < ⟦4|threadIdx.x % 2 + 1⟧; ++i) {
            __syncwarp();
            y[threadIdx.x] = i;
        }
        __syncthreads();  // here""",
        block=32,
        message="wait for ever: 16 wait in __syncthreads at bug.cu:.*16 wait in __syncwarp at bug.cu",
        modes=("fast", "debug", "trace"),
    ),
    "a shuffle in a branch": Bug(
        "failure",
        """float v = x[threadIdx.x];
        ⟦|if (threadIdx.x < 16) return;⟧
        y[threadIdx.x] = __shfl_xor_sync(0xffffffff, v, 1);  // here""",
        block=32,
        message="names lanes that have returned",
        modes=("fast", "debug", "trace"),
    ),
    "a mask without its own lane": Bug(
        "failure",
        "y[threadIdx.x] = __shfl_sync(⟦0xffffffff|0x0000ffff⟧, x[threadIdx.x], 0);  // here",
        block=32,
        message="does not name its own lane",
        modes=("fast", "debug", "trace"),
    ),
    "cp.async not waited for": Bug(
        "not waited for",
        """__shared__ __align__(16) float s[256];
        cp_async<16>(&s[4 * threadIdx.x], x + 4 * (threadIdx.x % 16));
        cp_async_commit();
        ⟦cp_async_wait<0>();|⟧
        y[threadIdx.x] = s[4 * threadIdx.x];  // here""",
        message="cp.async of bug.cu:4 has not been waited for",
    ),
    "cp.async waited for, without a barrier": Bug(
        "race",
        """__shared__ __align__(16) float s[256];
        cp_async<16>(&s[4 * threadIdx.x], x + 4 * (threadIdx.x % 16));
        cp_async_commit();
        cp_async_wait<0>();
        ⟦__syncthreads();|⟧
        y[threadIdx.x] = s[4 * (63 - threadIdx.x)];  // here""",
    ),
    "cp.async to an odd address": Bug(
        "failure",
        """__shared__ __align__(16) float s[512];
        cp_async<16>(&s[4 * threadIdx.x + ⟦0|1⟧], x);  // here
        cp_async_commit();
        cp_async_wait<0>();
        y[0 + threadIdx.x] = s[4 * threadIdx.x + ⟦0|1⟧];""",
        message="addresses must be multiples of its 16 bytes",
        modes=("fast", "debug", "trace"),
    ),
    "integer overflow": Bug(
        "undefined",
        "y[threadIdx.x] = (1 << 30) / n * ⟦1|n⟧ * ⟦1|4⟧ > 0;  // here",
        message="a signed product does not fit",
        modes=("debug", "trace"),
    ),
    "division by zero": Bug(
        "undefined",
        "y[threadIdx.x] = 100 / (n - ⟦1|64⟧);  // here",
        message="divided by zero",
        modes=("debug", "trace"),
    ),
    "a thread that never ends": Bug(
        "failure",
        "volatile int i = 1;\nwhile (⟦i++ < 9|i⟧) {}  // here\ny[threadIdx.x] = 1;",
        message="still running after 0.3 seconds",
        modes=("fast", "debug", "trace"),
    ),
    "warps that wait for ever": Bug(
        "failure",
        "volatile int i = 1;\nwhile (⟦i++ < 9|i⟧) __syncwarp();  // here\ny[threadIdx.x] = 1;",
        message="still running after 0.3 seconds",
    ),
    "recursion without an end": Bug(
        "failure",
        """
    auto f = [](auto f, int i) -> int { volatile int a[99] = {i}; return i > 3 ? 0 : f(f, i + ⟦1|0⟧) + a[0]; };  // here
        y[threadIdx.x] = f(f, 0);""",
        message="stack of 128 KB overflowed",
        modes=("fast", "debug"),
    ),
    "__trap": Bug(
        "failure",
        "if (n != ⟦64|65⟧) __trap();  // here\ny[threadIdx.x] = 1;",
        message="__trap",
        modes=("fast", "debug", "trace"),
    ),
}


def launch(bug: Bug, wrong: bool, mode: str) -> np.ndarray:
    text = HEAD + re.sub(r"⟦([^|⟧]*)\|([^⟧]*)⟧", lambda m: m[1 + wrong], bug.text) + TAIL
    x, y = np.arange(64, dtype=f32), np.zeros(64, f32)
    function = emulator.Module(text=text, name="bug.cu").get_function("k")
    with emulator.using(mode=mode, seconds=0.3):
        function((bug.grid,), (bug.block,), (x, y, i32(64)), shared_mem=bug.shared)
    assert np.array_equal(x, np.arange(64))
    return y


CASES = [pytest.param(name, mode, id=f"{name}-{mode}") for name, bug in BUGS.items() for mode in bug.modes]


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_planted_bug_is_found_and_its_clean_twin_passes(name: str, mode: str) -> None:
    bug = BUGS[name]
    launch(bug, False, mode)
    line = next(number for number, text in enumerate((HEAD + bug.text).splitlines(), 1) if "// here" in text)
    with pytest.raises(emulator.KernelError) as caught:
        launch(bug, True, mode)
    found = [(report.kind, report.place.file, report.place.line) for report in caught.value.reports]
    assert (bug.kind, "bug.cu", line) in found, str(caught.value)
    assert re.search(bug.message, str(caught.value))
    assert "block (" in str(caught.value) or bug.kind == "deadlock"


def test_a_launch_that_fails_leaves_the_arrays_alone_and_the_next_one_works() -> None:
    bug = BUGS["write past the end"]
    for mode in ("debug", "trace"):
        y = np.full(64, 7, f32)
        text = HEAD + "y[threadIdx.x] = 1;" + TAIL
        with emulator.using(mode=mode), pytest.raises(emulator.KernelError):
            emulator.Module(text=text).get_function("k")((1,), (96,), (y, y, i32(64)))
        assert (y == 7).all()
        assert launch(bug, False, mode).all()


@pytest.mark.parametrize("mode", ["fast", "debug", "trace"])
def test_a_null_pointer_is_an_error_of_the_kernel(mode: str) -> None:
    module, y = emulator.Module(text=HEAD + "y[threadIdx.x] = x[threadIdx.x];" + TAIL, name="n.cu"), np.zeros(64, f32)
    with emulator.using(mode=mode), pytest.raises(emulator.KernelError, match=r"n\.cu:3: .*memory of no argument"):
        module.get_function("k")((1,), (32,), (None, y, i32(64)))


def test_one_mistake_is_one_report() -> None:
    with pytest.raises(emulator.KernelError) as caught:
        launch(BUGS["every thread writes the same place"], True, "trace")
    (report,) = caught.value.reports
    assert str(report).endswith("(block (0, 0, 0), thread (1, 0, 0), 63 times)")


def test_locals_start_with_a_pattern_in_debug_mode() -> None:
    text = HEAD + "float v[4];\nif (n > 100) v[threadIdx.x % 4] = 1;\ny[threadIdx.x] = v[threadIdx.x % 4];" + TAIL
    y = np.zeros(64, f32)
    emulator.Module(text=text, mode="debug").get_function("k")((1,), (64,), (y, y, i32(64)))
    assert (y.view(np.uint32) == 0xFEFEFEFE).all()


def test_a_bug_in_a_function_names_its_line_and_the_caller() -> None:
    text = """
    __device__ __forceinline__ void store(float* p, float value) {
        *p = value;
    }
    extern "C" __global__ void k(float* y) {
        store(y + threadIdx.x, 1);
    }"""
    with (
        emulator.using(mode="trace"),
        pytest.raises(emulator.KernelError, match=r"f\.cu:3, called at f\.cu:6: access out"),
    ):
        emulator.Module(text=text, name="f.cu").get_function("k")((1,), (32,), (np.zeros(31, f32),))


def test_arrays_that_overlap_stay_together() -> None:
    """In debug and trace mode arrays are copied beside guard pages; y = x[1:] must still see x."""
    text = HEAD + "y[threadIdx.x] = x[threadIdx.x] + 1;" + TAIL
    module = emulator.Module(text=text)
    for mode in ("fast", "debug", "trace"):
        x = np.zeros(65, f32)
        with emulator.using(mode=mode):
            for _ in range(3):
                module.get_function("k")((1,), (1,), (x, x[1:], i32(64)))
                x[0] += 10
        assert x[:3].tolist() == [30, 21, 0]


def test_views_keep_their_alignment() -> None:
    text = HEAD + "*reinterpret_cast<float4*>(y) = make_float4(1, 2, 3, 4);" + TAIL
    module, y = emulator.Module(text=text, name="v.cu"), np.zeros(64, f32)
    with emulator.using(mode="trace"):
        module.get_function("k")((1,), (1,), (y, y[4:], i32(64)))
        assert y[4:8].tolist() == [1, 2, 3, 4]
        with pytest.raises(emulator.KernelError, match=r"v\.cu:3: the address of a wide access"):
            module.get_function("k")((1,), (1,), (y, y[1:], i32(64)))


# ---- what is right and looks like a race ----

INNOCENT = {
    "neighbouring halves": """__shared__ unsigned short s[64];
        s[threadIdx.x] = 1;
        __syncthreads();
        y[threadIdx.x] = s[threadIdx.x ^ 1];""",
    "neighbouring bytes, then words": """__shared__ __align__(4) unsigned char s[64];
        s[threadIdx.x] = threadIdx.x;
        __syncthreads();
        y[threadIdx.x] = reinterpret_cast<unsigned*>(s)[threadIdx.x / 4];""",
    "many readers of a warp, then one writer": """__shared__ float s[2];
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        if (lane == 0) s[warp] = 1;
        __syncwarp();
        y[threadIdx.x] = s[warp];
        __syncwarp();
        if (lane == 5) s[warp] = 2;
        __syncwarp();
        y[threadIdx.x] += s[warp];""",
    "half a warp": """__shared__ float s[64];
        const unsigned half = threadIdx.x % 32 < 16 ? 0x0000ffff : 0xffff0000;
        s[threadIdx.x] = 1;
        __syncwarp(half);
        y[threadIdx.x] = s[threadIdx.x ^ 15];""",
    "a barrier in a branch that all take": "if (n > 0) __syncthreads(); else __syncthreads();\ny[threadIdx.x] = 1;",
    "votes at barriers": """if (__syncthreads_count(threadIdx.x < 7) != 7) __trap();
        if (!__syncthreads_or(threadIdx.x == 7) || __syncthreads_and(threadIdx.x == 7)) __trap();
        const int votes = __all_sync(0xffffffff, n) + __any_sync(0xffffffff, 0);
        y[threadIdx.x] = votes + __reduce_add_sync(0xffffffff, 1) - 32;""",
    "shuffles of three kinds in groups": """const int lane = threadIdx.x % 32;
        if (__shfl_up_sync(0xffffffff, lane, 3, 8) != (lane % 8 < 3 ? lane : lane - 3)) __trap();
        if (__shfl_down_sync(0xffffffff, lane, 3, 8) != (lane % 8 > 4 ? lane : lane + 3)) __trap();
        if (__shfl_sync(0xffffffff, lane, 9, 8) != lane / 8 * 8 + 1) __trap();
        y[threadIdx.x] = 1;""",
}


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
@pytest.mark.parametrize("name", INNOCENT)
def test_what_is_right_passes(name: str, order: str) -> None:
    x, y = np.arange(64, dtype=f32), np.zeros(64, f32)
    for mode in ("fast", "debug", "trace"):
        with emulator.using(mode=mode, order=order):
            emulator.Module(text=HEAD + INNOCENT[name] + TAIL).get_function("k")((1,), (64,), (x, y, i32(64)))
        assert (y > 0).all()


# ---- what accesses cost ----


def profiled(text: str, block: int = 32) -> emulator.Profile:
    x, y = np.zeros(4096, f32), np.zeros(4096, f32)
    with emulator.profile() as costs:
        emulator.Module(text=HEAD + text + TAIL, name="p.cu").get_function("k")((1,), (block,), (x, y, i32(64)))
    return costs


@pytest.mark.parametrize(
    ("index", "sectors"),
    [("t", 4), ("t + 1", 5), ("2 * t", 8), ("8 * t", 32), ("0", 1), ("t / 2", 2), ("t ^ 1", 4), ("31 - t", 4)],
)
def test_sectors_of_a_request(index: str, sectors: int) -> None:
    costs = profiled(f"const int t = threadIdx.x;\ny[t] = x[{index}];")
    (load,), (store,) = costs.select(access="load"), costs.select(access="store")
    assert (load.place.line, load.memory, load.size, load.requests, load.transactions) == (4, "global", 4, 1, sectors)
    assert (store.requests, store.transactions, store.ideal) == (1, 4, 4)
    assert "p.cu:4" in str(costs)


@pytest.mark.parametrize(
    ("index", "cycles"),
    [("t", 1), ("2 * t", 2), ("32 * t", 32), ("33 * t", 1), ("0", 1), ("t % 4 * 32", 4), ("t / 2", 1)],
)
def test_cycles_of_the_banks(index: str, cycles: int) -> None:
    text = """__shared__ float s[1056];
        const int t = threadIdx.x;
        for (int i = t; i < 1056; i += 32) s[i] = i;
        __syncwarp();
        """
    (row,) = profiled(f"{text}y[t] = s[{index}];").select(memory="shared", access="load")
    assert (row.place.line, row.requests, row.transactions, row.ideal) == (7, 1, cycles, 1)


def test_wide_accesses_come_in_parts() -> None:
    text = "__shared__ __align__(16) float s[1024];\nconst int t = threadIdx.x;\n"
    store = "*reinterpret_cast<float4*>(s + {} * t) = *reinterpret_cast<const float4*>(x + 4 * t);"
    for stride, cycles in ((4, 4), (32, 32)):
        costs = profiled(text + store.format(stride))
        (row,) = costs.select(memory="shared", access="store")
        assert (row.size, row.transactions, row.ideal) == (16, cycles, 4)
        (row,) = costs.select(memory="global", access="load")
        assert (row.size, row.transactions) == (16, 16)


def test_requests_are_counted_by_warp_and_added_up() -> None:
    costs = profiled("for (int i = threadIdx.x; i < 1024; i += blockDim.x) y[i] = x[i];", block=64)
    assert [(row.requests, row.transactions) for row in costs.rows] == [(32, 128), (32, 128)]


def test_totals_add_up_the_lines_of_a_kernel() -> None:
    text = """__shared__ float s[64];
        const int t = threadIdx.x;
        for (int i = t; i < 1024; i += 32) s[i % 64] = x[i];
        __syncwarp();
        y[t] = s[t];
        y[t + 32] = s[2 * t];
        """
    costs = profiled(text)
    assert [tuple(total) for total in costs.totals()] == [("k", 4096, 256, 32 + 1 + 2, 1)], costs
    assert "        4.0         0.2              35          1" in str(costs)


def test_the_transpose_shows_why_it_uses_a_padded_tile() -> None:
    from tests.test_emulator import drawn, kernel

    x, y = drawn(64, 64), np.zeros((64, 64), f32)

    def costs(name: str, **options: Any) -> Callable[[str, str], float]:
        with emulator.profile() as found:
            block = (32, 32) if name == "transpose_naive" else (32, 8)
            kernel("transpose", name, **options)((2, 2), block, (x, y, i32(64), i32(64)))
        return lambda memory, access: sum(row.per_request for row in found.select(memory=memory, access=access))

    assert costs("transpose_naive")("global", "store") == 32
    assert costs("transpose")("global", "store") == costs("transpose")("global", "load") == 4
    assert costs("transpose")("shared", "load") == 1
    assert costs("transpose", defines={"PAD": 0})("shared", "load") == 32


def test_the_c_library_s_switch_serves_other_processors() -> None:
    """The fallback for processors without a hand-written switch of fibers."""
    x = np.arange(64, dtype=f32)
    y = np.zeros_like(x)
    text = HEAD + SUM_IN_HALVES.replace("⟦__syncthreads();|⟧", "__syncthreads();") + TAIL
    module = emulator.Module(text=text, runtime_options=("-DEMULATOR_UCONTEXT",))
    module.get_function("k")((1,), (64,), (x, y, i32(64)))
    assert (y == x.sum()).all()
