// The gradient of a convolution's weight as a matrix product of which no factor is written down (implicit GEMM).
//
//     gw[o, tap] = sum_k A[k][o] B[k][tap],     k = (n, i, j),  tap = (c, p, q)
//     A[k][o] = gy[n, o, i, j],    B[k][tap] = x[n, c, i stride_h - top + p dilation_h, j stride_w - ...]
//
// There are many pixels k, and few sums: a block takes a tile of gw and a part of the pixels, and parts.cu adds up the
// parts. Pixels lie side by side in memory but one above the other in a step: eight
// neighbouring threads read 8 pixels in a row, 32 bytes, and write them down a column.
//
// A thread takes every eighth pixel, and walks there without dividing. What depends on the row or the column of the
// tile alone waits in shared memory.
// nvrtc: TYPE=float ROWS=128,64,32
// nvrtc: TYPE=float16,bfloat16 ROWS=128,32
#include "../half.cuh"
#include "conv.cuh"
#include "taps.cuh"
#include "tile.cuh"

using Offset = long long;
using Block = Tile<ROWS == 32 ? 4 : 8, ROWS == 128 ? 2 : 1, 4>;  // ROWS x 128

constexpr int NOWHERE = -(1 << 29);  // a row of the image outside of it, also with another one added
constexpr int APART = Block::THREADS / DEPTH;  // rows and columns that a thread takes lie so far apart

// Where column i of B is from a window's corner, and where row i of A^T is from a pixel of gy.
struct __align__(16) Places { int offset, h, w, row; };

// The way from one step to the next, DEPTH pixels further on: what is added to a window's row and column and to both
// pointers, and what more where that leads to the next row of windows, and to the next image. From `height` and `width`
// on there are no windows.
struct Ahead {
    int h, height, w, width, next_h;
    int x, x_next_row, x_next_image, gy, gy_next_image;
};

// A thread's pixel: where it is in gy, and where its window begins in x.
struct Walk {
    const TYPE *x, *gy;
    int h, w, left;  // of the window, without padding; left: pixels from this one to the end of the part

    __device__ Walk(const TYPE* all_x, const TYPE* all_gy, const Conv& s, int group, unsigned first, unsigned end) {
        const unsigned k = first + threadIdx.x % DEPTH, plane = s.OH * s.OW;
        const unsigned n = k / plane, pixel = k % plane;
        h = pixel / s.OW * s.stride_h, w = pixel % s.OW * s.stride_w;
        left = int(end - k);
        x = all_x + (Offset(n) * s.groups + group) * (s.C / s.groups * s.H * s.W) + h * s.W + w;
        gy = all_gy + (Offset(n) * s.groups + group) * (s.O / s.groups * int(plane)) + pixel;
    }
    // As numbers with digits are added: each digit carries over at most once, and nothing is divided.
    __device__ __forceinline__ void advance(const Ahead& ahead) {
        w += ahead.w;
        const bool next_row = w >= ahead.width;
        w -= next_row ? ahead.width : 0;
        h += ahead.h + (next_row ? ahead.next_h : 0);
        const bool next_image = h >= ahead.height;
        h -= next_image ? ahead.height : 0;
        x += ahead.x + (next_row ? ahead.x_next_row : 0) + (next_image ? ahead.x_next_image : 0);
        gy += ahead.gy + (next_image ? ahead.gy_next_image : 0);
        left -= DEPTH;
    }
};

// What a thread carries from global to shared memory for a step: one pixel of some rows of A^T and of B^T.
struct Load {
    TYPE a[ROWS / APART], b[Block::N / APART];
    int mine, place;  // its first column, and where that is in `steps`, in the half to fill

    __device__ __forceinline__ Load() {
        mine = settled(int(threadIdx.x) / DEPTH);
        place = settled(int(threadIdx.x) % DEPTH * Block::STRIDE + mine);
    }
    __device__ __forceinline__ void fetch(const Walk& walk, const Places* places, const Conv& s) {
        const bool real = walk.left > 0;
        const int h = real ? walk.h : NOWHERE;
#pragma unroll
        for (int i = 0; i < Block::N / APART; ++i) {
            const int4 at = reinterpret_cast<const int4&>(places[mine + i * APART]);  // one load
            const bool seen = inside(h + at.y, s.H) & inside(walk.w + at.z, s.W);
            b[i] = seen ? walk.x[at.x] : TYPE(0.0f);
            if (i < ROWS / APART) a[i] = real ? walk.gy[at.w] : TYPE(0.0f);
        }
    }
    __device__ __forceinline__ void keep(Block::Memory& memory) const {
#pragma unroll
        for (int i = 0; i < ROWS / APART; ++i) memory.steps[place + i * APART] = float(a[i]);
#pragma unroll
        for (int i = 0; i < Block::N / APART; ++i) memory.steps[Block::B + place + i * APART] = float(b[i]);
    }
    __device__ __forceinline__ void turn(int by) { place += by; }
};

// parts[part][group][o][tap]: the sums over `length` pixels, a multiple of DEPTH, for the `outputs` x `columns` numbers
// of gw in each group. blockIdx.x counts tiles of rows, blockIdx.y those of columns, blockIdx.z parts, and in each of
// them groups.
// budget: 256 threads, 128 registers, 18944 bytes
extern "C" __global__ void __launch_bounds__(Block::THREADS, 512 / Block::THREADS)
    implicit_weight(const TYPE* __restrict__ x, const TYPE* __restrict__ gy, float* __restrict__ parts, Conv s,
                    Ahead ahead, int outputs, int columns, unsigned length) {
    __shared__ Block::Memory memory;
    __shared__ Places places[Block::N];
    const int first = blockIdx.x * ROWS, column = blockIdx.y * Block::N + threadIdx.x % Block::N;
    if (threadIdx.x < Block::N) {
        const int channel = column / (s.KH * s.KW), p = column / s.KW % s.KH, q = column % s.KW;
        const int h = p * s.dilation_h - s.top, w = q * s.dilation_w - s.left;
        const int row = min(first + int(threadIdx.x), outputs - 1) * (s.OH * s.OW);
        places[threadIdx.x] = {(channel * s.H + h) * s.W + w, column < columns ? h : NOWHERE, w, row};
    }
    __syncthreads();

    const unsigned begin = blockIdx.z / s.groups * length, end = min(begin + length, unsigned(s.N) * s.OH * s.OW);
    Walk walk(x, gy, s, blockIdx.z % s.groups, begin, end);
    Block tile([](int) { return 0.0f; });
    Load load;
    load.fetch(walk, places, s);
    load.keep(memory);
    load.turn(Block::STEP);
    walk.advance(ahead);
    __syncthreads();
    int turn = Block::STEP;
    for (int steps = (end - begin + DEPTH - 1) / DEPTH; steps > 0; --steps, turn = -turn) {
        load.fetch(walk, places, s);  // after the last step zeros, for nobody
        tile.multiply(memory);
        load.keep(memory);
        tile.turn(turn), load.turn(-turn);
        walk.advance(ahead);
        __syncthreads();
    }
    parts += (Offset(blockIdx.z) * outputs + first) * columns + column;
    const int last = column < columns ? outputs - first : 0;
    tile.each(memory, [&](int row, float sum) {
        if (row < last) parts[row * columns] = sum;
    });
}
