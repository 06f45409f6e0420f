// Convolution as a matrix product whose second factor is never written down (implicit GEMM), and its adjoint.
//
//     y[o, pixel] = b[o] + sum_k A[k][o] B[k][pixel],     k = (c, p, q)
//     A[k][o] = w[o, c, p, q],    B[k][pixel] = x[n, c, i stride_h - top + p dilation_h, j stride_w - ...]
//
// im2col would write B, KH KW times as large as x. Here a block reads the 8 x 128 numbers of B that it multiplies next
// out of x itself. A thread stays with one pixel, and its neighbours read the pixels beside it.
//
// grad_input is the same product with x and y exchanged, k = (o, p, q). Pixels `stride` apart hear from the same taps,
// the others from other taps: each of these stride_h stride_w phases is a product of its own, without zeros in between,
// and all are in one launch.
//
// Where there are few tiles, several blocks share the steps of each: they write their sums to `parts`, without a bias,
// and parts.cu adds them up.
//
// What depends on k alone is worked out beforehand, by `implicit_pack`: A in the order in which blocks read it, filled
// up with zeros to whole tiles, and for each row of B how far from the pixel's window it is read, and through which
// tap. So the loop over k divides nothing, and whether a number lies inside x is one instruction: a bit for each row
// and each column of the window says in `taps` whether B[k] is there, in `outside` whether it is beyond x for this
// pixel. Of the 585 instructions of a step (ROWS=128, sm_90) 512 multiply, 32 load their operands, and 41 do all the
// rest.
// nvrtc: TYPE=float ROWS=128,64,32
// nvrtc: TYPE=float16,bfloat16 ROWS=128,32
#include "../half.cuh"
#include "conv.cuh"
#include "taps.cuh"
#include "tile.cuh"

using Offset = long long;
using Block = Tile<ROWS == 32 ? 4 : 8, ROWS == 128 ? 2 : 1, 4>;  // ROWS x 128

constexpr unsigned NOWHERE = 1u << 31;  // in every pixel's `outside`, and in `taps` for the rows that fill up a step

struct Side { int channels, h, w; };  // what the product reads, or writes; channels of one group

// How the pixels h, h + down.every, ... and w, w + right.every, ... of what is written are computed.
struct Product {
    Axis down, right;
    int taps_down, taps_right, depth;  // depth: how many k
    int slot;                          // where its A and its rows are among those of the other phases: by its first tap

    __device__ Product(const Conv& s, const Side& from, bool adjoint, int h, int w) {
        down = adjoint ? backward_axis(h, s.stride_h, s.dilation_h, s.top, s.KH)
                       : forward_axis(h, s.stride_h, s.dilation_h, s.top);
        right = adjoint ? backward_axis(w, s.stride_w, s.dilation_w, s.left, s.KW)
                        : forward_axis(w, s.stride_w, s.dilation_w, s.left);
        taps_down = (s.KH - down.first + down.step - 1) / down.step;
        taps_right = (s.KW - right.first + right.step - 1) / right.step;
        depth = from.channels * taps_down * taps_right;
        slot = depth ? down.first * min(right.step, s.KW) + right.first : 0;
    }
};

