// gx = zeros with each gy added at its place, where the places are those of the maxima of known windows: the gradient of
// max pooling.
//
// A place lies in its window. So a pixel need only ask the windows that hold it, ceil(k / s)^2 of them, whether they
// have chosen it: a gather, in the order of the windows, in one pass and without shared memory (scatter.cu has to look
// for the places first). As in max.cu two tables say which windows those are: for each row of pixels the first row of
// windows and how many, for each column the first column and how many. Neighbours ask the same windows, whose places
// come from memory once and then from the cache.
//
// adjoint_2x2: windows 2x2 that fill the plane. A thread reads its window's place, once, and writes the four pixels as
//   two pairs.
// adjoint_apart, adjoint_pairs: a pixel has at most one window along each axis, or two (3x3 with stride 2). A thread
//   loads all places and all gy of its windows before it compares, so no load waits for another.
// adjoint_any: more windows, one after the other.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "pack.cuh"
#include "planes.cuh"

using Wide = Accumulator<TYPE>::type;

struct Steps { int down, across; };  // between the windows of a pixel: more than 1 where they are dilated

// budget: 256 threads, 24 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    adjoint_2x2(const TYPE* __restrict__ gy, const Offset* __restrict__ places, TYPE* __restrict__ gx, int windows,
                Divisor width, Divisor height) {
    const int o = blockIdx.x * THREADS + threadIdx.x;
    if (o >= windows) return;
    const int row = width.quotient(o), column = o - row * width.d, line = 2 * width.d;
    const int corner = 2 * (row - height.quotient(row) * height.d) * line + 2 * column;  // of the window in its plane
    const int chosen = int(places[o]) - corner;                                          // 0, 1, line or line + 1
    const TYPE value = TYPE(0 + Wide(gy[o])), zero = TYPE(0.0f);                         // the sum of -0 alone is 0
    const Place<2> upper{2 * row * line + 2 * column, 2, true}, lower = upper.starting(upper.first + line);
    upper.store(gx, Pack<TYPE, 2>{chosen == 0 ? value : zero, chosen == 1 ? value : zero});
    lower.store(gx, Pack<TYPE, 2>{chosen == line ? value : zero, chosen == line + 1 ? value : zero});
}

// At most `size` windows along each axis; `count` pixels of a thread at once.
template <int size, int count>
__device__ __forceinline__ void few_windows(const TYPE* __restrict__ gy, const Offset* __restrict__ places,
                                            TYPE* __restrict__ gx, const int2* __restrict__ rows,
                                            const int2* __restrict__ columns, Steps step, const Tile& tile) {
    const int column = tile.column();
    if (column >= tile.s.width) return;
    const int2 across = columns[column];  // first and count
    const auto sum_of = [&](int r) {
        const Row row(tile, r);
        const int2 down = rows[row.i];
        int place[size][size];
        Wide value[size][size];
#pragma unroll
        for (int i = 0; i < size; ++i)
#pragma unroll
            for (int j = 0; j < size; ++j) {
                const int o = (down.x + i * step.down) * tile.s.in_width + across.x + j * step.across;
                const bool holds = i < down.y && j < across.y;
                place[i][j] = holds ? int(places[row.plane_of_x + o]) : -1;
                value[i][j] = holds ? Wide(gy[row.plane_of_x + o]) : Wide(0);
            }
        const int pixel = row.i * tile.s.width + column;
        Wide sum = 0;
#pragma unroll
        for (int k = 0; k < size * size; ++k)
            if (place[k / size][k % size] == pixel) sum += value[k / size][k % size];
        return sum;
    };
    tile.each_row<count>(sum_of,
                         [&](int r, Wide sum) { gx[(tile.first_row + r) * tile.s.width + column] = TYPE(sum); });
}

// budget: 256 threads, 48 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 5)
    adjoint_apart(const TYPE* __restrict__ gy, const Offset* __restrict__ places, TYPE* __restrict__ gx,
                  const int2* __restrict__ rows, const int2* __restrict__ columns, Steps step, Tiles tiles) {
    few_windows<1, 4>(gy, places, gx, rows, columns, step, Tile(tiles));
}

// budget: 256 threads, 40 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 5)
    adjoint_pairs(const TYPE* __restrict__ gy, const Offset* __restrict__ places, TYPE* __restrict__ gx,
                  const int2* __restrict__ rows, const int2* __restrict__ columns, Steps step, Tiles tiles) {
    few_windows<2, 1>(gy, places, gx, rows, columns, step, Tile(tiles));
}

// budget: 256 threads, 48 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 6)
    adjoint_any(const TYPE* __restrict__ gy, const Offset* __restrict__ places, TYPE* __restrict__ gx,
                const int2* __restrict__ rows, const int2* __restrict__ columns, Steps step, Tiles tiles) {
    const Tile tile(tiles);
    const int column = tile.column();
    if (column >= tiles.width) return;
    const int2 across = columns[column];
    for (int r = threadIdx.x >> tiles.log_columns; r < tile.rows; r += THREADS >> tiles.log_columns) {
        const Row row(tile, r);
        const int2 down = rows[row.i];
        const int pixel = row.i * tiles.width + column;
        Wide sum = 0;
        for (int i = 0; i < down.y; ++i) {
            const int start = row.plane_of_x + (down.x + i * step.down) * tiles.in_width + across.x;
#pragma unroll 4
            for (int j = 0; j < across.y; ++j) {
                const int o = start + j * step.across;
                const Wide value = gy[o];
                if (int(places[o]) == pixel) sum += value;
            }
        }
        gx[(tile.first_row + r) * tiles.width + column] = TYPE(sum);
    }
}
