// Products of tiles by tensor cores: mma of 16 rows by 8 columns over 32 bytes of both, 16 half values or 8 of TF32.
//
// A warp has 8 R rows of the block. With group = lane / 4 and t = lane % 4 a thread has, as the sums of an mma lie,
//
//     rows group + 8 i of its warp's, rows 8 g + 2 t + 0..1 of what passes by, features 8 g + 2 t + 0..1
//
// and so does the left factor of an mma want its values. The scores of a tile, made into shares, are the left factor of
// the next product where they are, in registers: nothing has to be exchanged.
#pragma once
#include "mma.cuh"

constexpr int LANES = 4, DOWN = THREADS / LANES;  // as in tiles_plain.cuh
constexpr int C = STREAMED / LANES, F = WIDTH / LANES;
constexpr int RUN = 2;
constexpr bool TF32 = sizeof(TYPE) == 4;
constexpr int SLICE = 2 * CHUNK;  // what an mma takes of a row

__device__ __forceinline__ int lane() { return threadIdx.x % WARP; }
template <int R> __device__ __forceinline__ int row_of(int i) {
    return threadIdx.x / WARP * (8 * R) + lane() / 4 + 8 * i;
}
__device__ __forceinline__ int column_of(int j) { return j / 2 * 8 + lane() % 4 * 2 + j % 2; }
__device__ __forceinline__ int feature_of(int f) { return column_of(f); }

// Past the registers, while the block computes, if they are halves and more than one. A float is rounded on its way.
template <int count> __device__ __forceinline__ void copy(TYPE* to, const TYPE* from, bool valid) {
    struct __align__(count * sizeof(TYPE)) Some { TYPE at[count]; };
    if constexpr (!TF32 && count > 1) {
        cp_async<count * sizeof(TYPE)>(to, from, valid);
    } else {
        Some some;
        if (valid) some = *reinterpret_cast<const Some*>(from);
#pragma unroll
        for (int n = 0; n < count; ++n) {
            if (!valid) some.at[n] = TYPE(0.0f);
            if constexpr (TF32) some.at[n] = __uint_as_float(to_tf32(some.at[n]));
        }
        *reinterpret_cast<Some*>(to) = some;
    }
}

// Rows i, i + 1 and columns j, j + 1 of a thread's sums += a b.
template <int R, int N>
__device__ __forceinline__ void multiply(float (&s)[R][N], int i, int j, const unsigned (&a)[4], unsigned b0,
                                         unsigned b1) {
    float d[4] = {s[i][j], s[i][j + 1], s[i + 1][j], s[i + 1][j + 1]};
    const unsigned b[2] = {b0, b1};
    mma(d, a, b, TYPE());
    s[i][j] = d[0], s[i][j + 1] = d[1], s[i + 1][j] = d[2], s[i + 1][j + 1] = d[3];
}

// s_ij = scale sum_e a_ie b_je. ldmatrix is made for 8 x 8 half values, but moves bytes, and TF32 lies as halves do.
template <int R>
__device__ __forceinline__ void dots(float (&s)[R][C], const TYPE* a, const TYPE* b, int size, float scale) {
    a += (threadIdx.x / WARP * 8 * R + lane() % 16) * PITCH + lane() / 16 * CHUNK;
    b += (lane() / 16 * 8 + lane() % 8) * PITCH + lane() / 8 % 2 * CHUNK;
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int j = 0; j < C; ++j) s[i][j] = 0;
#pragma unroll 2
    for (int e = 0; e < size; e += SLICE) {
        unsigned x[R / 2][4];
#pragma unroll
        for (int i = 0; i < R; i += 2) ldmatrix(x[i / 2], a + 8 * i * PITCH + e);
#pragma unroll
        for (int j = 0; j < C; j += 4) {
            unsigned y[4];  // 16 rows of b
            ldmatrix(y, b + 4 * j * PITCH + e);
#pragma unroll
            for (int i = 0; i < R; i += 2) {
                multiply(s, i, j, x[i / 2], y[0], y[1]);
                multiply(s, i, j + 2, x[i / 2], y[2], y[3]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int j = 0; j < C; ++j) s[i][j] *= scale;
}

// Two neighbours of a row of p as a register of the left factor, rounded to the half type.
template <class Half> __device__ __forceinline__ unsigned both(float first, float second) {
    return Half(first).bits | unsigned(Half(second).bits) << 16;
}

// sums_if += sum_j p_ij b_jf
template <int R, class Half>
__device__ __forceinline__ void add_products(float (&sums)[R][F], const float (&p)[R][C], const Half* b, float*) {
    b += lane() % 16 * PITCH + lane() / 16 * CHUNK;
#pragma unroll
    for (int j = 0; j < C; j += 4) {  // 16 rows of b
        unsigned x[R / 2][4];
#pragma unroll
        for (int i = 0; i < R; i += 2)
#pragma unroll
            for (int n = 0; n < 4; ++n)
                x[i / 2][n] = both<Half>(p[i + n % 2][j + n / 2 * 2], p[i + n % 2][j + n / 2 * 2 + 1]);
#pragma unroll
        for (int f = 0; f < F; f += 4) {
            unsigned y[4];  // 16 features
            ldmatrix<4, true>(y, b + 4 * j * PITCH + 4 * f);
#pragma unroll
            for (int i = 0; i < R; i += 2) {
                multiply(sums, i, f, x[i / 2], y[0], y[1]);
                multiply(sums, i, f + 2, x[i / 2], y[2], y[3]);
            }
        }
    }
}

// The same of TF32, which ldmatrix cannot transpose. An mma takes 8 rows of b, but a thread has columns 2 t and 2 t + 1
// of p where the left factor wants t and t + 4; as a sum has no order, the rows of b change places to match.
template <int R>
__device__ __forceinline__ void add_products(float (&sums)[R][F], const float (&p)[R][C], const float* b, float*) {
    b += lane() % 4 * 2 * PITCH + lane() / 4;
#pragma unroll
    for (int j = 0; j < C; j += 2) {
        unsigned x[R / 2][4];
#pragma unroll
        for (int i = 0; i < R; i += 2)
#pragma unroll
            for (int n = 0; n < 4; ++n) x[i / 2][n] = to_tf32(p[i + n % 2][j + n / 2]);
#pragma unroll
        for (int f = 0; f < F; f += 2) {
            const float* y = b + 4 * j * PITCH + 4 * f;
            const unsigned y0 = __float_as_uint(y[0]), y1 = __float_as_uint(y[PITCH]);
#pragma unroll
            for (int i = 0; i < R; i += 2) multiply(sums, i, f, x[i / 2], y0, y1);
        }
    }
}
