// The optimisers' updates: parameter, gradient and state read once and written once. elementwise/__init__.py has the
// formulas, arrays.py the order of operations.
//
// Half types round after every operation, as NumPy and PyTorch do: a number of theirs is a `Rounded`, and the formulas
// below are the same for all types. The scalars come in the parameter's precision. An absent state is a null pointer:
// the same for all threads, it costs a branch each.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "pack.cuh"

constexpr int THREADS = 256;
constexpr int BLOCKS = sizeof(TYPE) == 2 ? 3 : 4;  // on a multiprocessor: each thread has up to 80 bytes under way

template <class T> struct Rounded {
    float value;

    __device__ __forceinline__ Rounded(T v) : value(v) {}
    __device__ __forceinline__ Rounded(float v) : value(T(v)) {}
    __device__ __forceinline__ operator T() const { return T(value); }

    friend __device__ __forceinline__ Rounded operator+(Rounded a, Rounded b) { return a.value + b.value; }
    friend __device__ __forceinline__ Rounded operator-(Rounded a, Rounded b) { return a.value - b.value; }
    friend __device__ __forceinline__ Rounded operator*(Rounded a, Rounded b) { return a.value * b.value; }
    friend __device__ __forceinline__ Rounded operator/(Rounded a, Rounded b) { return a.value / b.value; }
    friend __device__ __forceinline__ bool operator>(Rounded a, Rounded b) { return a.value > b.value; }
    friend __device__ __forceinline__ bool operator!=(Rounded a, Rounded b) { return a.value != b.value; }
    friend __device__ __forceinline__ Rounded sqrt(Rounded a) { return sqrtf(a.value); }
};

template <class T> struct Arithmetic { using type = Rounded<T>; };
template <> struct Arithmetic<float> { using type = float; };
template <> struct Arithmetic<double> { using type = double; };

using Real = Arithmetic<TYPE>::type;
using Wide = Accumulator<TYPE>::type;

__device__ __forceinline__ Real larger(Real a, Real b) { return a > b || a != a ? a : b; }  // NaN stays

__device__ __forceinline__ Real decayed(Real g, Real p, Wide decay) { return decay != 0 ? g + Real(decay) * p : g; }

struct SgdScalars { Wide lr, momentum, undamped, decay, nesterov; };

// budget: 256 threads, 64 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    sgd(TYPE* __restrict__ p, const TYPE* __restrict__ g, TYPE* __restrict__ buffer, Offset n, SgdScalars scalars) {
    const Real lr = scalars.lr, momentum = scalars.momentum, undamped = scalars.undamped;
    sweep<TYPE>(n, aligned(p, g, buffer), [&](auto at) {
        const auto gs = at.load(g);
        auto ps = at.load(p), bs = buffer ? at.load(buffer) : gs;
#pragma unroll
        for (int k = 0; k < PACKED<TYPE>; ++k) {
            const Real value = ps.at[k];
            Real d = decayed(gs.at[k], value, scalars.decay);
            if (buffer) {
                const Real b = momentum * Real(bs.at[k]) + undamped * d;
                d = scalars.nesterov ? d + momentum * b : b;
                bs.at[k] = TYPE(b);
            }
            ps.at[k] = TYPE(value - lr * d);
        }
        at.store(p, ps);
        if (buffer) at.store(buffer, bs);
    });
}

struct AdamScalars { Wide step_size, rest1, beta2, rest2, correction, eps, decay, shrink; };

// budget: 256 threads, 72 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    adam(TYPE* __restrict__ p, const TYPE* __restrict__ g, TYPE* __restrict__ m, TYPE* __restrict__ v,
         TYPE* __restrict__ v_max, Offset n, AdamScalars scalars) {
    const Real step_size = scalars.step_size, rest1 = scalars.rest1, beta2 = scalars.beta2, rest2 = scalars.rest2;
    const Real correction = scalars.correction, eps = scalars.eps, shrink = scalars.shrink;
    sweep<TYPE>(n, aligned(p, g, m, v, v_max), [&](auto at) {
        const auto gs = at.load(g);
        auto ps = at.load(p), ms = at.load(m), vs = at.load(v), largest = v_max ? at.load(v_max) : gs;
#pragma unroll
        for (int k = 0; k < PACKED<TYPE>; ++k) {
            const Real value = Real(ps.at[k]) * shrink, d = decayed(gs.at[k], value, scalars.decay);
            const Real mean = Real(ms.at[k]) + rest1 * (d - Real(ms.at[k]));
            const Real square = Real(vs.at[k]) * beta2 + rest2 * d * d;
            const Real scale = v_max ? larger(largest.at[k], square) : square;
            ms.at[k] = TYPE(mean), vs.at[k] = TYPE(square), largest.at[k] = TYPE(scale);
            ps.at[k] = TYPE(value - step_size * (mean / (sqrt(scale) / correction + eps)));
        }
        at.store(p, ps), at.store(m, ms), at.store(v, vs);
        if (v_max) at.store(v_max, largest);
    });
}

struct RmspropScalars { Wide lr, alpha, rest, eps, decay, momentum; };

// budget: 256 threads, 72 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    rmsprop(TYPE* __restrict__ p, const TYPE* __restrict__ g, TYPE* __restrict__ square, TYPE* __restrict__ buffer,
            TYPE* __restrict__ average, Offset n, RmspropScalars scalars) {
    const Real lr = scalars.lr, alpha = scalars.alpha, rest = scalars.rest;
    const Real eps = scalars.eps, momentum = scalars.momentum;
    sweep<TYPE>(n, aligned(p, g, square, buffer, average), [&](auto at) {
        const auto gs = at.load(g);
        auto ps = at.load(p), ss = at.load(square);
        auto bs = buffer ? at.load(buffer) : gs, as = average ? at.load(average) : gs;
#pragma unroll
        for (int k = 0; k < PACKED<TYPE>; ++k) {
            const Real value = ps.at[k];
            Real d = decayed(gs.at[k], value, scalars.decay), scale = Real(ss.at[k]) * alpha + rest * d * d;
            ss.at[k] = TYPE(scale);
            if (average) {
                const Real a = Real(as.at[k]) + rest * (d - Real(as.at[k]));
                scale = scale - a * a;
                as.at[k] = TYPE(a);
            }
            d = d / (sqrt(scale) + eps);
            if (buffer) {
                d = Real(bs.at[k]) * momentum + d;
                bs.at[k] = TYPE(d);
            }
            ps.at[k] = TYPE(value - lr * d);
        }
        at.store(p, ps), at.store(square, ss);
        if (buffer) at.store(buffer, bs);
        if (average) at.store(average, as);
    });
}
