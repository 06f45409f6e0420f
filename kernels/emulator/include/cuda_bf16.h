// The part of CUDA's header of this name that kernels use: __nv_bfloat16, __nv_bfloat162, conversions, arithmetic.
#pragma once

struct __align__(2) __nv_bfloat16 {
    unsigned short bits;
    __nv_bfloat16() = default;
    __nv_bfloat16(float value) : bits(emulator::narrow_bfloat16(value)) {}
    operator float() const { return emulator::widen_bfloat16(bits); }
};
struct __align__(4) __nv_bfloat162 { __nv_bfloat16 x, y; };
EMULATOR_TYPE(__nv_bfloat16, "bfloat16")
EMULATOR_TYPE(__nv_bfloat162, "bfloat16")
EMULATOR_HALF_FUNCTIONS(__nv_bfloat16, __nv_bfloat162, bfloat16)
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {x, y}; }
inline float2 __bfloat1622float2(__nv_bfloat162 v) { return {v.x, v.y}; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return emulator::bits<__nv_bfloat16>(bits); }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 v) { return v.bits; }
