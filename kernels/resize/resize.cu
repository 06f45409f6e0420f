// y = A x B^T for every plane of x, with sparse A and B given row by row as taps (source, weight): interpolation, its
// adjoint, means of windows.
//
// resize: a block does with a tile of y what the CPU does with a row. First downwards: each column of x that the tile
//   needs is mixed, for each of the tile's rows, by that row's taps in A. The threads of a warp read side by side,
//   whatever the scale. What is mixed lies in shared memory. Then across: each y takes its taps in B from there. So an
//   output costs taps of A + taps of B, not their product, and x is read along its rows even where B leaps.
// resize_wide: where a tile needs more columns than fit, each y reads x for each pair of taps.
//
// Taps of weight 0 fill a table up. What they name can be read but is not used, since 0 times infinity is NaN.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "planes.cuh"

constexpr int BLOCKS = 5;  // that share a multiprocessor; left alone, the compiler spills registers for eight

using Wide = Accumulator<TYPE>::type;

struct __align__(2 * sizeof(Wide)) Tap { int source; Wide weight; };  // read by one load

// A or B. The taps of row i are at[i], at[i + rows], at[i + 2 rows], ...: rows side by side are read side by side.
struct Matrix {
    const Tap* at;
    int rows, taps;  // 2, 4, or a multiple of 4: filled up with weight 0
};

// `count` taps of a row, in registers. All is loaded before anything is summed, so no load waits for another.
template <int count> struct Taps {
    Tap tap[count];

    __device__ __forceinline__ Taps(Matrix m, int row, int first = 0) {
#pragma unroll
        for (int t = 0; t < count; ++t) tap[t] = m.at[(first + t) * m.rows + row];
    }
    template <class Read> __device__ __forceinline__ Wide mix(Read read) const {
        Wide value[count], sum = 0;
#pragma unroll
        for (int t = 0; t < count; ++t) value[t] = read(tap[t].source);
#pragma unroll
        for (int t = 0; t < count; ++t)
            if (tap[t].weight != 0) sum += tap[t].weight * value[t];
        return sum;
    }
};

// Any number of taps, four at a time.
template <> struct Taps<0> {
    Matrix m;
    int row;

    __device__ __forceinline__ Taps(Matrix m, int row) : m(m), row(row) {}
    template <class Read> __device__ __forceinline__ Wide mix(Read read) const {
        Wide sum = 0;
#pragma unroll 1
        for (int t = 0; t < m.taps; t += 4) sum += Taps<4>(m, row, t).mix(read);
        return sum;
    }
};

struct Hull { int first; Divisor columns; };  // the columns of x that a tile needs

template <int count>
__device__ __forceinline__ void make_tile(const TYPE* __restrict__ x, TYPE* __restrict__ y, Matrix a, Matrix b,
                                          const Hull hull, const Tile& tile, Wide* mixed) {
#pragma unroll(count == 2 ? 2 : 1)
    for (int k = threadIdx.x; k < tile.rows * hull.columns.d; k += THREADS) {
        const int r = hull.columns.quotient(k);
        const Row row(tile, r);
        const TYPE* column = x + row.plane_of_x + hull.first + (k - r * hull.columns.d);
        mixed[k] = Taps<count>(a, row.i).mix([&](int h) { return Wide(column[h * tile.s.in_width]); });
    }
    __syncthreads();
    const int column = tile.column();
    if (column >= tile.s.width) return;
    const Taps<count> taps(b, column);  // the same in all rows
    tile.each_row([&](int r) {
        const Wide* row = mixed + r * hull.columns.d;
        y[(tile.first_row + r) * tile.s.width + column] = TYPE(taps.mix([&](int w) { return row[w - hull.first]; }));
    });
}

// budget: 256 threads, 48 registers, 0 + 24576 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    resize(const TYPE* __restrict__ x, TYPE* __restrict__ y, const Tap* __restrict__ a, int a_taps,
           const Tap* __restrict__ b, int b_taps, const Hull* __restrict__ hulls, Tiles tiles) {
    extern __shared__ Wide mixed[];
    const Tile tile(tiles);
    const Hull hull = hulls[tile.number];
    const Matrix down{a, tiles.out_height.d, a_taps}, across{b, tiles.width, b_taps};
    if (a_taps == 2 && b_taps == 2) make_tile<2>(x, y, down, across, hull, tile, mixed);  // bilinear
    else if (a_taps == 4 && b_taps == 4) make_tile<4>(x, y, down, across, hull, tile, mixed);  // bicubic
    else make_tile<0>(x, y, down, across, hull, tile, mixed);
}

// budget: 256 threads, 56 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    resize_wide(const TYPE* __restrict__ x, TYPE* __restrict__ y, const Tap* __restrict__ a, int a_taps,
                const Tap* __restrict__ b, int b_taps, Tiles tiles) {
    const Tile tile(tiles);
    const int column = tile.column();
    if (column >= tiles.width) return;
    const Matrix across{b, tiles.width, b_taps};
    for (int r = threadIdx.x >> tiles.log_columns; r < tile.rows; r += THREADS >> tiles.log_columns) {
        const Row row(tile, r);
        const Taps<0> down({a, tiles.out_height.d, a_taps}, row.i);
        Wide sum = 0;
        for (int t = 0; t < b_taps; ++t) {
            const Tap tap = across.at[t * across.rows + column];
            const TYPE* pixels = x + row.plane_of_x + tap.source;
            if (tap.weight != 0) sum += tap.weight * down.mix([&](int h) { return Wide(pixels[h * tiles.in_width]); });
        }
        y[(tile.first_row + r) * tiles.width + column] = TYPE(sum);
    }
}
