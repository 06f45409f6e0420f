// The largest value of each window, and its place h W + w in its plane; and the values that stand at given places.
//
// A window is what two tables say: the first row and how many, the first column and how many; clipped to the plane, so
// no test for its edge is left. Windows of one size and windows that share out the plane differ in their tables only.
//
// max_2x2, max_3x3: windows of one size. A thread loads all of a window, then compares, so no load waits for
//   another; a window that the edge has clipped reads its last row or column twice, which changes nothing.
// max_any: 2^log_lanes threads share a window, 2^log_across of them side by side, and join by shuffles: one for small
//   windows, a warp where a window is a whole plane.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "planes.cuh"

using Wide = Accumulator<TYPE>::type;
using Offset = long long;

struct Steps { int down, across; };  // between neighbours in a window: its dilation

// The best so far of a window; place -1: nothing yet.
struct Best {
    Wide value;
    int place;

    // In the order of the places: the first of equals stays, a NaN goes only for a later one. As PyTorch.
    __device__ __forceinline__ void meet(Wide v, int at) {
        if (v > value || v != v) value = v, place = at;
    }
};

// Of two parts of a window, whatever their order.
__device__ __forceinline__ bool wins(Best a, Best b) {
    if (a.place < 0 || b.place < 0) return b.place < 0;
    if (a.value != a.value || b.value != b.value)
        return a.value != a.value && (b.value == b.value || a.place > b.place);
    return a.value > b.value || (a.value == b.value && a.place < b.place);
}

template <int size, int count>
__device__ __forceinline__ void max_windows(const TYPE* __restrict__ x, TYPE* __restrict__ y,
                                            Offset* __restrict__ places, const int2* __restrict__ rows,
                                            const int2* __restrict__ columns, Steps step, const Tile& tile) {
    const int column = tile.column();
    if (column >= tile.s.width) return;
    const int2 across = columns[column];  // first and count
    const auto largest = [&](int r) {
        const Row row(tile, r);
        const int2 down = rows[row.i];
        Wide value[size][size];
        int place[size][size];
#pragma unroll
        for (int i = 0; i < size; ++i)
#pragma unroll
            for (int j = 0; j < size; ++j) {
                const int h = down.x + min(i, down.y - 1) * step.down;
                const int w = across.x + min(j, across.y - 1) * step.across;
                place[i][j] = h * tile.s.in_width + w;
                value[i][j] = x[row.plane_of_x + place[i][j]];
            }
        Best best{value[0][0], place[0][0]};
#pragma unroll
        for (int k = 1; k < size * size; ++k) best.meet(value[k / size][k % size], place[k / size][k % size]);
        return best;
    };
    tile.each_row<count>(largest, [&](int r, Best best) {
        const int o = (tile.first_row + r) * tile.s.width + column;
        y[o] = TYPE(best.value);
        places[o] = best.place;
    });
}

// budget: 256 threads, 48 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 5)
    max_2x2(const TYPE* __restrict__ x, TYPE* __restrict__ y, Offset* __restrict__ places,
            const int2* __restrict__ rows, const int2* __restrict__ columns, Steps step, Tiles tiles) {
    max_windows<2, 2>(x, y, places, rows, columns, step, Tile(tiles));
}

// budget: 256 threads, 48 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 5)
    max_3x3(const TYPE* __restrict__ x, TYPE* __restrict__ y, Offset* __restrict__ places,
            const int2* __restrict__ rows, const int2* __restrict__ columns, Steps step, Tiles tiles) {
    max_windows<3, 1>(x, y, places, rows, columns, step, Tile(tiles));
}

// budget: 256 threads, 40 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 6)
    max_any(const TYPE* __restrict__ x, TYPE* __restrict__ y, Offset* __restrict__ places,
            const int2* __restrict__ rows, const int2* __restrict__ columns, Steps step, int windows, Divisor width,
            Divisor height, int in_height, int in_width, int log_lanes, int log_across) {
    const int thread = blockIdx.x * (THREADS >> log_lanes) + (threadIdx.x >> log_lanes);
    const int o = min(thread, windows - 1);  // all lanes of a warp take part in its shuffles
    const int row = width.quotient(o), plane = height.quotient(row);
    const int2 down = rows[row - plane * height.d], across = columns[o - row * width.d];
    const int lane = threadIdx.x & ((1 << log_lanes) - 1), first = lane & ((1 << log_across) - 1);
    x += plane * in_height * in_width;
    Best best{-__int_as_float(0x7f800000), -1};
    for (int i = lane >> log_across; i < down.y; i += 1 << (log_lanes - log_across)) {
        const int start = (down.x + i * step.down) * in_width + across.x;
#pragma unroll 4
        for (int j = first; j < across.y; j += 1 << log_across) {
            const int place = start + j * step.across;
            const Wide v = x[place];
            if (best.place < 0) best = {v, place};
            else best.meet(v, place);
        }
    }
    for (int step = 1 << log_lanes >> 1; step > 0; step /= 2) {
        const Best other{__shfl_xor_sync(0xffffffff, best.value, step), __shfl_xor_sync(0xffffffff, best.place, step)};
        if (wins(other, best)) best = other;
    }
    if (thread < windows && lane == 0) y[o] = TYPE(best.value), places[o] = best.place;
}

// y = x at the places, each of its own plane; 0 at place -1.
// budget: 256 threads, 24 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    gather(const TYPE* __restrict__ x, const Offset* __restrict__ places, TYPE* __restrict__ y, int values,
           Divisor plane_of_y, int plane_of_x) {
    constexpr int EACH = 4;  // loads of a thread that are under way at once
    const int first = blockIdx.x * (EACH * THREADS) + threadIdx.x;
    int place[EACH];
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        const int o = first + k * THREADS;
        place[k] = o < values ? int(places[o]) : -1;
    }
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        const int o = first + k * THREADS;
        if (o < values) y[o] = place[k] < 0 ? TYPE(0.0f) : x[plane_of_y.quotient(o) * plane_of_x + place[k]];
    }
}
