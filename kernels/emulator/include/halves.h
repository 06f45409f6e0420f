// The two 16-bit float formats, converted on integers: nothing depends on what the CPU does with tiny numbers.
#pragma once

namespace emulator {

// float16: sign, 5 bits of exponent, 10 of mantissa.
inline float widen_float16(unsigned short h) {
    const unsigned sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;
    if (exponent == 31) return bits<float>(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) return bits<float>(sign | bits<unsigned>(mantissa * 0x1p-24f));  // below the normal range
    return bits<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

// Rounds to the nearest; a tie goes to the even mantissa.
inline unsigned short narrow_float16(float f) {
    const unsigned u = bits<unsigned>(f), sign = u >> 16 & 0x8000, size = u & 0x7fffffff;
    if (size > 0x7f800000) return sign | 0x7fff;                           // NaN, as the GPU writes it
    if (size >= 0x477ff000) return sign | 0x7c00;                          // 65520 and more: infinity
    if (size >= 0x38800000)                                                // 2^-14 and more: a normal number
        return sign | ((size + 0xfff + (size >> 13 & 1) - (112u << 23)) >> 13);
    return sign | (bits<unsigned>(bits<float>(size) + 0.5f) - 0x3f000000);  // 0.5 has its last bit at 2^-24, as these
}

// bfloat16: the upper half of a float32.
inline float widen_bfloat16(unsigned short h) { return bits<float>(static_cast<unsigned>(h) << 16); }

inline unsigned short narrow_bfloat16(float f) {
    const unsigned u = bits<unsigned>(f);
    if ((u & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

}  // namespace emulator

// What cuda_fp16.h and cuda_bf16.h have in common. Each operation computes in float and rounds once.
#define EMULATOR_HALF_FUNCTIONS(T, T2, name)                                                   \
    inline T __float2##name(float x) { return x; }                                             \
    inline T __float2##name##_rn(float x) { return x; }                                        \
    inline float __##name##2float(T x) { return x; }                                           \
    inline T operator+(T a, T b) { return static_cast<float>(a) + static_cast<float>(b); }     \
    inline T operator-(T a, T b) { return static_cast<float>(a) - static_cast<float>(b); }     \
    inline T operator*(T a, T b) { return static_cast<float>(a) * static_cast<float>(b); }     \
    inline T operator/(T a, T b) { return static_cast<float>(a) / static_cast<float>(b); }     \
    inline T& operator+=(T& a, T b) { return a = a + b; }                                      \
    inline T& operator*=(T& a, T b) { return a = a * b; }                                      \
    inline T __hadd(T a, T b) { return a + b; }                                                \
    inline T __hsub(T a, T b) { return a - b; }                                                \
    inline T __hmul(T a, T b) { return a * b; }                                                \
    inline T __hdiv(T a, T b) { return a / b; }                                                \
    inline T __hfma(T a, T b, T c) { return fmaf(a, b, c); }                                   \
    inline T __hmax(T a, T b) { return fmaxf(a, b); }                                          \
    inline T __hmin(T a, T b) { return fminf(a, b); }                                          \
    inline T2 __hadd2(T2 a, T2 b) { return {a.x + b.x, a.y + b.y}; }                           \
    inline T2 __hmul2(T2 a, T2 b) { return {a.x * b.x, a.y * b.y}; }                           \
    inline T2 __hfma2(T2 a, T2 b, T2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; } \
    inline T __low2##name(T2 v) { return v.x; }                                                \
    inline T __high2##name(T2 v) { return v.y; }                                               \
    inline T2 __halves2##name##2(T x, T y) { return {x, y}; }
