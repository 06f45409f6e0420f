// The values of a warp's or a block's threads joined into one, which every thread is given.
//
//   const float top = joined_in_warp<Largest>(x);             // five shuffles
//   const float half = joined_in_warp<Sum>(x, 16);            // each 16 neighbouring lanes by themselves
//
//   __shared__ float room[MOST_WARPS];
//   const float all = joined_in_block<Sum>(x, room);          // each warp by shuffles, then one value of each warp
//
//   __shared__ float rooms[8 * WARP];                         // a block of 32 x 8
//   const float below = joined_in_column<Sum>(x, rooms);      // the threads of each threadIdx.x by themselves
//
// Every lane of the warp calls joined_in_warp, every thread of the block the others. For joined_in_block the block is
// whole warps along x.
// The tree is the same in every run, so sums have the same bits.
//
// A join is a struct with `static V join(V a, V b)`. A type V of one's own needs `V exchanged(V, int)` beside it, which
// exchanges its members one by one.
#pragma once

constexpr int WARP = 32;
constexpr int MOST_WARPS = 32;  // of a block

struct Sum {
    template <class V> static __device__ __forceinline__ V join(V a, V b) { return a + b; }
};

struct Largest {  // NaN where one of them is NaN, which max() would drop
    template <class V> static __device__ __forceinline__ V join(V a, V b) { return a > b || a != a ? a : b; }
};

// Two values that are joined at once: the shuffles of the one hide the time that those of the other take.
template <class V> struct __align__(2 * sizeof(V)) Pair {  // aligned, so that one instruction moves both
    V first, second;

    friend __device__ __forceinline__ Pair operator+(Pair a, Pair b) {
        return {a.first + b.first, a.second + b.second};
    }
};

// The value of the lane whose number differs from this one's by the bit `step`.
__device__ __forceinline__ int exchanged(int value, int step) { return __shfl_xor_sync(0xffffffff, value, step); }
__device__ __forceinline__ float exchanged(float value, int step) { return __shfl_xor_sync(0xffffffff, value, step); }
__device__ __forceinline__ double exchanged(double value, int step) { return __shfl_xor_sync(0xffffffff, value, step); }
template <class V> __device__ __forceinline__ Pair<V> exchanged(Pair<V> value, int step) {
    return {exchanged(value.first, step), exchanged(value.second, step)};
}

// Joins `lanes` neighbours, a power of two. Lanes pair up across half the group, a quarter, ...: each joins its own
// value with its partner's, so all have the same bits if join(a, b) has those of join(b, a); else use the first lane's.
template <class Join, class V> __device__ __forceinline__ V joined_in_warp(V value, int lanes = WARP) {
#pragma unroll
    for (int step = lanes / 2; step > 0; step /= 2) value = Join::join(value, exchanged(value, step));
    return value;
}

// Joins the whole block; `room` is in shared memory, a value for each warp, and free again afterwards. The threads read
// all of it, one after the other: at eight warps that takes less time than five more shuffles.
template <class Join, class V> __device__ __forceinline__ V joined_in_block(V value, V* room) {
    value = joined_in_warp<Join>(value);
    const int warps = blockDim.x / WARP;
    if (warps == 1) return value;
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = value;
    __syncthreads();
    value = room[0];
    for (int w = 1; w < warps; ++w) value = Join::join(value, room[w]);
    __syncthreads();  // before somebody writes to `room` again
    return value;
}

// Joins the threads that differ in threadIdx.y alone, a power of two, for the one with threadIdx.y = 0. `room` is in
// shared memory, a value for each thread; the lanes of a warp lie side by side in it.
template <class Join, class V> __device__ __forceinline__ V joined_in_column(V value, V* room) {
    V* const own = room + threadIdx.y * blockDim.x + threadIdx.x;
    *own = value;
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) *own = value = Join::join(value, own[half * blockDim.x]);
    }
    return value;
}
