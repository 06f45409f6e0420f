"""One small launch of every kernel: `python -m benchmarks.gpu.small cuda`, for a sanitizer to look at.

On a GPU each array has an allocation of its own, so that an access beside it is one outside of all; under the emulator
the launches are traced.
"""

from __future__ import annotations

import sys

from benchmarks.gpu.convolutions import SMALL, VERSIONS, directions
from benchmarks.gpu.device import Cuda, Device, Emulated
from benchmarks.gpu.passes import passes
from tinyseg import kernels
from tinyseg.kernels import emulator


class _Small(Cuda):
    """A GPU on which the small shapes are run."""

    timed = False


def main() -> int:
    cuda = sys.argv[1:] == ["cuda"]
    device: Device = _Small() if cuda else Emulated()
    if cuda:
        import cupy

        cupy.cuda.set_allocator(None)  # no pool
    count = 0
    with emulator.using(mode="trace"):
        for layer in SMALL:
            for precision in VERSIONS:
                for work in directions(layer, precision, device):
                    count += _launch(work)
        for work in passes(device):
            count += _launch(work)
    device.synchronize()
    print(f"{count} functions launched their kernels")
    return 0


def _launch(work: object) -> int:
    with kernels.use(allow_tf32=work.precision == "tf32"):  # type: ignore[attr-defined]
        for run in work.ours.values():  # type: ignore[attr-defined]
            run()
    return len(work.ours)  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
