// Version 4: the convolution, and its adjoint, as one matrix product on tensor cores. Nothing is unrolled in memory.
//
//     D[o][pixel] = sum over k = (tap, channel) of w[o][k] x[pixel, k]         pixel = (image, row, column)
//
// Both inputs are the copies that layout.cu makes, channels last. So a row of A or B is 16 bytes of channels after 16
// bytes of channels, tap after tap, and a cp.async fetches them from where the tap looks: pixel's place + tap's place.
//
// The adjoint is the same sum with gy for x. At stride s a pixel hears from every s-th tap only, and pixels s apart
// hear from the same ones: such a phase is a convolution of its own, of stride 1, with its taps and its pixels.
//
// Where there are few tiles, blockIdx.y shares the slabs of each out over several blocks; parts.cu adds their sums up.
// nvrtc: TYPE=float,float16,bfloat16 TILE_M=128,64 TILE_N=256; sm_80
// nvrtc: TYPE=float,float16,bfloat16 TILE_M=64 TILE_N=64; sm_80
#include "conv.cuh"
#include "fragments.cuh"
#include "taps.cuh"

// One axis of a block's work, rows for example. Output u of `outputs` is row first + u every of y. Its first tap is
// `tap` and sees row at + u rise of the copy. There are `taps` taps, `step` apart, which see rows `ahead` apart.
struct Side {
    int outputs, first, every, taps, tap, step, at, ahead, rise;

    __device__ Side(const Axis& axis, int phase, int size, int kernel, int copy_first)
        : outputs((size - phase + axis.every - 1) / axis.every), first(phase), every(axis.every),
          taps((kernel - axis.first + axis.step - 1) / axis.step), tap(axis.first), step(axis.step),
          at(axis.at - copy_first), ahead(axis.ahead), rise(axis.rise) {}
};

// What a block computes: TILE_M channels of TILE_N pixels, of one phase of one group.
struct Task {
    int groups, inputs, outputs, images, height, width;  // channels of a group; y is images x outputs x height x width
    int group, channel, image, pixel;                    // the first of the tile; pixel counts from that image on
    Side rows, columns;

    // Neighbours read the same pixels: all channels of a phase, then the next phase of this tile of pixels. So phases,
    // each of which writes a part of every 32 bytes, meet in the second-level cache, and long ones mix with short ones.
    static __device__ Task of_block(const Conv& c, const Grid& grid, bool adjoint) {
        const int outputs = (adjoint ? c.C : c.O) / c.groups, inputs = (adjoint ? c.O : c.C) / c.groups;
        const int height = adjoint ? c.H : c.OH, width = adjoint ? c.W : c.OW;
        const int across = adjoint ? c.stride_w : 1, phases = adjoint ? c.stride_h * across : 1;
        const int tiles = (outputs + TILE_M - 1) / TILE_M, blocks = gridDim.x / c.groups;
        const int block = blockIdx.x % blocks, phase = block / tiles % phases;
        const int row = phase / across, column = phase % across;
        const Side rows(adjoint ? backward_axis(row, c.stride_h, c.dilation_h, c.top, c.KH)
                                : forward_axis(0, c.stride_h, c.dilation_h, c.top),
                        row, height, c.KH, grid.first_row);
        const Side columns(adjoint ? backward_axis(column, c.stride_w, c.dilation_w, c.left, c.KW)
                                   : forward_axis(0, c.stride_w, c.dilation_w, c.left),
                           column, width, c.KW, grid.first_column);
        const int pixels = max(1, rows.outputs * columns.outputs);
        const Offset first = Offset(block / tiles / phases) * TILE_N;
        const int group = blockIdx.x / blocks, channel = block % tiles * TILE_M;
        const int image = first / pixels, pixel = first % pixels;
        return {c.groups, inputs, outputs, c.N, height, width, group, channel, image, pixel, rows, columns};
    }
    __device__ bool empty() const { return image >= images || rows.outputs * columns.outputs == 0; }
};

// Where pixel i of the tile lies: `image` counts from the tile's first.
struct Pixel {
    int image, row, column;

    __device__ Pixel(const Task& task, int i) {
        const int pixels = task.rows.outputs * task.columns.outputs, at = task.pixel + i;
        image = at / pixels, row = at % pixels / task.columns.outputs, column = at % task.columns.outputs;
    }
};

