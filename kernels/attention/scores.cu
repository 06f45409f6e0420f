// The softmax between the two products of composed attention, and its gradient: scores are read once and written once.
//
//   shares       e_ij = e^(scale s_ij - top_i), p_ij = e_ij / total_i, top_i = max_j scale s_ij, total_i = sum_j e_ij
//   shares_grad  gs_ij = scale p_ij (dp_ij - mean_i), mean_i = sum_j p_ij dp_ij
//
// The threads of a row keep it in registers, HELD values each, a warp apart: neighbours read neighbouring addresses,
// and each thread has HELD loads under way at once. A warp takes a row of up to 256 values by itself, a block up to
// 2048; what is longer is read once more for each of the three steps. p may be written over s, and gs over dp.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "reduce.cuh"

using Wide = Accumulator<TYPE>::type;
using Offset = long long;

constexpr int THREADS = 256, HELD = 8;

__device__ __forceinline__ Wide power(Wide x) { return sizeof(Wide) == 8 ? exp(x) : expf(x); }
__device__ __forceinline__ Wide lowest() { return -__int_as_float(0x7f800000); }

// A row of the matrix of scores, as the threads that share it see it. Place i of a query sees keys j <= i if causal.
struct Row {
    Offset number;
    int columns, seen, span, mine;  // `span` values fit into the registers of all threads; of these `mine` is its first
    bool busy;

    __device__ Row(Offset rows, int length, int columns, bool causal) : columns(columns), span(HELD * blockDim.x) {
        number = Offset(blockIdx.x) * blockDim.y + threadIdx.y;
        busy = number < rows;
        seen = causal ? min(columns, int(number % length) + 1) : columns;
        mine = threadIdx.x / WARP * (HELD * WARP) + threadIdx.x % WARP;
    }
    // Calls visit(k, j) for value j of the row in register k: those of `span` from `first` on, as far as there are any.
    template <class Visit> __device__ __forceinline__ void each(int first, int end, Visit visit) const {
#pragma unroll
        for (int k = 0; k < HELD; ++k) {
            const int j = first + mine + k * WARP;  // a constant away from the first: no register for its address
            if (j < end) visit(k, j);
        }
    }
};

// budget: 256 threads, 64 registers, 256 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    shares(const Wide* s, TYPE* p, Wide* __restrict__ top, Wide* __restrict__ total, Offset rows, int length,
           int columns, Wide scale, bool causal) {
    __shared__ Wide room[MOST_WARPS];
    const Row row(rows, length, columns, causal);
    if (!row.busy) return;  // a whole warp, of a block whose warps have a row each: no barrier follows
    s += row.number * columns, p += row.number * columns;
    const bool again = columns > row.span;

    Wide held[HELD], largest = lowest(), sum = 0;
    const auto read = [&](int first) { row.each(first, row.seen, [&](int k, int j) { held[k] = scale * s[j]; }); };
#pragma unroll 1
    for (int first = 0; first < row.seen; first += row.span) {
        read(first);
        row.each(first, row.seen, [&](int k, int) { largest = Largest::join(largest, held[k]); });
    }
    largest = joined_in_block<Largest>(largest, room);
#pragma unroll 1
    for (int first = 0; first < row.seen; first += row.span) {
        if (again) read(first);
        row.each(first, row.seen, [&](int k, int) { sum += held[k] = power(held[k] - largest); });
    }
    sum = joined_in_block<Sum>(sum, room);
    if (threadIdx.x == 0) top[row.number] = largest, total[row.number] = sum;
#pragma unroll 1
    for (int first = 0; first < columns; first += row.span) {
        if (again) {
            read(first);
            row.each(first, row.seen, [&](int k, int) { held[k] = power(held[k] - largest); });
        }
        row.each(first, columns, [&](int k, int j) { p[j] = TYPE(j < row.seen ? held[k] / sum : Wide(0)); });
    }
}

// budget: 256 threads, 80 registers, 256 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    shares_grad(const Wide* s, const Wide* dp, TYPE* p, TYPE* gs, const Wide* __restrict__ top,
                const Wide* __restrict__ total, Offset rows, int length, int columns, Wide scale, bool causal) {
    __shared__ Wide room[MOST_WARPS];
    const Row row(rows, length, columns, causal);
    if (!row.busy) return;
    s += row.number * columns, dp += row.number * columns, p += row.number * columns, gs += row.number * columns;
    const bool again = columns > row.span;

    Wide share[HELD], change[HELD], mean = 0;
    const Wide largest = top[row.number], sum = total[row.number];
    const auto read = [&](int first) {
        row.each(first, row.seen, [&](int k, int j) {
            share[k] = power(scale * s[j] - largest) / sum;
            change[k] = dp[j];
        });
    };
#pragma unroll 1
    for (int first = 0; first < row.seen; first += row.span) {
        read(first);
        row.each(first, row.seen, [&](int k, int) { mean += share[k] * change[k]; });
    }
    mean = joined_in_block<Sum>(mean, room);
#pragma unroll 1
    for (int first = 0; first < columns; first += row.span) {
        if (again) read(first);
        row.each(first, columns, [&](int k, int j) {
            const bool sees = j < row.seen;
            p[j] = TYPE(sees ? share[k] : Wide(0));
            gs[j] = TYPE(sees ? scale * share[k] * (change[k] - mean) : Wide(0));
        });
    }
}
