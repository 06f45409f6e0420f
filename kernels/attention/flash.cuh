// What the kernels of flash.cu and flash_grad.cu stand on: heads in memory, tiles of them in shared memory.
//
// A block of 128 threads owns some rows and lets tiles of STREAMED other rows pass by. Products of the two are spread
// over the threads' registers, R rows each. There are two kinds of products, with the same functions:
//     tiles_plain.cuh    multiply-adds of float32
//     tiles_tensor.cuh   tensor cores: half types, or float32 rounded to TF32
// In shared memory a row lies PITCH values from the next, 16 bytes more than it is long: so 8 threads that read 16
// bytes of 8 neighbouring rows hit all 32 banks once. It ends with zeros up to WIDTH, and a tile with rows of zeros:
// products need no bounds.
#pragma once
#include "half.cuh"
#include "ptx.cuh"
#include "reduce.cuh"

using Offset = long long;

constexpr int THREADS = 128, STREAMED = 32;
constexpr int CHUNK = 16 / sizeof(TYPE);  // values that one instruction moves
constexpr int PITCH = WIDTH + CHUNK;

struct Shape { int length, source, size, breadth; };  // q (length, size), k (source, size), v (source, breadth)

// One head of an array: rows x size. It can be moved by chunks if every row starts at a multiple of one.
template <class T> struct Head {
    T* first;
    int rows, size;
    bool by_chunks;

    __device__ Head(T* all, Offset head, int rows, int size) : first(all + head * rows * size), rows(rows), size(size) {
        by_chunks = size % CHUNK == 0 && reinterpret_cast<size_t>(all) % 16 == 0;
    }
};

// Which keys a query sees: those that exist, and if causal those up to its own place.
struct Sight {
    int length, source;
    bool causal;

    __device__ __forceinline__ bool sees(int query, int key) const {
        return query < length && key < source && (!causal || key <= query);
    }
    // All of the queries from `query` up to `past` see all keys before `end`.
    __device__ __forceinline__ bool sees_all(int query, int past, int end) const {
        return past <= length && end <= source && (!causal || end <= query + 1);
    }
};

__device__ __forceinline__ float lowest() { return -__int_as_float(0x7f800000); }

#if TENSOR
#include "tiles_tensor.cuh"
#else
#include "tiles_plain.cuh"
#endif

// tile[0 .. rows) = the head's rows from `first` on; complete after copies_arrived().
template <int rows, int count>
__device__ __forceinline__ void copy_by(TYPE* tile, const Head<const TYPE>& head, int first) {
    static_assert(rows * WIDTH % (count * THREADS) == 0, "every thread copies as often as the others");
#pragma unroll (count > 1 ? 4 : 1)
    for (int n = 0; n < rows * WIDTH / (count * THREADS); ++n) {
        const int c = threadIdx.x + n * THREADS, row = c / (WIDTH / count), column = c % (WIDTH / count) * count;
        const bool valid = first + row < head.rows && column < head.size;
        const Offset place = valid ? Offset(first + row) * head.size + column : 0;
        copy<count>(tile + row * PITCH + column, head.first + place, valid);
    }
}
template <int rows> __device__ __forceinline__ void copy_rows(TYPE* tile, const Head<const TYPE>& head, int first) {
    if (head.by_chunks) copy_by<rows, CHUNK>(tile, head, first);
    else copy_by<rows, 1>(tile, head, first);
}

// What this thread has copied is there, and so is what the others have; and nobody is behind this line any more.
__device__ __forceinline__ void copies_arrived() {
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
}

// visit(i, j, row, column) for each of this thread's values of a product: rows of the block by rows that pass by.
template <int R, class Visit> __device__ __forceinline__ void each(Visit visit) {
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int j = 0; j < C; ++j) visit(i, j, row_of<R>(i), column_of(j));
}

template <int R> __device__ __forceinline__ void clear(float (&sums)[R][F]) {
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int f = 0; f < F; ++f) sums[i][f] = 0;
}

// Writes a row's sums, of which this thread has RUN neighbours at a time, where the head ends at the latest.
__device__ __forceinline__ void store(const Head<TYPE>& head, int row, const float (&sums)[F]) {
    struct __align__(RUN * sizeof(TYPE)) Run { TYPE at[RUN]; };
    if (row >= head.rows) return;
    TYPE* to = head.first + Offset(row) * head.size;
#pragma unroll
    for (int f = 0; f < F; f += RUN) {
        Run run;
#pragma unroll
        for (int n = 0; n < RUN; ++n) run.at[n] = TYPE(sums[f + n]);
        const int column = feature_of(f);
        if (head.by_chunks && column < head.size) *reinterpret_cast<Run*>(to + column) = run;
#pragma unroll
        for (int n = 0; n < RUN; ++n)
            if (!head.by_chunks && column + n < head.size) to[column + n] = run.at[n];
    }
}