// Where a thread is in k: it goes through the channels of a tap by chunks, then on to the next tap of the line, and to
// the next line of taps. `w` and `x` point there for the tile's first output channel and image. Steps are in chunks.
struct Walk {
    const Chunk *w, *x;
    int chunk = 0, row = 0, column = 0;
    int chunks, rows, columns;         // of a tap, of the window
    int w_tap, x_tap, w_line, x_line;  // on to the next tap; then, after a whole line, to the next line

    __device__ Walk(const TYPE* x_copy, const TYPE* w_copy, const Task& task, const Conv& c, const Grid& grid)
        : chunks(chunks_of(task.inputs)), columns(task.columns.taps) {
        const Side &down = task.rows, &across = task.columns;
        rows = columns == 0 ? 0 : down.taps;
        w = reinterpret_cast<const Chunk*>(w_copy);
        w += ((Offset(task.group) * task.outputs + task.channel) * c.KH * c.KW + down.tap * c.KW + across.tap) * chunks;
        x = reinterpret_cast<const Chunk*>(x_copy);
        x += (((Offset(task.group) * c.N + task.image) * grid.rows + down.at) * grid.columns + across.at) * chunks;
        w_tap = (across.step - 1) * chunks, w_line = (down.step * c.KW - across.step * columns) * chunks;
        x_tap = (across.ahead - 1) * chunks, x_line = (down.ahead * grid.columns - across.ahead * columns) * chunks;
    }
    __device__ __forceinline__ bool over() const { return row >= rows; }

    __device__ __forceinline__ void advance(int by) {
        chunk += by, w += by, x += by;
        while (chunk >= chunks && !over()) {  // once, if a tap has that many chunks; on to a part, once for each tap
            chunk -= chunks, w += w_tap, x += x_tap;
            if (++column == columns) column = 0, ++row, w += w_line, x += x_line;
        }
    }
};

// Fetches the slabs. A thread has one chunk of every so-manyth row, which are all at the same place in k.
struct Gather {
    static constexpr int DOWN = THREADS / 4;
    int w_row[TILE_M / DOWN], x_row[TILE_N / DOWN];  // those rows, from the tile's first output channel and image on
    int place;                                       // of the first of them in a slab
    int slabs;                                       // of this part
    Walk walk;

    __device__ Gather(const TYPE* x_copy, const TYPE* w_copy, const Task& task, const Conv& c, const Grid& grid)
        : place(AlongK::place(threadIdx.x / 4, threadIdx.x % 4)), walk(x_copy, w_copy, task, c, grid) {
        const int all = (walk.rows * walk.columns * walk.chunks + 3) / 4, each = (all + gridDim.y - 1) / gridDim.y;
        const int first = min(int(blockIdx.y) * each, all);
        slabs = min(each, all - first);
        walk.advance(first * 4 + int(threadIdx.x) % 4 - 4);  // as `fetch` goes on by 4 before it fetches
        const int w_size = c.KH * c.KW * walk.chunks, x_size = grid.rows * grid.columns * walk.chunks;
#pragma unroll
        for (int i = 0; i < TILE_M / DOWN; ++i)  // rows past the last channel, or image, repeat it
            w_row[i] = min(int(threadIdx.x) / 4 + i * DOWN, task.outputs - task.channel - 1) * w_size;
#pragma unroll
        for (int i = 0; i < TILE_N / DOWN; ++i) {
            const Pixel pixel(task, threadIdx.x / 4 + i * DOWN);
            const int line = pixel.row * task.rows.rise, across = pixel.column * task.columns.rise;
            x_row[i] = min(pixel.image, c.N - task.image - 1) * x_size + (line * grid.columns + across) * walk.chunks;
        }
    }

    __device__ __forceinline__ void fetch(char* slab) {
        walk.advance(4);  // the branches first: then addresses and copies can stand between the mma
        slab += place;
#pragma unroll
        for (int i = 0; i < TILE_M / DOWN; ++i)
            cp_async<16>(slab + i * DOWN * AlongK::ROW, walk.w + w_row[i], !walk.over());
#pragma unroll
        for (int i = 0; i < TILE_N / DOWN; ++i)
            cp_async<16>(slab + AlongK::BYTES_A + i * DOWN * AlongK::ROW, walk.x + x_row[i], !walk.over());
    }
};

