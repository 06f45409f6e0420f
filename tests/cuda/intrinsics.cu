// Every function that the emulator offers, once: whether NVRTC knows it with these arguments too.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include "half.cuh"
#include "ptx.cuh"
extern "C" __global__ void many(float* y, double* z, int* i, unsigned* u, long long* l, unsigned long long* ul) {
    float x = y[0]; double d = z[0]; int k = i[0]; unsigned v = u[0];
    y[1] = exp(x) + exp2(x) + expm1(x) + log(x) + log2(x) + log10(x) + log1p(x) + sqrt(x) + cbrt(x) + sin(x) + cos(x)
        + tan(x) + asin(x) + acos(x) + atan(x)
         + sinh(x) + cosh(x) + tanh(x) + erf(x) + erfc(x) + lgamma(x) + tgamma(x) + floor(x) + ceil(x) + trunc(x) +
             round(x) + rint(x) + nearbyint(x) + fabs(x)
         + pow(x, x) + fmod(x, x) + atan2(x, x) + hypot(x, x) + copysign(x, x) + fmin(x, x) + fmax(x, x) + fma(x, x,
             x) + rsqrt(x) + abs(x);
    y[2] = expf(x) + exp2f(x) + expm1f(x) + logf(x) + rsqrtf(x) + __expf(x) + __logf(x) + __log2f(x) + __sinf(x) +
        __cosf(x) + __powf(x, x) + __fdividef(x, x)
         + __frcp_rn(x) + __fsqrt_rn(x) + __frsqrt_rn(x) + __fmaf_rn(x, x, x) + __saturatef(x) + __fmul_rn(x, x) +
             __fadd_rn(x, x) + fminf(x, x) + fmaxf(x, x) + fmaf(x, x, x);
    float s, c; sincosf(x, &s, &c); y[3] = s + c + min(x, x) + max(x, x);
    z[1] = exp(d) + sqrt(d) + rsqrt(d) + fabs(d) + pow(d, d) + fma(d, d, d) + min(d, d) + max(d, d) + abs(d) + erf(d);
    i[1] = isnan(x) + isinf(x) + isfinite(x) + signbit(x) + min(k, 3) + max(k, 3) + abs(k) + __popc(v) + __clz(k) +
        __ffs(k) + __mul24(k, k) + __mulhi(k, k) + __float2int_rn(x) + __float2int_rd(x) + __float2int_ru(x) +
        __float2int_rz(x) + __float_as_int(x);
    u[1] = __brev(v) + __umulhi(v, v) + __float_as_uint(x) + min(v, 3u) + max(v, 3u) + __activemask() +
        __ballot_sync(~0u, k) + __match_any_sync(~0u, k) + __match_any_sync(~0u, l[0]);
    y[4] = __int_as_float(k) + __uint_as_float(v) + __int2float_rn(k) + __ldg(y) + __ldcs(y) + __ldcg(y);
    l[0] = __double_as_longlong(d) + min(l[1], l[2]) + max(l[1], l[2]); z[2] = __longlong_as_double(l[0]);
    __stcs(y + 5, x); __stcg(y + 6, x); __stwb(y + 6, x); z[1] += __dmul_rn(d, d) + __dadd_rn(d, d);
    __threadfence(); __threadfence_block(); __syncwarp();
    __syncwarp(0xffffffff); __syncthreads();
    i[2] = __syncthreads_count(k) + __syncthreads_and(k) + __syncthreads_or(k) + __any_sync(~0u, k) + __all_sync(~0u,
        k);
    i[3] = __reduce_add_sync(~0u, k) + __reduce_min_sync(~0u, k) + __reduce_max_sync(~0u, k);
    u[2] = __reduce_and_sync(~0u, v) + __reduce_or_sync(~0u, v) + __reduce_xor_sync(~0u, v) + __reduce_add_sync(~0u,
        v);
    y[7] = __shfl_sync(~0u, x, 0) + __shfl_up_sync(~0u, x, 1) + __shfl_down_sync(~0u, x, 1, 16) + __shfl_xor_sync(~0u,
        x, 1);
    z[3] = __shfl_sync(~0u, d, 0); l[3] = __shfl_xor_sync(~0u, l[2], 1);
    atomicAdd(i, 1); atomicAdd(u, 1u); atomicAdd(ul, 1ull); atomicAdd(y, 1.f); atomicAdd(z, 1.0);
    atomicSub(i, 1); atomicSub(u, 1u); atomicExch(y, 1.f); atomicExch(i, 1); atomicMin(i, 1);
    atomicMax(u, 1u); atomicMin(l, 1ll); atomicMax(ul, 1ull); atomicMax(l, 1ll);
    atomicAnd(i, 1); atomicOr(u, 1u); atomicXor(ul, 1ull); atomicCAS(i, 1, 2); atomicCAS(ul, 1ull, 2ull);
    float2 f2 = make_float2(1, 2); float3 f3 = make_float3(1, 2, 3); float4 f4 = make_float4(1, 2, 3, 4);
    int2 i2 = make_int2(1, 2); int4 i4 = make_int4(1, 2, 3, 4); uint4 u4 = make_uint4(1, 2, 3, 4);
    uchar4 c4 = make_uchar4(1, 2, 3, 4); double2 d2 = make_double2(1, 2); short2 s2 = make_short2(1, 2);
    ushort4 us = make_ushort4(1, 2, 3, 4); longlong2 l2 = make_longlong2(1, 2); char2 ch = make_char2(1, 2);
    uint3 u3 = make_uint3(1, 2, 3); dim3 g = gridDim;
    y[8] = f2.x + f3.y + f4.w + i2.x + i4.w + u4.w + c4.w + d2.x + s2.x + us.x + l2.x + ch.x + u3.x + g.x + warpSize;
    __half h = __float2half(x), h2 = __float2half_rn(x); __half2 hh = __halves2half2(h, h2);
    hh = __hfma2(hh, __hmul2(hh, hh), __hadd2(hh, hh));
    y[9] = __half2float(__hadd(h, h2)) + __half2float(__hsub(h, h2) * h / __hmul(h, h)) + __half2float(__hdiv(h, h)) +
        __half2float(__hfma(h, h, h)) + __half2float(__hmax(h, h)) + __half2float(__hmin(h, h)) +
        __half2float(__low2half(hh)) + __half2float(__high2half(hh)) + __half22float2(hh).x +
        __half_as_ushort(__ushort_as_half(3)) + __half22float2(__floats2half2_rn(x, x)).y;
    h += h; h *= h; y[10] = float(h) + float(half(x));
    __nv_bfloat16 b = __float2bfloat16(x), b2 = __float2bfloat16_rn(x);
    __nv_bfloat162 bb = __halves2bfloat162(b, b2); bb = __hfma2(bb, bb, bb);
    y[11] = __bfloat162float(b + b2 - b * b / b) + __bfloat162float(__low2bfloat16(bb)) + __bfloat1622float2(bb).x +
        __bfloat1622float2(__floats2bfloat162_rn(x, x)).x + __bfloat162float(__hmax(b, b)) +
        __bfloat16_as_ushort(__ushort_as_bfloat16(3));
    float16 q = x; bfloat16 r = x; y[12] = q + r;
    __shared__ __align__(16) float sh[512]; extern __shared__ float dyn[]; dyn[0] = 1;
    cp_async<4>(sh, y); cp_async<8>(sh + 2, y); cp_async<16>(sh + 4, y, k > 0); cp_async_commit();
    cp_async_wait<1>(); cp_async_wait<0>();
    unsigned f[4]; ldmatrix(f, sh); unsigned f1[1], f22[2]; ldmatrix(f1, sh); ldmatrix<2, true>(f22, sh);
    ldmatrix<4, true>(f, sh); ldmatrix<1, true>(f1, sh); ldmatrix(f22, sh);
    float acc[4] = {}; mma_m16n8k8_tf32(acc, f, f22); mma_m16n8k16_float16(acc, f, f22);
    mma_m16n8k16_bfloat16(acc, f, f22);
    y[13] = acc[0] + f1[0] + sh[0] + to_tf32(x); printf("%d\n", k); if (k == 12345) __trap();
}
