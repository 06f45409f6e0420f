// The product of a block on tensor cores: D (TILE_M x TILE_N) += A (TILE_M x K) B (K x TILE_N).
//
// K is gone through in slabs of 64 bytes: 16 values of TF32, 32 of a half type. A ring in shared memory holds STAGES of
// them; cp.async fills it STAGES - 1 slabs ahead, past the registers. A slab is two steps, each one mma deep, and the
// fragments of a step are loaded while the tensor cores work on those of the step before.
//
// The three types are one design, as everything but the mma itself goes by bytes: ldmatrix, made for 8 x 8 values of 16
// bits, loads 8 rows of 16 bytes, and a lane gets 4 bytes of row lane / 4. That is where mma wants two halves, or one
// TF32 number.
//
// Each warp has a WARP x WARP part of D. For 64 x 64 a step reads 128 rows of 32 bytes for 32 mma: 32 cycles of shared
// memory, and as many of the tensor cores, or more. For 64 x 32 it would be 24 cycles for 16 mma. Smaller parts are for
// products that would leave most multiprocessors without a block.
#pragma once
#include "copies.cuh"
#include "mma.cuh"
#include "ptx.cuh"

constexpr int WARP = TILE_M * TILE_N < 128 * 128 ? 32 : 64, WARPS_N = TILE_N / WARP;
constexpr int THREADS = TILE_M / WARP * WARPS_N * 32;
constexpr int BLOCKS = WARP == 64 ? 256 / THREADS : 4;  // of a multiprocessor: what the registers are to allow
constexpr int STAGES = 4;
constexpr int DEPTH = 4 * CHUNK;  // values of K in a slab

__device__ __forceinline__ int lane() { return threadIdx.x % 32; }
__device__ __forceinline__ int warp_m() { return threadIdx.x / 32 / WARPS_N * WARP; }  // where its part of D begins
__device__ __forceinline__ int warp_n() { return threadIdx.x / 32 % WARPS_N * WARP; }

// What a warp multiplies in one step.
struct Fragments {
    unsigned a[WARP / 16][4], b[WARP / 8][2];
};

// A warp's part of D. at[i][j] are its rows 16 i ... and columns 8 j ..., as mma lays them out.
struct Sums {
    float at[WARP / 16][WARP / 8][4] = {};

    __device__ __forceinline__ void add(const Fragments& f) {
#pragma unroll
        for (int i = 0; i < WARP / 16; ++i)
#pragma unroll
            for (int j = 0; j < WARP / 8; ++j) mma(at[i][j], f.a[i], f.b[j], TYPE());
    }

    // body(row, column, value, value of the next column) for a part of the warp's rows; they are counted in the block.
    template <int part, int parts, class Body> __device__ __forceinline__ void each_pair(Body body) const {
        constexpr int COUNT = WARP / 16 / parts;
#pragma unroll
        for (int i = part * COUNT; i < (part + 1) * COUNT; ++i)
#pragma unroll
            for (int half = 0; half < 2; ++half)
#pragma unroll
                for (int j = 0; j < WARP / 8; ++j)
                    body(warp_m() + 16 * i + 8 * half + lane() / 4, warp_n() + 8 * j + lane() % 4 * 2,
                         at[i][j][2 * half], at[i][j][2 * half + 1]);
    }
};

// A slab whose rows run along K: TILE_M rows of A, TILE_N rows of B, 4 chunks each. Two rows fill the 32 banks. Chunk c
// of row r lies at c ^ (r / 2 % 4), so that the chunks c of 8 rows, which ldmatrix reads together, lie in 8 places.
struct AlongK {
    static constexpr int ROW = 64, BYTES_A = TILE_M * ROW, BYTES = BYTES_A + TILE_N * ROW;

    static __device__ __forceinline__ int place(int row, int chunk) { return row * ROW + (chunk ^ row / 2 % 4) * 16; }

    static __device__ __forceinline__ void load(Fragments& f, const char* slab, int step) {
        const char* a = slab + place(warp_m() + lane() % 16, 2 * step + lane() / 16);
        const char* b = slab + BYTES_A + place(warp_n() + lane() % 8 + lane() / 16 * 8, 2 * step + lane() / 8 % 2);
#pragma unroll
        for (int i = 0; i < WARP / 16; ++i) ldmatrix(f.a[i], a + 16 * i * ROW);
#pragma unroll
        for (int j = 0; j < WARP / 8; j += 2) {
            unsigned two[4];  // the fragments of columns 8 j ... and 8 (j + 1) ...
            ldmatrix(two, b + 8 * j * ROW);
            f.b[j][0] = two[0], f.b[j][1] = two[1], f.b[j + 1][0] = two[2], f.b[j + 1][1] = two[3];
        }
    }
};

