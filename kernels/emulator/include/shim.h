// Lets g++ compile an unmodified CUDA C++ file: put in front of it with -include. The counterpart of NVRTC's built-ins.
//
// How CUDA's ideas map to a CPU:
//   thread         a fiber: a stack and saved registers, 20 instructions to switch. It runs until it has to wait.
//   warp           32 fibers with consecutive numbers. They meet in shuffles, votes, __syncwarp, mma.
//   block          up to 1024 fibers on one CPU thread, which plays one of the GPU's multiprocessors
//   __shared__     a variable that each CPU thread has of its own: all fibers of a block see the same one
//   __syncthreads  a fiber that waits; the last one to come wakes the others
//   grid           the CPU threads take one block after another
//   global memory  NumPy's arrays
#pragma once
#include "runtime.h"

#define TINYSEG_EMULATED 1
#define __CUDA_ARCH__ 900
#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static __thread  // `extern __shared__` is rewritten before (source.py): only a launch says its size
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

#include "vectors.h"

#include "maths.h"

#include "warps.h"

#include "atomics.h"

#include "halves.h"

#include "tensor.h"

#include "kernel.h"
