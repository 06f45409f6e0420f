// CUDA's own half types: stored in 16 bits, computed in float; and arithmetic in the type itself.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

extern "C" __global__ void to_half_and_back(const float* x, __half* h, __nv_bfloat16* b, float* back, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    h[i] = __float2half(x[i]);
    b[i] = __float2bfloat16(x[i]);
    back[i] = __half2float(h[i]) + __bfloat162float(b[i]);
}

extern "C" __global__ void arithmetic(const __half* x, const __half* y, __half* z, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) z[i] = __hfma(x[i], y[i], __hadd(x[i], y[i]));
}

extern "C" __global__ void pairs(const __half2* x, float* sums, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        const float2 v = __half22float2(x[i]);
        sums[i] = v.x + v.y;
    }
}
