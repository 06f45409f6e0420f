// Activations with settings and the rarer ones: as activations.cu, whose kinds would otherwise wait for these to be
// compiled. Their gradients come from their input.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "pack.cuh"
#include "sigmoid.cuh"

constexpr int THREADS = 256;
constexpr int BLOCKS = sizeof(TYPE) == 8 ? 4 : 6;  // on a multiprocessor: as many as registers can be spared for
constexpr Wide SIXTH = 1 / Wide(6);

struct Settings { Wide a, b, c; };

__device__ __forceinline__ Wide clamped(Wide x, Wide low, Wide high) {  // NaN stays NaN, which fmin and fmax would drop
    x = x < low ? low : x;
    return x > high ? high : x;
}

struct LeakyRelu {
    Wide slope;

    __device__ __forceinline__ Wide value(Wide x) const { return x > 0 ? x : x * slope; }
    __device__ __forceinline__ Wide grad(Wide g, Wide x) const { return x > 0 ? g : g * slope; }
};

struct HardTanh {
    Wide low, high;

    __device__ __forceinline__ Wide value(Wide x) const { return clamped(x, low, high); }
    __device__ __forceinline__ Wide grad(Wide g, Wide x) const { return x > low && x < high ? g : 0; }
};

struct HardSigmoid {
    __device__ __forceinline__ Wide value(Wide x) const { return clamped(x + 3, 0, 6) * SIXTH; }
    __device__ __forceinline__ Wide grad(Wide g, Wide x) const { return x > -3 && x < 3 ? g * SIXTH : 0; }
};

struct HardSwish {
    __device__ __forceinline__ Wide value(Wide x) const { return x * (clamped(x + 3, 0, 6) * SIXTH); }
    __device__ __forceinline__ Wide grad(Wide g, Wide x) const {
        const Wide slope = (x + x + 3) * SIXTH;
        return g * (x >= 3 ? 1 : x <= -3 ? 0 : slope);
    }
};

struct Elu {
    Wide alpha, s, scale;

    __device__ __forceinline__ Wide value(Wide x) const { return x > 0 ? x * scale : expm1(x * s) * (alpha * scale); }
    __device__ __forceinline__ Wide grad(Wide g, Wide x) const {
        return g * (x > 0 ? scale : exp(x * s) * (alpha * s * scale));
    }
};

struct Softplus {
    Wide beta, threshold, inverse;

    __device__ __forceinline__ Wide value(Wide x) const {
        const Wide z = x * beta;
        return z > threshold ? x : (log1p(exp(-fabs(z))) + (z > 0 ? z : 0)) * inverse;
    }
    __device__ __forceinline__ Wide grad(Wide g, Wide x) const {
        const Wide z = x * beta;
        return z > threshold ? g : g * sigmoid(z);
    }
};

struct Mish {  // x tanh(log(1 + e^x)), and the tanh is above / (above + below)
    Wide above, below, share;

    __device__ __forceinline__ Mish at(Wide x) const {
        const Wide e = exp(-fabs(x));
        return x >= 0 ? Mish{1 + 2 * e, 2 * e * e, ratio(1, 1 + e)} : Mish{e * (e + 2), 2, ratio(e, 1 + e)};
    }
    __device__ __forceinline__ Wide value(Wide x) const {
        const Mish m = at(x);
        return x * ratio(m.above, m.above + m.below);
    }
    __device__ __forceinline__ Wide grad(Wide g, Wide x) const {
        const Mish m = at(x);
        const Wide whole = m.above + m.below, t = ratio(m.above, whole);
        return g * (t + x * m.share * ratio(m.below, whole) * (1 + t));
    }
};

// run(f) for the activation of this number, in the order of cuda.py.
template <class Run> __device__ __forceinline__ void with_activation(int kind, Settings s, Run run) {
    switch (kind) {
        case 0: return run(LeakyRelu{s.a});
        case 1: return run(HardTanh{s.a, s.b});
        case 2: return run(HardSigmoid());
        case 3: return run(HardSwish());
        case 4: return run(Elu{s.a, s.b, s.c});
        case 5: return run(Softplus{s.a, s.b, 1 / s.a});
        case 6: return run(Mish());
    }
}

// y = f(x)
// budget: 256 threads, 48 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    curve(const TYPE* __restrict__ x, TYPE* __restrict__ y, Offset n, int kind, Settings settings) {
    with_activation(kind, settings, [&](auto f) { map(n, [&](Wide v) { return f.value(v); }, y, x); });
}

// gx = gy f'(x)
// budget: 256 threads, 64 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    curve_grad(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, TYPE* __restrict__ gx, Offset n, int kind,
               Settings settings) {
    with_activation(kind, settings, [&](auto f) { map(n, [&](Wide g, Wide v) { return f.grad(g, v); }, gx, gy, x); });
}
