// The (m+2)^2 matrix products of Winograd's convolution, all in one launch: a matrix for each value of a tile.
//
//     product          C[z] (m x n) = sum_k A[z][k][m] B[z][k][n]      A: windows, B: tiles, k: channels
//     product_of_rows  C[s][z] (m x n) = sum_k A[z][m][k] B[z][n][k]   A: tiles of gy, B: of x, k: tiles, of share s
//
// A block makes ROWS x COLUMNS of C, DEPTH values of k at a time. Such a slab of A and of B comes from global memory
// into registers while the slab before it is multiplied, and then goes into shared memory, which holds two of each.
// A thread has 8 x 8 sums in registers: it reads 16 numbers for 64 multiply-adds.
//
// The matrices come in whole tiles, so there are no edges to look after: m is a multiple of ROWS, n of COLUMNS, k of
// DEPTH. The padding of k must be zeros. What stands in the padding of m and n only gets into that of C.
// nvrtc: ROWS=64 COLUMNS=64,128 TYPE=float
// nvrtc: ROWS=128 COLUMNS=128 TYPE=float
#include "ptx.cuh"

using Offset = long long;

constexpr int DEPTH = 8, EACH = 8;  // EACH x EACH sums for a thread
constexpr int THREADS = ROWS * COLUMNS / (EACH * EACH);
constexpr int LEAST_BLOCKS = THREADS == 256 ? 2 : 384 / THREADS;  // of a multiprocessor: at most 128 registers, or 168
constexpr int WARP_ROWS = 4 * EACH, WARP_COLUMNS = 8 * EACH;      // 4 x 8 lanes

template <int WIDTH> struct Slab {
    static constexpr int DOWN = WIDTH + 4;  // floats to the next k: four of them are 16 banks, see Along
    float4 fours[DEPTH * DOWN / 4];
};

// A thread's part of a slab whose rows lie along memory, matrix[k][i]: float4 by float4, as they come.
template <int WIDTH> struct Across {
    static constexpr int COUNT = DEPTH * WIDTH / 4 / THREADS, PER_ROW = WIDTH / 4, STEP = THREADS / PER_ROW;
    const float* from;
    int to;
    float4 held[COUNT];

    __device__ Across(const float* matrix, int width, int, int first, int first_k) {
        const int k = threadIdx.x / PER_ROW, i = threadIdx.x % PER_ROW * 4;
        from = matrix + Offset(first_k + k) * width + first + i;
        to = settled((k * Slab<WIDTH>::DOWN + i) / 4);
    }
    __device__ __forceinline__ void get(int width, int) {
#pragma unroll
        for (int e = 0; e < COUNT; ++e) held[e] = *reinterpret_cast<const float4*>(from + Offset(e * STEP) * width);
        from += Offset(DEPTH) * width;
    }
    __device__ __forceinline__ void put(Slab<WIDTH>& slab) const {
#pragma unroll
        for (int e = 0; e < COUNT; ++e) slab.fours[to + e * STEP * Slab<WIDTH>::DOWN / 4] = held[e];
    }
};

// The same where k runs along memory, matrix[i][k]: four k of one i. Two neighbours read a sector of 32 bytes, and
// write four rows apart, which are 16 banks.
template <int WIDTH> struct Along {
    static constexpr int COUNT = DEPTH * WIDTH / 4 / THREADS, PER_COLUMN = DEPTH / 4, STEP = THREADS / PER_COLUMN;
    static constexpr int DOWN = Slab<WIDTH>::DOWN;
    const float* from;
    int to;
    float4 held[COUNT];

    __device__ Along(const float* matrix, int, int depth, int first, int first_k) {
        const int i = threadIdx.x / PER_COLUMN, k = threadIdx.x % PER_COLUMN * 4;
        from = matrix + Offset(first + i) * depth + first_k + k;
        to = settled(k * DOWN + i);
    }
    __device__ __forceinline__ void get(int, int depth) {
#pragma unroll
        for (int e = 0; e < COUNT; ++e) held[e] = *reinterpret_cast<const float4*>(from + Offset(e * STEP) * depth);
        from += DEPTH;
    }
    __device__ __forceinline__ void put(Slab<WIDTH>& slab) const {
#pragma unroll
        for (int e = 0; e < COUNT; ++e) {
            float* const column = reinterpret_cast<float*>(slab.fours) + to + e * STEP;
            column[0] = held[e].x;
            column[DOWN] = held[e].y;
            column[2 * DOWN] = held[e].z;
            column[3 * DOWN] = held[e].w;
        }
    }
};

