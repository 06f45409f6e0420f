"""One small launch of every kernel: `python -m benchmarks.gpu.small cuda [WORDS]`, for a sanitizer to look at.

On a GPU each array has an allocation of its own, so that an access beside it is one outside of all; under the emulator
the launches are traced.
"""

from __future__ import annotations

import sys

from benchmarks.gpu.device import Cuda, Device, Emulated
from benchmarks.gpu.suites import works
from tinyseg import kernels
from tinyseg.kernels import emulator

PRECISIONS = "float32", "tf32", "float16"  # bfloat16 differs from float16 in its conversions alone


class _Small(Cuda):
    """A GPU on which the small shapes are run."""

    timed = False


def main() -> int:
    cuda, only = sys.argv[1:2] == ["cuda"], "".join(sys.argv[2:3])
    device: Device = _Small() if cuda else Emulated()
    if cuda:
        import cupy

        cupy.cuda.set_allocator(None)  # no pool
    with emulator.using(mode="trace"):
        count = launch_all(device, only)
    device.synchronize()
    print(f"{count} functions launched their kernels")
    return 0


def launch_all(device: Device, only: str = "") -> int:
    """How many functions were called, of the rows that contain `only`."""
    count = 0
    for work in works(device, only):
        if work.precision in PRECISIONS:
            with kernels.use(allow_tf32=work.precision == "tf32"):
                work.prepare()
                for run in work.ours.values():
                    run()
            count += len(work.ours)
    return count


if __name__ == "__main__":
    sys.exit(main())
