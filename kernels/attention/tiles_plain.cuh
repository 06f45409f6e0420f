// Products of tiles by multiply-adds of float32. The 8 threads of a row are neighbours:
//
//     thread t: rows t / 8 + 16 i of the block, rows t % 8 + 8 j of what passes by, features 4 (t % 8) + 32 g + 0..3
//
// A step of a product is R + 4 loads of 16 bytes for 16 R multiply-adds. Such a load is served for 8 threads at a time:
// they want one address of a row of the block, which they share, and 8 neighbouring rows, or 128 bytes of one, of the
// others. No banks conflict.
#pragma once

constexpr int LANES = 8, DOWN = THREADS / LANES;        // threads that share a row; rows that all have at a time
constexpr int C = STREAMED / LANES, F = WIDTH / LANES;  // columns of a product and features of a thread
constexpr int RUN = 4;                                  // of its features are neighbours
constexpr int EXCHANGE = STREAMED + 8;  // from row to row of `room`: a warp's 8 columns of 4 rows lie in 32 banks

template <int R> __device__ __forceinline__ int row_of(int i) { return threadIdx.x / LANES + i * DOWN; }
__device__ __forceinline__ int column_of(int j) { return threadIdx.x % LANES + j * LANES; }
__device__ __forceinline__ int feature_of(int f) {
    return f / RUN * (LANES * RUN) + threadIdx.x % LANES * RUN + f % RUN;
}

struct __align__(16) Four { float at[4]; };
__device__ __forceinline__ Four four(const float* p) { return *reinterpret_cast<const Four*>(p); }

// Past the registers, while the block computes.
template <int count> __device__ __forceinline__ void copy(float* to, const float* from, bool valid) {
    cp_async<4 * count>(to, from, valid);
}

// s_ij = scale sum_e a_ie b_je
template <int R>
__device__ __forceinline__ void dots(float (&s)[R][C], const float* a, const float* b, int size, float scale) {
    a += row_of<R>(0) * PITCH, b += column_of(0) * PITCH;
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int j = 0; j < C; ++j) s[i][j] = 0;
#pragma unroll 1
    for (int e = 0; e < size; e += 4) {
        Four x[R];
#pragma unroll
        for (int i = 0; i < R; ++i) x[i] = four(a + i * DOWN * PITCH + e);
#pragma unroll
        for (int j = 0; j < C; ++j) {
            const Four y = four(b + j * LANES * PITCH + e);
#pragma unroll
            for (int i = 0; i < R; ++i)
#pragma unroll
                for (int n = 0; n < 4; ++n) s[i][j] += x[i].at[n] * y.at[n];
        }
    }
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int j = 0; j < C; ++j) s[i][j] *= scale;
}

// sums_if += sum_j p_ij b_jf. The p of a row go through `room` to the threads that share it, all of one warp.
template <int R>
__device__ __forceinline__ void add_products(float (&sums)[R][F], const float (&p)[R][C], const float* b, float* room) {
    __syncwarp();  // nobody reads what was there before
#pragma unroll
    for (int i = 0; i < R; ++i)
#pragma unroll
        for (int j = 0; j < C; ++j) room[row_of<R>(i) * EXCHANGE + column_of(j)] = p[i][j];
    __syncwarp();
    room += row_of<R>(0) * EXCHANGE, b += feature_of(0);
#pragma unroll 1
    for (int j = 0; j < STREAMED; j += 4) {
        Four x[R];
#pragma unroll
        for (int i = 0; i < R; ++i) x[i] = four(room + i * DOWN * EXCHANGE + j);
#pragma unroll
        for (int n = 0; n < 4; ++n)
#pragma unroll
            for (int f = 0; f < F; f += RUN) {
                const Four y = four(b + (j + n) * PITCH + f * LANES);
#pragma unroll
                for (int i = 0; i < R; ++i)
#pragma unroll
                    for (int m = 0; m < RUN; ++m) sums[i][f + m] += x[i].at[n] * y.at[m];
            }
    }
}
