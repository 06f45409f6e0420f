// float16 and bfloat16: types to store numbers in. Kernels compute and sum in float: `float v = x[i]; y[i] = v;`.
//
// The names are those of NumPy's types, so a launcher passes -DTYPE=float16 (not -DT: NVRTC's own headers have template
// parameters of that name). CUDA's headers cuda_fp16.h and cuda_bf16.h would do, but NVRTC does not bring them along.
// The layouts are the same.
#pragma once

struct __align__(2) float16 {
    unsigned short bits;

    float16() = default;
    __device__ __forceinline__ float16(float value) {  // to the nearest; a tie goes to the even mantissa
#ifdef TINYSEG_EMULATED
        bits = emulator::narrow_float16(value);
#else
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
#endif
    }
    __device__ __forceinline__ operator float() const {
#ifdef TINYSEG_EMULATED
        return emulator::widen_float16(bits);
#else
        float value;
        asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
        return value;
#endif
    }
};

struct __align__(2) bfloat16 {  // the upper half of a float
    unsigned short bits;

    bfloat16() = default;
    __device__ __forceinline__ bfloat16(float value) {
#if defined(TINYSEG_EMULATED)
        bits = emulator::narrow_bfloat16(value);
#elif __CUDA_ARCH__ >= 800
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
#else
        const unsigned u = __float_as_uint(value);
        bits = (u & 0x7fffffff) > 0x7f800000 ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;
#endif
    }
    __device__ __forceinline__ operator float() const { return __uint_as_float(static_cast<unsigned>(bits) << 16); }
};

// The type to compute with: float for what is stored in 16 bits.
template <class T> struct Accumulator { using type = float; };
template <> struct Accumulator<double> { using type = double; };

#ifdef TINYSEG_EMULATED
EMULATOR_TYPE(float16, "float16")
EMULATOR_TYPE(bfloat16, "bfloat16")
#endif
