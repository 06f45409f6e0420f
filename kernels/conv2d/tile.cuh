// A block's tile of a matrix product C (M x N) += A^T (M x 8) B (8 x N) on the ordinary arithmetic units, in float.
//
// The operands of a step, 8 rows of A and of B, lie in shared memory; the sums stay in registers from the first step to
// the last. A thread has `rows` x 8 of them: for each row of A and B it loads rows + 8 numbers, 16 bytes at a time, and
// multiplies rows x 8 times: 16 multiplications for each load, where rows = 8. That takes 128 registers, so that two
// blocks of 256 threads run on a multiprocessor: 4 warps for each of its schedulers, which fill each other's waits.
//
//   block     down x across warps
//   warp      8 rows x 32 sums
//   lane      of every 32 rows 4, of every 16 columns 4: as far apart as that, so that the 8 lanes that are served
//             together want 64 neighbouring bytes of A and 32 of B, and no bank is asked twice
//
// There is room for two steps: while one is multiplied the next one is fetched from global memory, and put into the
// other half when the multiplications are done. So there is one barrier a step:
//
//     for (turn = STEP; ...; turn = -turn) {
//         load.fetch(...);  tile.multiply(memory);  load.keep(memory);
//         tile.turn(turn);  load.turn(-turn);
//         __syncthreads();
//     }
#pragma once
#include "../ptx.cuh"

constexpr int DEPTH = 8;  // rows of A and B in a step
constexpr int SIDE = 8;   // columns of a thread's sums

// The rows and columns of a tile where a thread's sums begin.
template <int rows, int across> struct Lane {
    static __device__ __forceinline__ int warp_row() { return int(threadIdx.x) / 32 / across * rows * 8; }
    static __device__ __forceinline__ int row() { return threadIdx.x / 2 % 8 * 4; }  // in the warp's
    static __device__ __forceinline__ int column() { return (threadIdx.x / 16 % 2 * 2 + threadIdx.x % 2) * 4; }
};

__device__ __forceinline__ void load_four(float* to, const float* from) {
    const float4 four = *reinterpret_cast<const float4*>(from);
    to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
}

template <int rows_of_thread, int warps_down, int warps_across> struct Tile {
    using Lane = ::Lane<rows_of_thread, warps_across>;
    static constexpr int rows = rows_of_thread, down = warps_down, across = warps_across;
    static constexpr int M = 8 * rows * down, N = 32 * across, WARPS = down * across, THREADS = 32 * WARPS;
    // From a row of A or B to the next: whoever writes 8 of them in one column, 4 columns at once, meets no bank twice.
    static constexpr int STRIDE = (M > N ? M : N) + 4;
    static constexpr int B = DEPTH * STRIDE, STEP = 2 * B;  // a step: A, then B

    union Memory {
        __align__(16) float steps[2 * STEP];
        __align__(16) float stage[WARPS][8][40];  // afterwards: 8 rows of 32 sums for each warp, apart by 8 banks
    };

    float sums[rows][SIDE];
    int a_place, b_place;  // in `steps`: where this thread's rows and columns begin, in the half that is multiplied

    // start(row) is what the sums of a row begin with.
    template <class Start> __device__ __forceinline__ explicit Tile(Start start) {
        a_place = settled(Lane::warp_row() + Lane::row());
        b_place = settled(B + int(threadIdx.x) / 32 % across * 32 + Lane::column());
#pragma unroll
        for (int i = 0; i < rows; ++i) {
            const float value = start(Lane::warp_row() + Lane::row() + i / 4 * 32 + i % 4);
#pragma unroll
            for (int j = 0; j < SIDE; ++j) sums[i][j] = value;
        }
    }

    __device__ __forceinline__ void multiply(const Memory& memory) {
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            float a[rows], b[SIDE];
#pragma unroll
            for (int i = 0; i < rows; i += 4) load_four(a + i, &memory.steps[a_place + k * STRIDE + 8 * i]);
#pragma unroll
            for (int j = 0; j < SIDE; j += 4) load_four(b + j, &memory.steps[b_place + k * STRIDE + 4 * j]);
#pragma unroll
            for (int i = 0; i < rows; ++i)
#pragma unroll
                for (int j = 0; j < SIDE; ++j) sums[i][j] += a[i] * b[j];
        }
    }

    __device__ __forceinline__ void turn(int by) { a_place += by, b_place += by; }

    // put(row, sum) for all sums, in column threadIdx.x % N. The lanes of a warp come with 32 neighbouring columns of
    // one row, so that what they store lies together; the sums change hands in `stage`, when all threads are done with
    // the steps.
    template <class Put> __device__ __forceinline__ void each(Memory& memory, Put put) const {
        float(&stage)[8][40] = memory.stage[threadIdx.x / 32];
#pragma unroll
        for (int i = 0; i < rows; ++i) {
            __syncwarp();
#pragma unroll
            for (int j = 0; j < SIDE; j += 4)
                *reinterpret_cast<float4*>(&stage[Lane::row() / 4][Lane::column() + 4 * j]) =
                    make_float4(sums[i][j], sums[i][j + 1], sums[i][j + 2], sums[i][j + 3]);
            __syncwarp();
#pragma unroll
            for (int r = 0; r < 8; ++r) put(Lane::warp_row() + i / 4 * 32 + 4 * r + i % 4, stage[r][threadIdx.x % 32]);
        }
    }
};
