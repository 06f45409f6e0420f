// The part of CUDA's header of this name that kernels use: __half, __half2, conversions, arithmetic.
#pragma once

struct __align__(2) __half {
    unsigned short bits;
    __half() = default;
    __half(float value) : bits(emulator::narrow_float16(value)) {}
    operator float() const { return emulator::widen_float16(bits); }
};
using half = __half;
struct __align__(4) __half2 { __half x, y; };
using half2 = __half2;
EMULATOR_TYPE(__half, "float16")
EMULATOR_TYPE(__half2, "float16")
EMULATOR_HALF_FUNCTIONS(__half, __half2, half)
inline __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
inline float2 __half22float2(__half2 v) { return {v.x, v.y}; }
inline __half __ushort_as_half(unsigned short bits) { return emulator::bits<__half>(bits); }
inline unsigned short __half_as_ushort(__half v) { return v.bits; }
