// C = A B in float32. A block of 64 threads makes a tile of 32 x 32 with two tiles of A and B in shared memory: the
// next ones are on their way (cp.async) while these are used. M, N, K are multiples of 32, 32, 8.
#include "ptx.cuh"

constexpr int TILE = 32, DEPTH = 8;

__device__ __forceinline__ void load(float (*as)[TILE], float (*bs)[TILE], const float* a, const float* b, int k0,
                                     int n, int k) {
    const int row = threadIdx.x / 2, part = threadIdx.x % 2 * 4;  // 4 floats along k of one row of A
    const float4 v = *reinterpret_cast<const float4*>(a + static_cast<size_t>(blockIdx.y * TILE + row) * k + k0 + part);
    as[part][row] = v.x, as[part + 1][row] = v.y, as[part + 2][row] = v.z, as[part + 3][row] = v.w;
    const int depth = threadIdx.x / 8, column = threadIdx.x % 8 * 4;
    cp_async<16>(&bs[depth][column], b + static_cast<size_t>(k0 + depth) * n + blockIdx.x * TILE + column);
}

extern "C" __global__ void __launch_bounds__(64) matmul(const float* __restrict__ a, const float* __restrict__ b,
                                                        float* __restrict__ c, int n, int k) {
    __shared__ __align__(16) float as[2][DEPTH][TILE], bs[2][DEPTH][TILE];
    const int row = threadIdx.x / 8 * 4, column = threadIdx.x % 8 * 4;  // of this thread's 4 x 4 results
    float sum[4][4] = {};
    load(as[0], bs[0], a, b, 0, n, k);
    cp_async_commit();
    for (int k0 = 0, now = 0; k0 < k; k0 += DEPTH, now ^= 1) {
        if (k0 + DEPTH < k) load(as[now ^ 1], bs[now ^ 1], a, b, k0 + DEPTH, n, k);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
#pragma unroll
        for (int d = 0; d < DEPTH; ++d) {
            const float4 p = *reinterpret_cast<const float4*>(&as[now][d][row]);
            const float4 q = *reinterpret_cast<const float4*>(&bs[now][d][column]);
            const float left[4] = {p.x, p.y, p.z, p.w}, right[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(left[i], right[j], sum[i][j]);
        }
        __syncthreads();  // before the next round overwrites what others still read
    }
    for (int i = 0; i < 4; ++i) {
        float* to = c + static_cast<size_t>(blockIdx.y * TILE + row + i) * n + blockIdx.x * TILE + column;
        *reinterpret_cast<float4*>(to) = make_float4(sum[i][0], sum[i][1], sum[i][2], sum[i][3]);
    }
}
