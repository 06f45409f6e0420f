"""Runs the CUDA kernels of this folder's neighbours on the processor: the same `.cu` files, compiled by g++.

    module = emulator.Module("kernels/softmax/softmax.cu", defines={"T": "float"})
    kernel = module.get_function("softmax")
    with emulator.using(mode="trace"):  # finds races, missing barriers, accesses out of bounds, ...
        kernel((rows,), (256,), (x, y, np.int32(columns)), shared_mem=1024)
    with emulator.profile() as costs:  # sectors and bank conflicts, line by line
        kernel((rows,), (256,), (x, y, np.int32(columns)), shared_mem=1024)

`include/shim.h` says how threads, warps and blocks map to a processor; `runtime/` is the machine that runs them.
"""

from .findings import KernelError, Place, Report
from .module import EmulatedArray, Function, Module
from .profile import Profile, profile
from .settings import LaunchRecord, Settings, record, using

__all__ = [
    "EmulatedArray",
    "Function",
    "KernelError",
    "LaunchRecord",
    "Module",
    "Place",
    "Profile",
    "Report",
    "Settings",
    "profile",
    "record",
    "using",
]
