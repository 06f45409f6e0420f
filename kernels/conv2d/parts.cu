// Sums that were computed in parts: the parts are added up, always in the same order, and what follows a sum is done.
//
//     y[plane][pixel] = sum over parts of parts[part][plane][pixel], plus bias[plane % channels]; with relu max(y, 0)
//
// A product with few tiles and a long sum leaves most of a GPU without a block: 512 channels of 16 x 16 pixels have 16
// tiles of 128 x 128, and 4608 products in each number. So several blocks share a tile's sum, and write what they have,
// in float; this is the kernel after that. Atomic additions would not need it, nor give the same bits twice.
//
// With one part it is what finishes a product by cuBLAS, which knows neither bias nor ReLU; y may then be `parts`.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"

using Wide = Accumulator<TYPE>::type;
using Offset = long long;

constexpr int THREADS = 256;

__device__ __forceinline__ Wide added(const Wide* parts, int count, Offset size) {
    Wide sum = 0;
#pragma unroll 16  // loads that are under way at the same time
    for (int part = 0; part < count; ++part) sum += parts[part * size];
    return sum;
}

// A thread for each of the `width` pixels of a plane, along x; it takes every so-manyth plane.
// budget: 256 threads, 64 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    sum_of_parts(const Wide* parts, const TYPE* __restrict__ bias, TYPE* y, int count, int planes, int channels,
                 Offset width, bool relu) {
    const Offset pixel = Offset(blockIdx.x) * blockDim.x + threadIdx.x, size = planes * width;
    if (pixel >= width) return;
    for (int plane = blockIdx.y * blockDim.y + threadIdx.y; plane < planes; plane += gridDim.y * blockDim.y) {
        const Offset i = plane * width + pixel;
        const Wide sum = added(parts + i, count, size) + (bias ? Wide(bias[plane % channels]) : Wide(0));
        y[i] = TYPE(relu && sum < 0 ? Wide(0) : sum);  // NaN stays NaN
    }
}

// gw[o][c][tap] = sum over parts of parts[part][o][tap][c], taps `pitch` apart: a thread for each number. Neighbours
// read what lies apart rather than write it: of 32 bytes that are read, the first-level cache keeps the rest for the
// next ones.
// budget: 256 threads, 56 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    sum_of_turned_parts(const Wide* __restrict__ parts, TYPE* __restrict__ gw, int count, int outputs, int channels,
                        int taps, int pitch) {
    const Offset i = Offset(blockIdx.x) * THREADS + threadIdx.x, o = i / taps / channels;
    const int tap = i % taps, c = i / taps % channels;
    if (o >= outputs) return;
    gw[i] = TYPE(added(parts + (o * taps + tap) * pitch + c, count, Offset(outputs) * taps * pitch));
}