// The tile on its way out, in the type of what is written. Fragments are 8 bytes here and there; in shared memory they
// become lines of pixels. The tile may be larger than the ring whose place it takes: then half of each warp's channels
// go first.
template <class T> struct Tile {
    static constexpr int PARTS = TILE_M * TILE_N * sizeof(T) > STAGES * AlongK::BYTES ? 2 : 1;
    static constexpr int EACH = WARP / PARTS, ROWS = TILE_M / PARTS;  // channels of a warp, and of all, in a part
    T* values;

    // Columns change places by eights, so that the 8 rows of a warp's fragments lie in different banks.
    __device__ __forceinline__ T* at(int row, int column) const {
        return values + row * TILE_N + (column ^ row % 8 * 8);
    }
    static __device__ __forceinline__ int channel(int part, int row) {  // of the tile's, which stands in this row
        return row / EACH * WARP + part * EACH + row % EACH;
    }

    // sums + bias, with `relu` no less than 0
    template <int part>
    __device__ __forceinline__ void put(const Sums& sums, const TYPE* bias, const Task& task, bool relu) const {
        sums.each_pair<part, PARTS>([&](int row, int column, float first, float second) {
            const int channel = min(task.channel + row, task.outputs - 1);
            const float b = bias == nullptr ? 0.0f : float(bias[task.group * task.outputs + channel]);
            first += b, second += b;
            if (relu) first = first < 0 ? 0 : first, second = second < 0 ? 0 : second;  // NaN stays
            const Pack<T, 2> pair = {T(first), T(second)};
            *reinterpret_cast<Pack<T, 2>*>(at(row / WARP * EACH + row % EACH, column)) = pair;
        });
    }
};

// Part of the tile to y, `size` neighbouring pixels at a time. A thread stays with its pixels.
template <int part, int size, class T>
__device__ __forceinline__ void store(const Tile<T>& tile, T* y, const Task& task) {
    constexpr int ACROSS = TILE_N / size, DOWN = THREADS < ACROSS ? 1 : THREADS / ACROSS;
    const Offset plane = Offset(task.height) * task.width;
    for (int i = threadIdx.x % ACROSS * size; i < TILE_N; i += THREADS * size) {
        const Pixel pixel(task, i);
        if (task.image + pixel.image >= task.images) break;
        const int line = task.rows.first + pixel.row * task.rows.every;
        const int column = task.columns.first + pixel.column * task.columns.every;
        const Offset image = Offset(task.image + pixel.image) * task.groups + task.group;
        T* const to = y + (image * task.outputs + task.channel) * plane + Offset(line) * task.width + column;
        for (int row = threadIdx.x / ACROSS; row < Tile<T>::ROWS; row += DOWN) {
            const int channel = Tile<T>::channel(part, row);
            if (task.channel + channel >= task.outputs) break;
            *reinterpret_cast<Pack<T, size>*>(to + channel * plane) =
                *reinterpret_cast<const Pack<T, size>*>(tile.at(row, i));
        }
    }
}

// y = sums + bias by way of the ring, with `relu` no less than 0.
template <class T, int part = 0>
__device__ __forceinline__ void write(const Sums& sums, const TYPE* bias, T* y, const Task& task, bool relu,
                                      char* ring) {
    const Tile<T> tile{reinterpret_cast<T*>(ring)};
    tile.template put<part>(sums, bias, task, relu);
    __syncthreads();
    // Neighbouring pixels are neighbours in y, and a pack of them is in one image if images are whole packs.
    const bool packs = task.rows.every * task.columns.every == 1 && task.height * task.width % PACKED<T> == 0;
    if (packs) store<part, PACKED<T>>(tile, y, task);
    else store<part, 1>(tile, y, task);
    if constexpr (part + 1 < Tile<T>::PARTS) {
        __syncthreads();
        write<T, part + 1>(sums, bias, y, task, relu, ring);
    }
}

// y = w * x + bias, or the adjoint; or its `parts`, in float and without a bias. x and w are copies: of w
// (O, C/G, KH, KW), in the adjoint (C, O/G, KH, KW).
// budget: 256 threads, 255 registers, 0 + 98304 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    tensor(const TYPE* __restrict__ x, const TYPE* __restrict__ w, const TYPE* __restrict__ bias, TYPE* __restrict__ y,
           float* __restrict__ parts, Conv conv, Grid grid, bool adjoint, bool relu) {
    extern __shared__ __align__(16) char ring[];
    const Task task = Task::of_block(conv, grid, adjoint);
    if (task.empty()) return;  // another phase has more pixels
    Gather gather(x, w, task, conv, grid);
    Sums sums;
    multiply<AlongK>(sums, gather, gather.slabs, ring);
    if (parts == nullptr) return write(sums, bias, y, task, relu, ring);
    const Offset size = Offset(task.images) * task.groups * task.outputs * task.height * task.width;
    write(sums, nullptr, parts + blockIdx.y * size, task, false, ring);
}
