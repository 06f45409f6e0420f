// Convolution, version 1: the definition, pixel by pixel.
//
//   y[n, o, i, j] = bias[o] + sum_{c, p, q} w[o, c, p, q] x[n, c, i stride - top + p dilation, ...]
//
// A thread computes ROWS pixels of OUTPUTS channels: ROWS loads of x and OUTPUTS of w make ROWS OUTPUTS products. The
// threads of a warp take neighbouring columns of y, so what they load of x lies side by side (where the stride is 1),
// and they share the weight, which one transaction brings to all of them. What one thread has loaded of x its
// neighbours need too, for another tap: they find it in the first-level cache.
//
// The gradient of x is the same walk over gy, from the side of the pixel that receives: which taps see it follows from
// the remainder of its row and column by the stride (taps.cuh), so a thread's pixels are `stride` rows apart and share
// them.
//
// Depthwise convolutions are this version's: each number of x meets one filter, so OUTPUTS=1, and there is nothing that
// a tile would save. `depthwise.cu` does the same for a window and a stride that are known beforehand.
// nvrtc: TYPE=float,double,float16,bfloat16 OUTPUTS=1,4
#include "half.cuh"
#include "conv.cuh"
#include "taps.cuh"

using Wide = Accumulator<TYPE>::type;
using Offset = long long;

constexpr int THREADS = 256;
constexpr int ROWS = 4;
constexpr int RESIDENT = OUTPUTS == 1 ? 4 : sizeof(Wide) == 8 ? 2 : 3;  // blocks at once; more, and registers spill

// One side of a convolution, as a thread sees it: arrays of `channels` planes a group, each height x width.
struct Side {
    int channels, height, width;
};

// For the adjoint x is gy and y is gx: the sides trade places, and so do the first two axes of w. `tasks` are the
// bunches of OUTPUTS channels in all groups and images.
template <bool adjoint>
__device__ __forceinline__ void correlate(const TYPE* __restrict__ x, const TYPE* __restrict__ w,
                                          const TYPE* __restrict__ bias, TYPE* __restrict__ y, const Conv& s, int tasks,
                                          bool relu) {
    const Side image{s.C / s.groups, s.H, s.W}, windows{s.O / s.groups, s.OH, s.OW};
    const Side from = adjoint ? windows : image, onto = adjoint ? image : windows;
    const int taps = s.KH * s.KW, every = adjoint ? s.stride_h : 1;
    const int to_output = adjoint ? taps : taps * from.channels, to_channel = adjoint ? taps * onto.channels : taps;

    const Offset thread = Offset(blockIdx.x) * blockDim.x + threadIdx.x;
    const int strip = int(thread / onto.width), column = int(thread % onto.width);
    const int row = strip / every * every * ROWS + strip % every;  // and those `every` below
    if (row >= onto.height) return;
    const Axis down = adjoint ? backward_axis(row, s.stride_h, s.dilation_h, s.top, s.KH)
                              : forward_axis(row, s.stride_h, s.dilation_h, s.top);
    const Axis right = adjoint ? backward_axis(column, s.stride_w, s.dilation_w, s.left, s.KW)
                               : forward_axis(column, s.stride_w, s.dilation_w, s.left);

    const int bunches = (onto.channels + OUTPUTS - 1) / OUTPUTS;
    for (int task = blockIdx.y * blockDim.y + threadIdx.y; task < tasks; task += gridDim.y * blockDim.y) {
        const int group = task / bunches, first = task % bunches * OUTPUTS;  // the group counts on from image to image
        const int last = onto.channels - 1 - first;
        const TYPE* plane = x + Offset(group) * from.channels * (from.height * from.width);
        const TYPE* filter = w + Offset(group % s.groups) * onto.channels * (from.channels * taps) + first * to_output;
        Wide sum[OUTPUTS][ROWS] = {};
        for (int c = 0; c < from.channels; ++c, filter += to_channel, plane += from.height * from.width)
            for (int p = down.first, h = down.at; p < s.KH; p += down.step, h += down.ahead)
                for (int q = right.first, v = right.at; q < s.KW; q += right.step, v += right.ahead) {
                    if (!inside(v, from.width)) continue;
                    Wide weight[OUTPUTS];
#pragma unroll
                    for (int k = 0; k < OUTPUTS; ++k) weight[k] = filter[min(k, last) * to_output + p * s.KW + q];
#pragma unroll
                    for (int r = 0; r < ROWS; ++r) {
                        if (!inside(h + r * down.rise, from.height)) continue;
                        const Wide value = plane[(h + r * down.rise) * from.width + v];
#pragma unroll
                        for (int k = 0; k < OUTPUTS; ++k) sum[k][r] += weight[k] * value;
                    }
                }
#pragma unroll
        for (int k = 0; k < OUTPUTS; ++k) {
            if (k > last) break;
            const Wide shift = bias ? Wide(bias[group % s.groups * onto.channels + first + k]) : Wide(0);
            TYPE* pixel = y + (Offset(group) * onto.channels + first + k) * (onto.height * onto.width) + column;
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                const Wide value = sum[k][r] + shift;
                if (row + r * every < onto.height)
                    pixel[(row + r * every) * onto.width] = TYPE(relu && value < 0 ? Wide(0) : value);
            }
        }
    }
}

// budget: 256 threads, 88 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
    direct_forward(const TYPE* __restrict__ x, const TYPE* __restrict__ w, const TYPE* __restrict__ bias,
                   TYPE* __restrict__ y, Conv s, int tasks, bool relu) {
    correlate<false>(x, w, bias, y, s, tasks, relu);
}

// budget: 256 threads, 104 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT)
    direct_grad_input(const TYPE* __restrict__ gy, const TYPE* __restrict__ w, const TYPE* __restrict__ bias,
                      TYPE* __restrict__ gx, Conv s, int tasks) {
    correlate<true>(gy, w, bias, gx, s, tasks, false);
}
