// C = A B on tensor cores, one warp a tile of 16 x 8. M, N, K are multiples of 16, 8, 16.
#include "half.cuh"
#include "ptx.cuh"

// Inputs float, rounded to TF32; the fragments come straight from global memory.
extern "C" __global__ void matmul_tf32(const float* a, const float* b, float* c, int n, int k) {
    const int group = threadIdx.x / 4, t = threadIdx.x % 4, row = blockIdx.y * 16 + group, column = blockIdx.x * 8;
    float d[4] = {};
    for (int k0 = 0; k0 < k; k0 += 8) {
        const float* p = a + static_cast<size_t>(row) * k + k0 + t;
        const float* q = b + static_cast<size_t>(k0 + t) * n + column + group;
        const unsigned fa[4] = {to_tf32(p[0]), to_tf32(p[8 * k]), to_tf32(p[4]), to_tf32(p[8 * k + 4])};
        const unsigned fb[2] = {to_tf32(q[0]), to_tf32(q[4 * n])};
        mma_m16n8k8_tf32(d, fa, fb);
    }
    float* to = c + static_cast<size_t>(row) * n + column + 2 * t;
    *reinterpret_cast<float2*>(to) = make_float2(d[0], d[1]);
    *reinterpret_cast<float2*>(to + 8 * n) = make_float2(d[2], d[3]);
}

__device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], float16) {
    mma_m16n8k16_float16(d, a, b);
}
__device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], bfloat16) {
    mma_m16n8k16_bfloat16(d, a, b);
}

// Inputs of 16 bits, through shared memory: cp.async brings the tiles, ldmatrix makes fragments of them.
template <class T> __global__ void matmul_half(const T* a, const T* b, float* c, int n, int k) {
    __shared__ __align__(16) T as[16][16], bs[16][8];
    const int lane = threadIdx.x, row = blockIdx.y * 16, column = blockIdx.x * 8;
    float d[4] = {};
    for (int k0 = 0; k0 < k; k0 += 16) {
        cp_async<16>(&as[lane / 2][lane % 2 * 8], a + static_cast<size_t>(row + lane / 2) * k + k0 + lane % 2 * 8);
        if (lane < 16) cp_async<16>(&bs[lane][0], b + static_cast<size_t>(k0 + lane) * n + column);
        cp_async_commit();
        cp_async_wait<0>();
        __syncwarp();
        unsigned fa[4], fb[2];
        ldmatrix(fa, &as[lane % 16][lane / 16 * 8]);
        ldmatrix<2, true>(fb, &bs[lane % 16][0]);
        multiply(d, fa, fb, T());
        __syncwarp();
    }
    float* to = c + static_cast<size_t>(row + lane / 4) * n + column + lane % 4 * 2;
    *reinterpret_cast<float2*>(to) = make_float2(d[0], d[1]);
    *reinterpret_cast<float2*>(to + 8 * n) = make_float2(d[2], d[3]);
}
