// The sum of each row of x (rows x columns), one block a row. -DTYPE=float, double, float16, bfloat16.
#include "half.cuh"

using T = TYPE;
using Sum = Accumulator<T>::type;

__device__ __forceinline__ Sum warp_sum(Sum value) {
    for (int delta = 16; delta > 0; delta /= 2) value += __shfl_down_sync(0xffffffff, value, delta);
    return value;
}

extern "C" __global__ void __launch_bounds__(256) row_sum(const T* __restrict__ x, T* __restrict__ y, int columns) {
    __shared__ Sum of_warp[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = (blockDim.x + 31) / 32;
    const T* row = x + static_cast<size_t>(blockIdx.x) * columns;
    Sum sum = 0;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += static_cast<Sum>(row[i]);
    sum = warp_sum(sum);
    if (lane == 0) of_warp[warp] = sum;
    __syncthreads();
    if (warp == 0) {
        sum = warp_sum(lane < warps ? of_warp[lane] : 0);
        if (lane == 0) y[blockIdx.x] = static_cast<T>(sum);
    }
}