// A slab whose rows run along M and N: DEPTH rows of TILE_M values of A, DEPTH rows of TILE_N values of B. ldmatrix
// turns values of 16 bits on the way; those of 32 bits are loaded one by one.
//
// Byte b of row r lies at b ^ turn(r), so that what is read together, 16 bytes of 8 rows or 32 bytes of 4, lies in
// different banks. Steps along a row are taken by ^ as well: a warp's columns begin at a multiple of WARP, so adding a
// step sets bits that were zero. What is known to the compiler, the step, then stays apart from the lane's place.
struct AcrossK {
    static constexpr int SIZE = sizeof(TYPE), ROW_A = TILE_M * SIZE, ROW_B = TILE_N * SIZE;
    static constexpr int BYTES_A = DEPTH * ROW_A, BYTES = BYTES_A + DEPTH * ROW_B;

    static __device__ __forceinline__ constexpr int turn(int row) { return SIZE == 4 ? row % 4 * 32 : row % 8 * 16; }

    static __device__ __forceinline__ void load(Fragments& f, const char* slab, int step) {
        const char *a = slab + step * DEPTH / 2 * ROW_A, *b = slab + BYTES_A + step * DEPTH / 2 * ROW_B;
        if constexpr (SIZE == 4) load_words(f, a, b);
        else load_turned(f, a, b);
    }
    static __device__ __forceinline__ void load_words(Fragments& f, const char* a, const char* b) {
        const int row = lane() % 4, column = lane() / 4 * 4;
        const int at_a = row * ROW_A + ((warp_m() * 4 + column) ^ turn(row));
        const int at_b = row * ROW_B + ((warp_n() * 4 + column) ^ turn(row));
#pragma unroll
        for (int i = 0; i < WARP / 16; ++i)
#pragma unroll
            for (int e = 0; e < 4; ++e) f.a[i][e] = word(a + e / 2 * 4 * ROW_A + (at_a ^ (16 * i + e % 2 * 8) * 4));
#pragma unroll
        for (int j = 0; j < WARP / 8; ++j)
#pragma unroll
            for (int e = 0; e < 2; ++e) f.b[j][e] = word(b + e * 4 * ROW_B + (at_b ^ 8 * j * 4));
    }
    static __device__ __forceinline__ unsigned word(const char* at) { return *reinterpret_cast<const unsigned*>(at); }

    static __device__ __forceinline__ void load_turned(Fragments& f, const char* a, const char* b) {
        const int row_a = lane() % 8 + lane() / 16 * 8, row_b = lane() % 16;
        const int at_a = row_a * ROW_A + ((warp_m() * 2 + lane() / 8 % 2 * 16) ^ turn(row_a));
        const int at_b = row_b * ROW_B + ((warp_n() * 2 + lane() / 16 * 16) ^ turn(row_b));
#pragma unroll
        for (int i = 0; i < WARP / 16; ++i) ldmatrix<4, true>(f.a[i], a + (at_a ^ 16 * i * SIZE));
#pragma unroll
        for (int j = 0; j < WARP / 8; j += 2) {
            unsigned two[4];
            ldmatrix<4, true>(two, b + (at_b ^ 8 * j * SIZE));
            f.b[j][0] = two[0], f.b[j][1] = two[1], f.b[j + 1][0] = two[2], f.b[j + 1][1] = two[3];
        }
    }
};

// sums += A B, of `slabs` slabs. source.fetch(place) starts the thread's copies of the next slab to a place in shared
// memory, zeros where K is over; between two calls all threads pass a barrier. The ring is free again afterwards.
template <class Slab, class Source>
__device__ __forceinline__ void multiply(Sums& sums, Source& source, int slabs, char* ring) {
    for (int s = 0; s < STAGES - 1; ++s) {
        __syncthreads();
        source.fetch(ring + s * Slab::BYTES);
        cp_async_commit();
    }
    cp_async_wait<STAGES - 2>();
    __syncthreads();
    Fragments now, next;
    Slab::load(now, ring, 0);
    int read = 0, write = STAGES - 1;  // slots of the ring
    for (int s = 0; s < slabs; ++s) {
        source.fetch(ring + write * Slab::BYTES);
        cp_async_commit();
        Slab::load(next, ring + read * Slab::BYTES, 1);
        sums.add(now);
        write = read, read = read + 1 == STAGES ? 0 : read + 1;
        cp_async_wait<STAGES - 2>();  // slab s + 1 is there
        __syncthreads();              // ... for all, and nobody reads slab s any more
        Slab::load(now, ring + read * Slab::BYTES, 0);
        sums.add(next);
    }
    cp_async_wait<0>();
    __syncthreads();
}
