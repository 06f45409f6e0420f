// Version 4, the gradient of the weight: a matrix product on tensor cores over all pixels of all images.
//
//     gw[o][tap, c] = sum over pixels k = (n, i, j) of gy[k][o] x[pixel that the tap sees from k][c]
//
// The copies of layout.cu have channels last, so both matrices come in rows along M and N: a row of a slab is a pixel.
// Its place in gy follows from k alone. Its place in x needs divisions, which one thread does for all, a slab ahead. A
// column (tap, c) stays the same in every slab.
//
// K is long and D small: a 3x3 layer of 64 channels has 3 tiles, and half a million pixels. So the pixels are shared
// out over `splits` blocks for each tile. They write their sums, in float; parts.cu adds these.
// nvrtc: TYPE=float,float16,bfloat16 TILE_M=128,64 TILE_N=256; sm_80
// nvrtc: TYPE=float,float16,bfloat16 TILE_M=64 TILE_N=64; sm_80
#include "conv.cuh"
#include "fragments.cuh"

// What a block computes: the tile at (row, column) of a group's D, `rows` x `columns`, over `pixels` from `first` on.
// Columns are taps x channels, which come in whole chunks.
struct Task {
    int group, split, row, column, rows, columns, chunks;
    Offset first;
    int pixels;

    static __device__ Task of_block(const Conv& c, int splits) {
        const int rows = c.O / c.groups, chunks = chunks_of(c.C / c.groups);
        const int columns = c.KH * c.KW * chunks * CHUNK;
        const int tiles_m = (rows + TILE_M - 1) / TILE_M, tiles_n = (columns + TILE_N - 1) / TILE_N;
        const int block = blockIdx.x, tile = block % (tiles_m * tiles_n), rest = block / (tiles_m * tiles_n);
        const int split = rest / c.groups;
        const Offset pixels = Offset(c.N) * c.OH * c.OW, slabs = (pixels + DEPTH - 1) / DEPTH;
        const Offset first = slabs * split / splits * DEPTH, last = slabs * (split + 1) / splits * DEPTH;
        return {rest % c.groups, split, tile % tiles_m * TILE_M, tile / tiles_m * TILE_N, rows, columns, chunks, first,
                int(min(last, pixels) - first)};
    }
};

// Fetches the slabs: a thread has one chunk of the columns of A and one of B, and takes every so-manyth row.
struct Gather {
    static constexpr int ACROSS_A = TILE_M / CHUNK, ACROSS_B = TILE_N / CHUNK;
    static constexpr int DOWN_A = THREADS / ACROSS_A, DOWN_B = THREADS / ACROSS_B;
    using Places = const Chunk* [2][DEPTH];

    Places& places;         // in x: of the pixels of the next slab, and of the one after it
    const Chunk *gy, *x;    // the thread's first chunk of the next slab; the first image
    int turn, pixel, left;  // half of `places`; the next slab's first pixel, from that image on; pixels to the end
    int gy_pitch, column;   // from pixel to pixel of gy, and from a place to the thread's column, in chunks
    const Task& task;
    const Conv& conv;
    const Grid& grid;

    __device__ Gather(const TYPE* x_copy, const TYPE* gy_copy, const Task& t, const Conv& c, const Grid& g,
                      Places& room)
        : places(room), turn(0), left(t.pixels), gy_pitch(chunks_of(t.rows)), task(t), conv(c), grid(g) {
        const int size = c.OH * c.OW;
        const Offset image = Offset(t.group) * c.N + t.first / size;
        pixel = t.first % size;
        // Columns past the last one repeat it.
        const int a = min(t.row / CHUNK + int(threadIdx.x) % ACROSS_A, gy_pitch - 1);
        const int b = min(t.column / CHUNK + int(threadIdx.x) % ACROSS_B, t.columns / CHUNK - 1);
        const int tap = b / t.chunks, line = tap / c.KW * c.dilation_h, across = tap % c.KW * c.dilation_w;
        gy = reinterpret_cast<const Chunk*>(gy_copy) + (image * size + pixel + threadIdx.x / ACROSS_A) * gy_pitch + a;
        x = reinterpret_cast<const Chunk*>(x_copy) + image * g.rows * g.columns * t.chunks;
        column = (line * g.columns + across) * t.chunks + b % t.chunks;
        note_places(turn, pixel);
    }

    // Of the slab that begins with pixel `first`: one thread a pixel.
    __device__ __forceinline__ void note_places(int half, int first) const {
        if (threadIdx.x >= DEPTH) return;
        const unsigned k = first + threadIdx.x, wide = conv.OW, size = conv.OH * wide, at = k % size;
        const int line = at / wide * conv.stride_h, across = at % wide * conv.stride_w;
        places[half][threadIdx.x] = x + ((int(k / size) * grid.rows + line) * grid.columns + across) * task.chunks;
    }

    __device__ __forceinline__ void fetch(char* slab) {
        note_places(turn ^ 1, pixel + DEPTH);  // read after the next barrier
        const int row_a = threadIdx.x / ACROSS_A, row_b = threadIdx.x / ACROSS_B;
        const int a = row_a * AcrossK::ROW_A + ((threadIdx.x % ACROSS_A * 16) ^ AcrossK::turn(row_a));
        const int b = row_b * AcrossK::ROW_B + ((threadIdx.x % ACROSS_B * 16) ^ AcrossK::turn(row_b));
        // The turn of row_a + i is that of row_a and that of i: they have no bit in common.
#pragma unroll
        for (int i = 0; i < DEPTH; i += DOWN_A)
            cp_async<16>(slab + i * AcrossK::ROW_A + (a ^ AcrossK::turn(i)), gy + i * gy_pitch, row_a + i < left);
        slab += AcrossK::BYTES_A;
#pragma unroll
        for (int i = 0; i < DEPTH; i += DOWN_B)
            cp_async<16>(slab + i * AcrossK::ROW_B + (b ^ AcrossK::turn(i)), places[turn][row_b + i] + column,
                         row_b + i < left);
        turn ^= 1, pixel += DEPTH, left -= DEPTH, gy += DEPTH * gy_pitch;
    }
};

// parts[split][o][tap][c], c in whole chunks: the sums over the pixels of one split.
// budget: 256 threads, 255 registers, 512 + 98304 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    tensor_weight(const TYPE* __restrict__ x, const TYPE* __restrict__ gy, float* __restrict__ parts, Conv conv,
                  Grid grid, int splits) {
    extern __shared__ __align__(16) char ring[];
    __shared__ Gather::Places places;
    const Task task = Task::of_block(conv, splits);
    Gather gather(x, gy, task, conv, grid, places);
    Sums sums;
    multiply<AcrossK>(sums, gather, (task.pixels + DEPTH - 1) / DEPTH, ring);

    parts += ((Offset(task.split) * conv.groups + task.group) * task.rows) * task.columns;
    sums.each_pair<0, 1>([&](int row, int column, float one, float two) {  // four lanes write 32 bytes side by side
        row += task.row, column += task.column;
        if (row < task.rows && column < task.columns)
            *reinterpret_cast<float2*>(parts + Offset(row) * task.columns + column) = make_float2(one, two);
    });
}
