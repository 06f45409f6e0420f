// Activations and their gradients: one pass, bound by memory alone. curves.cu has those that few networks need.
//
// One kernel has all kinds. The kind is the same for the whole launch, so that the choice costs each thread one branch,
// and all kinds share a compilation. An activation says value(x), and grad(g, saved) = g f'(x), where `saved` is f's
// output for Relu and Sigmoid, its input for the others. Where a slope is 0 or 1 the gradient is chosen and not
// multiplied: 0 times an infinite g would be NaN.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "pack.cuh"
#include "sigmoid.cuh"

constexpr int THREADS = 256;
constexpr int BLOCKS = sizeof(TYPE) == 8 ? 4 : 8;  // on a multiprocessor: as many as registers can be spared for

struct Relu {
    __device__ __forceinline__ Wide value(Wide x) const { return x <= 0 ? 0 : x; }
    __device__ __forceinline__ Wide grad(Wide g, Wide saved) const { return saved <= 0 ? 0 : g; }
};

struct Sigmoid {
    __device__ __forceinline__ Wide value(Wide x) const { return sigmoid(x); }
    __device__ __forceinline__ Wide grad(Wide g, Wide y) const { return g * y * (1 - y); }
};

struct Silu {
    __device__ __forceinline__ Wide value(Wide x) const { return x * sigmoid(x); }
    __device__ __forceinline__ Wide grad(Wide g, Wide x) const {
        const Wide s = sigmoid(x);
        return g * s * (1 + x * (1 - s));
    }
};

struct Gelu {  // x Phi(x), Phi(x) = erfc(-x / sqrt 2) / 2: unlike 1 + erf, it keeps its digits where it is small
    __device__ __forceinline__ Wide normal(Wide x) const { return Wide(0.5) * erfc(x * Wide(-0.70710678118654752)); }
    __device__ __forceinline__ Wide value(Wide x) const { return x * normal(x); }
    __device__ __forceinline__ Wide grad(Wide g, Wide x) const {
        const Wide density = exp(Wide(-0.5) * x * x) * Wide(0.39894228040143268);  // 1 / sqrt(2 pi)
        return g * (normal(x) + x * density);
    }
};

struct GeluTanh {  // x sigmoid(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3)
    static constexpr Wide ROOT = 1.59576912160573071, CUBE = 0.044715;

    __device__ __forceinline__ Wide share(Wide x) const { return sigmoid(ROOT * (x + CUBE * x * x * x)); }
    __device__ __forceinline__ Wide value(Wide x) const { return x * share(x); }
    __device__ __forceinline__ Wide grad(Wide g, Wide x) const {
        const Wide s = share(x);
        return g * (s + x * s * (1 - s) * ROOT * (1 + 3 * CUBE * x * x));
    }
};

// run(f) for the activation of this number, in the order of cuda.py.
template <class Run> __device__ __forceinline__ void with_activation(int kind, Run run) {
    switch (kind) {
        case 0: return run(Relu());
        case 1: return run(Sigmoid());
        case 2: return run(Silu());
        case 3: return run(Gelu());
        case 4: return run(GeluTanh());
    }
}

// y = f(x)
// budget: 256 threads, 64 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    activate(const TYPE* __restrict__ x, TYPE* __restrict__ y, Offset n, int kind) {
    with_activation(kind, [&](auto f) { map(n, [&](Wide v) { return f.value(v); }, y, x); });
}

// gx = gy f'(x)
// budget: 256 threads, 64 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    activate_grad(const TYPE* __restrict__ gy, const TYPE* __restrict__ saved, TYPE* __restrict__ gx, Offset n,
                  int kind) {
    with_activation(kind, [&](auto f) { map(n, [&](Wide g, Wide v) { return f.grad(g, v); }, gx, gy, saved); });
}
