// The windows of an image as the columns of a matrix, and back.
//
//   columns[n, (c, p, q), (i, j)] = x[n, c, i stride_h - top + p dilation_h, j stride_w - left + q dilation_w]
//
// im2col: a thread takes a pixel (i, j) and writes its column, a number for each of the KH KW taps. The threads of a
//   warp take neighbouring pixels, so each tap is stored side by side, and read side by side where the stride is 1. x
//   comes from memory once: the taps of neighbours see the same pixels, and find them in the first-level cache.
// col2im: the adjoint. A thread takes a pixel (h, w) of x and sums the entries that hold it; if every entry were added
//   to its pixel instead, several threads would add to the same one, in an order of chance.
//
// Only memory matters here, and a division costs as much as a load. So a thread works out where its pixel is once, and
// serves several planes (n, c) with it.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "conv2d/conv.cuh"
#include "conv2d/taps.cuh"

using Wide = Accumulator<TYPE>::type;
using Offset = long long;

constexpr int THREADS = 256;
constexpr int BLOCKS = 6;  // on a multiprocessor at once; left alone, the compiler spills registers to fit in two more

// The pixel of this thread, and the planes that it serves: first, first + step, ...
struct Work {
    Offset pixel, first, step;

    __device__ Work()
        : pixel(Offset(blockIdx.x) * blockDim.x + threadIdx.x),
          first(Offset(blockIdx.y) * blockDim.y + threadIdx.y),
          step(Offset(gridDim.y) * blockDim.y) {}
};

// budget: 256 threads, 56 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    im2col(const TYPE* __restrict__ x, TYPE* __restrict__ columns, Conv s) {
    const Work work;
    const Offset pixels = Offset(s.OH) * s.OW, planes = Offset(s.N) * s.C;
    if (work.pixel >= pixels) return;
    const int top = int(work.pixel / s.OW) * s.stride_h - s.top, left = int(work.pixel % s.OW) * s.stride_w - s.left;
    for (Offset plane = work.first; plane < planes; plane += work.step) {
        const TYPE* image = x + plane * s.H * s.W;
        TYPE* column = columns + plane * s.KH * s.KW * pixels + work.pixel;
        for (int p = 0, h = top; p < s.KH; ++p, h += s.dilation_h)
            for (int q = 0, w = left; q < s.KW; ++q, w += s.dilation_w, column += pixels)
                *column = inside(h, s.H) && inside(w, s.W) ? image[Offset(h) * s.W + w] : TYPE(0.0f);
    }
}

// budget: 256 threads, 40 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    col2im(const TYPE* __restrict__ columns, TYPE* __restrict__ x, Conv s) {
    const Work work;
    const Offset pixels = Offset(s.H) * s.W, planes = Offset(s.N) * s.C, windows = Offset(s.OH) * s.OW;
    if (work.pixel >= pixels) return;
    const Axis down = backward_axis(int(work.pixel / s.W), s.stride_h, s.dilation_h, s.top, s.KH);
    const Axis right = backward_axis(int(work.pixel % s.W), s.stride_w, s.dilation_w, s.left, s.KW);
    for (Offset plane = work.first; plane < planes; plane += work.step) {
        Wide sum = 0;
        for (int p = down.first, i = down.at; p < s.KH; p += down.step, i += down.ahead) {
            if (!inside(i, s.OH)) continue;
            const TYPE* row = columns + (plane * s.KH + p) * s.KW * windows + Offset(i) * s.OW;
            for (int q = right.first, j = right.at; q < s.KW; q += right.step, j += right.ahead)
                if (inside(j, s.OW)) sum += Wide(row[q * windows + j]);
        }
        x[plane * pixels + work.pixel] = TYPE(sum);
    }
}
