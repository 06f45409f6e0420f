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

// What a thread adds up: ROWS pixels of OUTPUTS channels, of which number `last` is the last one that there is.
struct Sums {
    Wide at[OUTPUTS][ROWS] = {};
    int last;

    // One channel: x's plane and where its filters begin, `apart` from one output to the next.
    __device__ __forceinline__ void add(const TYPE* plane, const TYPE* filter, int apart, const Side& from,
                                        const Conv& s, const Axis& down, const Axis& right) {
        for (int p = down.first, h = down.at; p < s.KH; p += down.step, h += down.ahead)
            for (int q = right.first, v = right.at; q < s.KW; q += right.step, v += right.ahead) {
                if (!inside(v, from.width)) continue;
                Wide weight[OUTPUTS];
#pragma unroll
                for (int k = 0; k < OUTPUTS; ++k) weight[k] = filter[min(k, last) * apart + p * s.KW + q];
#pragma unroll
                for (int r = 0; r < ROWS; ++r) {
                    if (!inside(h + r * down.rise, from.height)) continue;
                    const Wide value = plane[(h + r * down.rise) * from.width + v];
#pragma unroll
                    for (int k = 0; k < OUTPUTS; ++k) at[k][r] += weight[k] * value;
                }
            }
    }
    // To `rows` pixels of y, `next_row` apart; channels are `next_channel` apart. The bias is that of the first one.
    __device__ __forceinline__ void store(TYPE* y, const TYPE* bias, Offset next_channel, int next_row, int rows,
                                          bool relu) const {
#pragma unroll
        for (int k = 0; k < OUTPUTS; ++k) {
            if (k > last) break;
            const Wide shift = bias ? Wide(bias[k]) : Wide(0);
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                const Wide value = at[k][r] + shift;
                if (r < rows) y[k * next_channel + r * next_row] = TYPE(relu && value < 0 ? Wide(0) : value);
            }
        }
    }
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
        const TYPE* plane = x + Offset(group) * from.channels * (from.height * from.width);
        const TYPE* filter = w + Offset(group % s.groups) * onto.channels * (from.channels * taps) + first * to_output;
        Sums sums;
        sums.last = onto.channels - 1 - first;
        for (int c = 0; c < from.channels; ++c, filter += to_channel, plane += from.height * from.width)
            sums.add(plane, filter, to_output, from, s, down, right);
        TYPE* pixel = y + (Offset(group) * onto.channels + first) * (onto.height * onto.width);
        pixel += row * onto.width + column;
        sums.store(pixel, bias ? bias + group % s.groups * onto.channels + first : nullptr, onto.height * onto.width,
                   every * onto.width, (onto.height - row + every - 1) / every, relu);
    }
}

// budget: 256 threads, 80 registers, 0 bytes
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