// The thread's sums. Among the 32 x 64 of its warp they lie in 4 rows and, 16 rows on, 4 more; in 4 columns and, 32
// columns on, 4 more. So a quarter of a warp reads 128 bytes of B side by side, and one float4 of A.
struct Sums {
    float sums[EACH][EACH] = {};
    int row, column;  // of the first, in fours

    __device__ Sums() {
        constexpr int ACROSS = COLUMNS / WARP_COLUMNS;
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        row = settled(warp / ACROSS * (WARP_ROWS / 4) + lane / 8);
        column = settled(warp % ACROSS * (WARP_COLUMNS / 4) + lane % 8);
    }
    // From one slab of A and one of B
    __device__ __forceinline__ void add(const Slab<ROWS>& a_slab, const Slab<COLUMNS>& b_slab) {
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            float a[EACH], b[EACH];
            load(a, &a_slab.fours[k * a_slab.DOWN / 4 + row], WARP_ROWS / 8);
            load(b, &b_slab.fours[k * b_slab.DOWN / 4 + column], WARP_COLUMNS / 8);
#pragma unroll
            for (int i = 0; i < EACH; ++i)
#pragma unroll
                for (int j = 0; j < EACH; ++j) sums[i][j] += a[i] * b[j];
        }
    }
    // c = or, with `more`, += these, for rows of n
    __device__ __forceinline__ void write(float* c, int n, bool more) const {
        c += (Offset(blockIdx.y) * ROWS + 4 * row) * n + Offset(blockIdx.x) * COLUMNS + 4 * column;
#pragma unroll
        for (int i = 0; i < EACH; ++i)
#pragma unroll
            for (int j = 0; j < EACH; j += 4) {
                const int down = i % 4 + i / 4 * (WARP_ROWS / 2), right = j / 4 * (WARP_COLUMNS / 2);
                float4* const to = reinterpret_cast<float4*>(c + Offset(down) * n + right);
                float4 v = make_float4(sums[i][j], sums[i][j + 1], sums[i][j + 2], sums[i][j + 3]);
                if (more) {
                    const float4 before = *to;
                    v.x += before.x, v.y += before.y, v.z += before.z, v.w += before.w;
                }
                *to = v;
            }
    }

private:
    static __device__ __forceinline__ void load(float (&to)[EACH], const float4* from, int apart) {
        const float4 low = from[0], high = from[apart];
        to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
        to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
    }
};

// The block's part of C, from `slabs` slabs of one A and one B, the first at `first`.
template <template <int> class Part>
__device__ __forceinline__ void add_slabs(const float* a, const float* b, float* c, int m, int n, int k, int first,
                                          int slabs, bool more) {
    __shared__ Slab<ROWS> a_slab[2];
    __shared__ Slab<COLUMNS> b_slab[2];
    Part<ROWS> of_a(a, m, k, blockIdx.y * ROWS, first * DEPTH);
    Part<COLUMNS> of_b(b, n, k, blockIdx.x * COLUMNS, first * DEPTH);
    Sums sums;
    if (slabs > 0) {
        of_a.get(m, k), of_b.get(n, k);
        of_a.put(a_slab[slabs & 1]), of_b.put(b_slab[slabs & 1]);
    }
    __syncthreads();
    for (int left = slabs; left > 0; --left) {  // the slab at hand is number left & 1 of the two
        if (left > 1) of_a.get(m, k), of_b.get(n, k);  // arrives while the one at hand is multiplied
        sums.add(a_slab[left & 1], b_slab[left & 1]);
        if (left > 1) of_a.put(a_slab[~left & 1]), of_b.put(b_slab[~left & 1]);  // done with since the last barrier
        __syncthreads();
    }
    sums.write(c, n, more);
}

// budget: 256 threads, 152 registers, 16896 bytes
extern "C" __global__ void __launch_bounds__(THREADS, LEAST_BLOCKS)
    product(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m, int n, int k) {
    const Offset z = blockIdx.z;
    add_slabs<Across>(a + z * k * m, b + z * k * n, c + z * m * n, m, n, k, 0, k / DEPTH, false);
}

// With `more` onto what stands in C.
// budget: 256 threads, 160 registers, 16896 bytes
extern "C" __global__ void __launch_bounds__(THREADS, LEAST_BLOCKS)
    product_of_rows(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m, int n,
                    int k, int shares, bool more) {
    const int matrices = gridDim.z / shares, share = blockIdx.z / matrices, slabs = k / DEPTH;
    const int first = Offset(share) * slabs / shares, end = Offset(share + 1) * slabs / shares;
    const Offset z = blockIdx.z % matrices;
    add_slabs<Along>(a + z * m * k, b + z * n * k, c + Offset(blockIdx.z) * m * n, m, n, k, first, end - first, more);
}
