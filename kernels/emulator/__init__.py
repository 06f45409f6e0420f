"""Runs the CUDA kernels of this folder's neighbours on the processor: the same `.cu` files, compiled by g++.

    module = emulator.Module("tests/cuda/transpose.cu")
    kernel = module.get_function("transpose")
    with emulator.using(mode="trace"):  # finds races, missing barriers, accesses out of bounds, ...
        kernel((2, 2), (32, 8), (x, y, np.int32(64), np.int32(64)))
    with emulator.profile() as costs:  # sectors and bank conflicts, line by line
        kernel((2, 2), (32, 8), (x, y, np.int32(64), np.int32(64)))

`include/shim.h` says how threads, warps and blocks map to a processor; `runtime/` is the machine that runs them.
"""

from ..emulated import EmulatedArray
from .findings import KernelError, Place, Report
from .module import Function, Module
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
