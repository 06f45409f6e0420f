// d += a b on tensor cores, by the type of the values: TF32 for float. `ptx.cuh` says how the fragments lie in registers.
#pragma once
#include "half.cuh"
#include "ptx.cuh"

__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], float) {
    mma_m16n8k8_tf32(d, a, b);
}
__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], float16) {
    mma_m16n8k16_float16(d, a, b);
}
__device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], bfloat16) {
    mma_m16n8k16_bfloat16(d, a, b);
}