// packed[slot][group][k][o] = A[k][o], room for `depth` k and `width` o. table[slot][k / 4]: how far B[k] is from where
// the window begins, for four k, then their taps. There is at least one whole step of zeros after the last k: so the
// last step of all can fetch ahead as the others do.
// budget: 256 threads, 48 registers, 4224 bytes
extern "C" __global__ void __launch_bounds__(256)
    implicit_pack(const TYPE* __restrict__ w, float* __restrict__ packed, int* __restrict__ table, Conv s, Side from,
                  Side to, bool adjoint, int slots_right, int depth, int width) {
    __shared__ float square[32][33];  // read along k, written along o
    const int first_k = blockIdx.x * 32, first_o = blockIdx.y * 32;
    const int group = blockIdx.z % s.groups, slot = blockIdx.z / s.groups;
    const int p = slot / slots_right, q = slot % slots_right;
    const int h = adjoint ? p * s.dilation_h - s.top : 0, v = adjoint ? q * s.dilation_w - s.left : 0;  // of this slot
    const Product product(s, from, adjoint, h, v);

    const int k = first_k + threadIdx.x, taps = product.taps_down * product.taps_right;
    const int channel = k / taps, i = k / product.taps_right % product.taps_down, j = k % product.taps_right;
    const int tap = (p + i * product.down.step) * s.KW + q + j * product.right.step;
    const int window = s.KH * s.KW, filter = s.C / s.groups * window;  // numbers of w
    w += Offset(group) * (s.O / s.groups) * filter + Offset(channel) * (adjoint ? filter : window) + tap;
    for (int r = threadIdx.y; r < 32; r += 8) {
        const bool real = k < product.depth && first_o + r < to.channels;
        square[threadIdx.x][r] = real ? float(w[Offset(first_o + r) * (adjoint ? window : filter)]) : 0.0f;
    }
    if (first_o == 0 && group == 0 && threadIdx.y == 0 && k < depth) {
        int* row = table + (slot * depth + k / 4 * 4) * 2 + k % 4;
        row[0] = (channel * from.h + i * product.down.ahead) * from.w + j * product.right.ahead;
        row[4] = k < product.depth ? 1u << i | 1u << (product.taps_down + j) : NOWHERE;
    }
    __syncthreads();
    packed += (Offset(blockIdx.z) * depth + first_k) * width + first_o + threadIdx.x;
    for (int r = threadIdx.y; r < 32 && first_k + r < depth; r += 8)
        packed[Offset(r) * width] = square[r][threadIdx.x];
}

// What a thread carries from global to shared memory for a step: 4 numbers of A, and COUNT of its pixel's column of B.
struct Load {
    static constexpr int COUNT = DEPTH / Block::down, QUADS = ROWS / 4;  // QUADS: of a row of A
    float4 a;
    TYPE b[COUNT];
    int a_place, b_place;  // of them in `steps`, in the half to fill

    __device__ __forceinline__ Load() {
        a_place = settled(int(threadIdx.x) / QUADS * Block::STRIDE + int(threadIdx.x) % QUADS * 4);
        b_place = settled(Block::B + int(threadIdx.x) / Block::N * COUNT * Block::STRIDE + int(threadIdx.x) % Block::N);
    }
    static __device__ __forceinline__ bool has_a() {
        return QUADS * DEPTH == Block::THREADS || threadIdx.x < QUADS * DEPTH;
    }
    __device__ __forceinline__ void fetch(const float* packed, const int4* table, const TYPE* x, unsigned outside) {
        if (has_a()) a = *reinterpret_cast<const float4*>(packed);
        const auto at = [&](int offset, int taps) { return outside & taps ? TYPE(0.0f) : x[offset]; };
#pragma unroll
        for (int k = 0; k < COUNT; k += 4) {
            const int4 offset = table[k / 2], taps = table[k / 2 + 1];
            b[k] = at(offset.x, taps.x), b[k + 1] = at(offset.y, taps.y);
            b[k + 2] = at(offset.z, taps.z), b[k + 3] = at(offset.w, taps.w);
        }
    }
    __device__ __forceinline__ void keep(Block::Memory& memory) const {
        if (has_a()) *reinterpret_cast<float4*>(&memory.steps[a_place]) = a;
#pragma unroll
        for (int k = 0; k < COUNT; ++k) memory.steps[b_place + k * Block::STRIDE] = float(b[k]);
    }
    __device__ __forceinline__ void turn(int by) { a_place += by, b_place += by; }
};

// The pixel of this thread's column: its image, its row and column among those of the phase.
struct Pixel {
    int n, i, j;
    bool real;

    __device__ Pixel(const Product& product, const Side& to, int images, int first_h, int first_w, unsigned index) {
        const unsigned across = (to.w - first_w + product.right.every - 1) / product.right.every;
        const unsigned along = (to.h - first_h + product.down.every - 1) / product.down.every;
        real = index < images * (along * across);
        if (!real) index = 0;
        n = index / max(along * across, 1u), i = index / max(across, 1u) % max(along, 1u), j = index % max(across, 1u);
    }
};

// A bit for each row of the window that is beyond the image that is read, and behind them one for each column.
__device__ __forceinline__ unsigned bits_outside(const Product& product, const Side& from, int h, int w) {
    unsigned outside = NOWHERE;
    for (int i = 0; i < product.taps_down; ++i, h += product.down.ahead)
        if (!inside(h, from.h)) outside |= 1u << i;
    for (int j = 0; j < product.taps_right; ++j, w += product.right.ahead)
        if (!inside(w, from.w)) outside |= 1u << (product.taps_down + j);
    return outside;
}

