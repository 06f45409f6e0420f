// Kernels in which parts of an array, side by side in memory, share a number or are each other's factor.
//
// A pack lies in one part where packs fill the parts: then one division says which part. Elsewhere threads take single
// numbers.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "pack.cuh"
#include "sigmoid.cuh"

constexpr int THREADS = 256;
constexpr int BLOCKS = sizeof(TYPE) == 4 ? 6 : 4;  // on a multiprocessor: as many as registers can be spared for

// body(place) for all n numbers of parts of `length`, in places that lie in one part.
template <class Body> __device__ __forceinline__ void sweep_parts(Offset n, Offset length, bool packed, Body body) {
    if (length % PACKED<TYPE> == 0) sweep<TYPE>(n, packed, body);
    else sweep<TYPE, 1>(n, true, body);
}

// y = x times the factor of its part
// budget: 256 threads, 40 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    scale(const TYPE* __restrict__ x, const TYPE* __restrict__ factors, TYPE* __restrict__ y, Offset n, Offset length) {
    if (length == 1) return map(n, [](Wide v, Wide factor) { return v * factor; }, y, x, factors);
    sweep_parts(n, length, aligned(x, y), [&](auto at) {
        const Wide factor = factors[at.first / length];
        at.store(y, each([&](Wide v) { return v * factor; }, at.load(x)));
    });
}

// y = a sigmoid(b) for the halves a and b of x (outer, 2, inner); n numbers of y (outer, inner)
// budget: 256 threads, 48 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    glu(const TYPE* __restrict__ x, TYPE* __restrict__ y, Offset n, Offset inner) {
    sweep_parts(n, inner, aligned(x, y), [&](auto at) {
        const auto half = at.starting(at.first + at.first / inner * inner);  // of a; b lies `inner` further on
        at.store(y, each([](Wide a, Wide b) { return a * sigmoid(b); }, half.load(x), half.load(x + inner)));
    });
}

// ga = gy s and gb = gy a s (1 - s), s = sigmoid(b)
// budget: 256 threads, 56 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    glu_grad(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, TYPE* __restrict__ gx, Offset n, Offset inner) {
    sweep_parts(n, inner, aligned(gy, x, gx), [&](auto at) {
        const auto half = at.starting(at.first + at.first / inner * inner);
        const auto g = at.load(gy), b = half.load(x + inner);
        half.store(gx, each([](Wide g, Wide b) { return g * sigmoid(b); }, g, b));
        half.store(gx + inner, each([](Wide g, Wide a, Wide b) {
            const Wide s = sigmoid(b);
            return g * s * a * (1 - s);
        }, g, half.load(x), b));
    });
}
