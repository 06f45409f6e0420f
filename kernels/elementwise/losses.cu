// Losses of pairs of numbers, their sum, and their gradient: each one pass over both arrays.
//
// A sum is taken in two steps, each block's share and then the sum of these, so it has the same bits in every run: how
// the numbers are shared out follows from their count alone, and nobody adds to a place that another adds to.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "pack.cuh"
#include "reduce.cuh"
#include "sigmoid.cuh"

constexpr int THREADS = 256;
constexpr int BLOCKS = sizeof(TYPE) == 8 ? 4 : 6;  // on a multiprocessor: as many as registers can be spared for

struct Square {
    __device__ __forceinline__ Wide value(Wide x, Wide t) const { return (x - t) * (x - t); }
    __device__ __forceinline__ Wide slope(Wide x, Wide t) const { return 2 * (x - t); }
};

struct Absolute {
    __device__ __forceinline__ Wide value(Wide x, Wide t) const { return fabs(x - t); }
    __device__ __forceinline__ Wide slope(Wide x, Wide t) const { return Wide(x > t) - Wide(x < t); }  // 0 at NaN
};

struct Huber {  // scale (d^2 / 2 up to |d| = delta, beyond it the line that goes on from there)
    Wide delta, scale;

    __device__ __forceinline__ Wide value(Wide x, Wide t) const {
        const Wide d = fabs(x - t);
        return d > delta ? (d - delta / 2) * (delta * scale) : d * d * (scale / 2);
    }
    __device__ __forceinline__ Wide slope(Wide x, Wide t) const {
        const Wide d = x - t;
        return (d > delta ? delta : d < -delta ? -delta : d) * scale;
    }
};

struct Logistic {  // -t log s(x) - (1 - t) log(1 - s(x)), s the sigmoid, is (1 - t) x + log(1 + e^-x)
    __device__ __forceinline__ Wide value(Wide x, Wide t) const {
        return (1 - t) * x + (log1p(exp(-fabs(x))) + (x < 0 ? -x : 0));
    }
    __device__ __forceinline__ Wide slope(Wide x, Wide t) const { return sigmoid(x) - t; }
};

struct Settings { Wide delta, scale; };

// run(f) for the loss of this number, in the order of cuda.py.
template <class Run> __device__ __forceinline__ void with_loss(int kind, Settings s, Run run) {
    switch (kind) {
        case 0: return run(Square());
        case 1: return run(Absolute());
        case 2: return run(Huber{s.delta, s.scale});
        case 3: return run(Logistic());
    }
}

// y = loss(x, t)
// budget: 256 threads, 64 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    loss(const TYPE* __restrict__ x, const TYPE* __restrict__ t, TYPE* __restrict__ y, Offset n, int kind,
         Settings settings) {
    with_loss(kind, settings, [&](auto f) { map(n, [&](Wide a, Wide b) { return f.value(a, b); }, y, x, t); });
}

// gx = gy loss'(x, t); `one`: gy is a single number
// budget: 256 threads, 64 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    loss_grad(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, const TYPE* __restrict__ t,
              TYPE* __restrict__ gx, Offset n, bool one, int kind, Settings settings) {
    with_loss(kind, settings, [&](auto f) {
        sweep<TYPE>(n, aligned(one ? gx : gy, x, t, gx), [&](auto at) {
            const auto slope = [&](Wide g, Wide a, Wide b) { return g * f.slope(a, b); };
            at.store(gx, each(slope, at.load(gy, one), at.load(x), at.load(t)));
        });
    });
}

// sums[block] = the sum of the losses that this block comes by
// budget: 256 threads, 56 registers, 64 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    loss_sums(const TYPE* __restrict__ x, const TYPE* __restrict__ t, Wide* __restrict__ sums, Offset n, int kind,
              Settings settings) {
    __shared__ Wide room[THREADS / WARP];
    Wide total = 0;
    with_loss(kind, settings, [&](auto f) {
        sweep<TYPE>(n, aligned(x, t), [&](auto at) {
            const auto a = at.load(x), b = at.load(t);
#pragma unroll
            for (int k = 0; k < PACKED<TYPE>; ++k)
                total += k < at.count ? f.value(Wide(a.at[k]), Wide(b.at[k])) : 0;
        });
    });
    total = joined_in_block<Sum>(total, room);
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

// sum = the sum of `count` sums, by one block
// budget: 256 threads, 48 registers, 64 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    total(const Wide* __restrict__ sums, Wide* __restrict__ sum, int count) {
    __shared__ Wide room[THREADS / WARP];
    Wide total = 0;
    for (int i = threadIdx.x; i < count; i += THREADS) total += sums[i];
    total = joined_in_block<Sum>(total, room);
    if (threadIdx.x == 0) sum[0] = total;
}
