// Mathematical functions, bit tricks and cached loads. No host header: the C library's functions are declared here.
//
// The fast forms (__expf, __fdividef, ...) are computed exactly here and with a few ulps of error on a GPU.
#pragma once

#define EMULATOR_UNARY(name)                 \
    extern "C" double name(double) noexcept; \
    extern "C" float name##f(float) noexcept;
#define EMULATOR_UNARY_BOTH(name) \
    EMULATOR_UNARY(name)          \
    inline float name(float x) { return name##f(x); }
#define EMULATOR_BINARY(name)                        \
    extern "C" double name(double, double) noexcept; \
    extern "C" float name##f(float, float) noexcept;
#define EMULATOR_BINARY_BOTH(name) \
    EMULATOR_BINARY(name)          \
    inline float name(float x, float y) { return name##f(x, y); }

EMULATOR_UNARY_BOTH(exp) EMULATOR_UNARY_BOTH(exp2) EMULATOR_UNARY_BOTH(expm1)
EMULATOR_UNARY_BOTH(log) EMULATOR_UNARY_BOTH(log2) EMULATOR_UNARY_BOTH(log10) EMULATOR_UNARY_BOTH(log1p)
EMULATOR_UNARY_BOTH(sqrt) EMULATOR_UNARY_BOTH(cbrt)
EMULATOR_UNARY_BOTH(sin) EMULATOR_UNARY_BOTH(cos) EMULATOR_UNARY_BOTH(tan)
EMULATOR_UNARY_BOTH(asin) EMULATOR_UNARY_BOTH(acos) EMULATOR_UNARY_BOTH(atan)
EMULATOR_UNARY_BOTH(sinh) EMULATOR_UNARY_BOTH(cosh) EMULATOR_UNARY_BOTH(tanh)
EMULATOR_UNARY_BOTH(erf) EMULATOR_UNARY_BOTH(erfc) EMULATOR_UNARY_BOTH(lgamma) EMULATOR_UNARY_BOTH(tgamma)
EMULATOR_UNARY_BOTH(floor) EMULATOR_UNARY_BOTH(ceil) EMULATOR_UNARY_BOTH(trunc)
EMULATOR_UNARY_BOTH(round) EMULATOR_UNARY_BOTH(rint) EMULATOR_UNARY_BOTH(nearbyint) EMULATOR_UNARY_BOTH(fabs)
EMULATOR_BINARY_BOTH(pow) EMULATOR_BINARY_BOTH(fmod) EMULATOR_BINARY_BOTH(atan2)
EMULATOR_BINARY_BOTH(hypot) EMULATOR_BINARY_BOTH(copysign)
EMULATOR_BINARY_BOTH(fmin) EMULATOR_BINARY_BOTH(fmax)
extern "C" double fma(double, double, double) noexcept;
extern "C" float fmaf(float, float, float) noexcept;
inline float fma(float x, float y, float z) { return fmaf(x, y, z); }
extern "C" int printf(const char*, ...);

inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __saturatef(float x) { return fminf(fmaxf(x, 0), 1); }
inline void sincosf(float x, float* s, float* c) { *s = sinf(x), *c = cosf(x); }

// The intermediate result cannot be merged into a multiply-add.
inline float __fmul_rn(float x, float y) { volatile float r = x * y; return r; }
inline float __fadd_rn(float x, float y) { volatile float r = x + y; return r; }
inline double __dmul_rn(double x, double y) { volatile double r = x * y; return r; }
inline double __dadd_rn(double x, double y) { volatile double r = x + y; return r; }

#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf_sign(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x) __builtin_signbit(x)

inline int abs(int x) { return x < 0 ? -x : x; }
inline long abs(long x) { return x < 0 ? -x : x; }
inline long long abs(long long x) { return x < 0 ? -x : x; }
inline float abs(float x) { return fabsf(x); }
inline double abs(double x) { return fabs(x); }

#define EMULATOR_MIN_MAX(T)                      \
    inline T min(T a, T b) { return b < a ? b : a; } \
    inline T max(T a, T b) { return a < b ? b : a; }
EMULATOR_MIN_MAX(int) EMULATOR_MIN_MAX(unsigned) EMULATOR_MIN_MAX(long) EMULATOR_MIN_MAX(unsigned long)
EMULATOR_MIN_MAX(long long) EMULATOR_MIN_MAX(unsigned long long)
inline float min(float a, float b) { return fminf(a, b); }  // of a NaN and a number: the number
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

namespace emulator {
template <class To, class From> inline To bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}
}  // namespace emulator

inline int __float_as_int(float x) { return emulator::bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emulator::bits<unsigned>(x); }
inline float __int_as_float(int x) { return emulator::bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emulator::bits<float>(x); }
inline long long __double_as_longlong(double x) { return emulator::bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emulator::bits<double>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(rintf(x)); }
inline int __float2int_rd(float x) { return static_cast<int>(floorf(x)); }
inline int __float2int_ru(float x) { return static_cast<int>(ceilf(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) {
    unsigned r = 0;
    for (int i = 0; i < 32; ++i) r |= (x >> i & 1) << (31 - i);
    return r;
}
inline int __mul24(int a, int b) { return (a << 8 >> 8) * (b << 8 >> 8); }
inline int __mulhi(int a, int b) { return static_cast<int>(static_cast<long long>(a) * b >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}

// Loads and stores with a hint for the cache are loads and stores.
template <class T> __forceinline__ T __ldg(const T* p) { return *p; }
template <class T> __forceinline__ T __ldcs(const T* p) { return *p; }
template <class T> __forceinline__ T __ldcg(const T* p) { return *p; }
template <class T> __forceinline__ void __stcs(T* p, T value) { *p = value; }
template <class T> __forceinline__ void __stcg(T* p, T value) { *p = value; }
template <class T> __forceinline__ void __stwb(T* p, T value) { *p = value; }
inline void __threadfence() {}
inline void __threadfence_block() {}
EMULATOR_NOT_TRACED inline void __trap() { emulator::trap(EMULATOR_PLACE); }
