// Depthwise convolution, where each channel has a filter of its own: version 1 for windows that are known beforehand.
//
//   y[n, c, i, j] = bias[c] + sum_{p, q} w[c, p, q] x[n, c, i STRIDE - top + p, j STRIDE - left + q]
//
// There are few products for each number of x, so what counts is how few instructions move it. A thread takes ROWS
// pixels below one another and goes through the rows of x that they see: each number is loaded once, and used for every
// pixel that sees it; the filter stays in registers. With WINDOW and STRIDE known, all loops unroll, and the compiler
// settles which number goes with which weight. `direct.cu` loads for each product, and looks each time where it is.
//
// With stride 1 the gradient of x is the same with the filter turned round, and padding WINDOW - 1 - top and so on.
// nvrtc: TYPE=float,double,float16,bfloat16 WINDOW=3 STRIDE=1,2
#include "half.cuh"
#include "conv.cuh"
#include "taps.cuh"

using Wide = Accumulator<TYPE>::type;
using Offset = long long;

constexpr int THREADS = 256;
constexpr int ROWS = 8;
constexpr int TAPS = WINDOW * WINDOW;

// A block takes blockDim.x threads of a plane, of `tiles` that make it whole, in blockDim.y planes.
// budget: 256 threads, 64 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    depthwise(const TYPE* __restrict__ x, const TYPE* __restrict__ w, const TYPE* __restrict__ bias,
              TYPE* __restrict__ y, Conv s, int planes, int tiles, bool turned, bool relu) {
    const int thread = blockIdx.x % tiles * blockDim.x + threadIdx.x;
    const int plane = blockIdx.x / tiles * blockDim.y + threadIdx.y, channel = plane % s.C;
    const int row = thread / s.OW * ROWS, column = thread % s.OW;
    if (row >= s.OH || plane >= planes) return;

    const TYPE* filter = w + channel * TAPS + (turned ? TAPS - 1 : 0);
    Wide weight[TAPS], sum[ROWS] = {};
#pragma unroll
    for (int t = 0; t < TAPS; ++t) weight[t] = filter[turned ? -t : t];

    const int top = row * STRIDE - s.top, left = column * STRIDE - s.left;
    const TYPE* image = x + Offset(plane) * (s.H * s.W);
#pragma unroll
    for (int a = 0; a < (ROWS - 1) * STRIDE + WINDOW; ++a) {
#pragma unroll
        for (int q = 0; q < WINDOW; ++q) {
            if (!(inside(top + a, s.H) && inside(left + q, s.W))) continue;
            const Wide value = image[(top + a) * s.W + left + q];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                const int p = a - r * STRIDE;  // the tap through which pixel r sees row a
                if (p >= 0 && p < WINDOW) sum[r] += weight[p * WINDOW + q] * value;
            }
        }
    }
    const Wide shift = bias ? Wide(bias[channel]) : Wide(0);
    TYPE* pixel = y + Offset(plane) * (s.OH * s.OW) + row * s.OW + column;
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const Wide value = sum[r] + shift;
        if (row + r < s.OH) pixel[r * s.OW] = TYPE(relu && value < 0 ? Wide(0) : value);
    }
}
