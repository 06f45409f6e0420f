// Convolution, version 1: the gradient of the weight, as it is defined.
//
//   gw[o, c, p, q] = sum_{n, i, j} gy[n, o, i, j] x[n, g C/G + c, i stride - top + p dilation, ...]
//
// A block takes one pair of channels (o, c), TAPS of its taps and one part of all pixels (n, i, j). A thread walks
// through pixels that lie a block apart, and uses what it loads of gy for all those taps; the taps of neighbouring
// threads see the same pixels of x, and find them in the first-level cache. Then the block adds up, and writes one row
// of `parts`.
//
// There are as many parts as keep the device busy, and parts.cu adds them up.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "reduce.cuh"
#include "conv.cuh"
#include "taps.cuh"

using Wide = Accumulator<TYPE>::type;
using Offset = long long;

constexpr int THREADS = 256;
constexpr int TAPS = 9;  // all of a 3 x 3 window

// A pixel (n, i, j) of gy that steps on by `threads` pixels; only its first place takes divisions.
struct Pixel {
    int n, i, j, down, right, images;

    __device__ Pixel(Offset number, const Conv& s) {
        n = int(number / s.OW / s.OH), i = int(number / s.OW % s.OH), j = int(number % s.OW);
        images = THREADS / s.OW / s.OH, down = THREADS / s.OW % s.OH, right = THREADS % s.OW;
    }
    __device__ void next(const Conv& s) {
        n += images, i += down, j += right;
        if (j >= s.OW) j -= s.OW, ++i;
        if (i >= s.OH) i -= s.OH, ++n;
    }
};

// budget: 256 threads, 64 registers, 576 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    direct_grad_weight(const TYPE* __restrict__ x, const TYPE* __restrict__ gy, Wide* __restrict__ parts, Conv s,
                       Offset length) {
    __shared__ Wide room[THREADS / WARP][TAPS];
    const int channels = s.C / s.groups, taps = s.KH * s.KW, bunches = (taps + TAPS - 1) / TAPS;
    const int pair = blockIdx.x / bunches, first = blockIdx.x % bunches * TAPS, o = pair / channels;
    const int c = o / (s.O / s.groups) * channels + pair % channels;

    int top[TAPS], left[TAPS];
    Wide sum[TAPS] = {};
#pragma unroll
    for (int t = 0; t < TAPS; ++t) {
        top[t] = (first + t) / s.KW * s.dilation_h - s.top;
        left[t] = (first + t) % s.KW * s.dilation_w - s.left;
    }
    const Offset pixels = Offset(s.N) * s.OH * s.OW, begin = blockIdx.y * length, end = min(begin + length, pixels);
    Pixel at(begin + threadIdx.x, s);
    for (Offset number = begin + threadIdx.x; number < end; number += THREADS, at.next(s)) {
        const Wide g = gy[((Offset(at.n) * s.O + o) * s.OH + at.i) * s.OW + at.j];
        const TYPE* plane = x + (Offset(at.n) * s.C + c) * s.H * s.W;
        const int h = at.i * s.stride_h, w = at.j * s.stride_w;
#pragma unroll
        for (int t = 0; t < TAPS; ++t)
            if (first + t < taps && inside(h + top[t], s.H) && inside(w + left[t], s.W))
                sum[t] += g * Wide(plane[Offset(h + top[t]) * s.W + w + left[t]]);
    }
#pragma unroll
    for (int t = 0; t < TAPS; ++t) {
        sum[t] = joined_in_warp<Sum>(sum[t]);
        if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP][t] = sum[t];
    }
    __syncthreads();
    const int t = threadIdx.x;
    if (t >= TAPS || first + t >= taps) return;
    Wide all = 0;
    for (int warp = 0; warp < THREADS / WARP; ++warp) all += room[warp][t];
    parts[(Offset(blockIdx.y) * s.O * channels + pair) * taps + first + t] = all;
}