struct Target { Offset at; int rows; };  // where a column of sums is written; waits in shared memory, not in registers

// The sums of this thread's column down to row `last`, no less than `least`.
template <class T>
__device__ __forceinline__ void write(const Block& tile, Block::Memory& memory, T* to, int last, int next_row,
                                      float least) {
    tile.each(memory, [&](int row, float sum) {
        if (row < last) to[row * next_row] = T(sum < least ? least : sum);  // NaN stays NaN
    });
}

// One tile of one product, or a part of its sums. blockIdx.x counts tiles of M, then those of pixels, so that blocks
// that run at the same time read the same part of x; blockIdx.y groups; blockIdx.z phases, then parts.
// budget: 256 threads, 128 registers, 18944 bytes
extern "C" __global__ void __launch_bounds__(Block::THREADS, 512 / Block::THREADS)
    implicit(const TYPE* __restrict__ x, const float* __restrict__ packed, const int4* __restrict__ table,
             const TYPE* __restrict__ bias, TYPE* __restrict__ y, float* __restrict__ parts, Conv s, Side from, Side to,
             bool adjoint, bool relu, int depth, int width) {
    __shared__ Block::Memory memory;
    __shared__ Target targets[Block::N];
    const int t = threadIdx.x, tiles = width / ROWS, first = blockIdx.x % tiles * ROWS, group = blockIdx.y;
    const int phases_right = adjoint ? s.stride_w : 1, phases = adjoint ? s.stride_h * s.stride_w : 1;
    const int phase = blockIdx.z % phases, first_h = phase / phases_right, first_w = phase % phases_right;
    const int part = blockIdx.z / phases, count = gridDim.z / phases;
    const Product product(s, from, adjoint, first_h, first_w);
    const Pixel pixel(product, to, s.N, first_h, first_w, blockIdx.x / tiles * Block::N + t % Block::N);
    const Offset plane = Offset(pixel.n) * s.groups + group;
    if (t < Block::N) {
        const int h = first_h + pixel.i * product.down.every, w = first_w + pixel.j * product.right.every;
        const Offset planes = part * Offset(s.N) * s.groups + plane;
        const int pixel_of_y = (first * to.h + h) * to.w + w;
        targets[t] = {planes * (to.channels * to.h * to.w) + pixel_of_y, pixel.real ? to.channels - first : 0};
    }
    const int h = product.down.at + pixel.i * product.down.rise, w = product.right.at + pixel.j * product.right.rise;
    const unsigned outside = pixel.real && product.depth ? bits_outside(product, from, h, w) : ~0u;
    x = settled(x + plane * (from.channels * from.h * from.w) + (h * from.w + w));
    const int all = (product.depth + DEPTH - 1) / DEPTH, each = (all + count - 1) / count;  // steps
    const int begin = min(part * each, all), k = begin * DEPTH;
    int a_at = ((product.slot * s.groups + group) * depth + k + t / Load::QUADS) * width + first + t % Load::QUADS * 4;
    int b_at = (product.slot * depth + k + t / Block::N * Load::COUNT) / 2;

    Block tile([&](int row) {
        return bias && !parts && first + row < to.channels ? float(bias[group * to.channels + first + row]) : 0.0f;
    });
    Load load;
    int steps = min(each, all - begin);
    load.fetch(packed + a_at, table + b_at, x, outside);
    load.keep(memory);
    load.turn(Block::STEP);
    __syncthreads();
    int turn = Block::STEP;
    for (; steps > 0; --steps, turn = -turn) {
        a_at += DEPTH * width, b_at += DEPTH / 2;
        load.fetch(packed + a_at, table + b_at, x, outside);
        tile.multiply(memory);
        load.keep(memory);
        tile.turn(turn), load.turn(-turn);
        __syncthreads();
    }
    const Offset at = targets[t % Block::N].at;
    const int last = targets[t % Block::N].rows, next_row = to.h * to.w;
    const float lowest = -__int_as_float(0x7f800000);
    if (parts) write(tile, memory, parts + at, last, next_row, lowest);
    else write(tile, memory, y + at, last, next_row, relu ? 0.0f : lowest);
}
