// Softmax over the middle of three axes (outer, K, inner), its gradient, and the cross-entropy of classes.
//
// A team of threads shares a softmax. Neighbouring threads read neighbouring addresses in each case:
//   rows   inner = 1: up to 32 lanes of a warp take a short row, so that a warp may have several; a block takes a long
//          one. A thread reads 16 bytes at a time where the rows allow it.
//   planes inner > 1: a thread alone takes a pixel and walks through its K classes; its neighbours take the next.
// A softmax of HELD values for each thread of its team stays in registers: it is read once, and written once. A longer
// one is read twice, first for its largest value and its sum together (Exponentials).
// The tree of the sums has the same shape in every run, so they have the same bits.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "pack.cuh"
#include "reduce.cuh"
#include "team.cuh"

using Wide = Accumulator<TYPE>::type;

constexpr int THREADS = 512;  // of the largest block; one is enough, or ptxas spills doubles to fit two
constexpr int HELD = 8;       // values of a thread in registers, as the launcher has it

__device__ __forceinline__ Wide power(Wide x) { return sizeof(Wide) == 8 ? exp(x) : expf(x); }
__device__ __forceinline__ Wide logarithm(Wide x) { return sizeof(Wide) == 8 ? log(x) : logf(x); }
// The lowest finite number: of values that are all -inf it stays the largest, and e^(-inf - lowest) is the 0 it has to
// be.
__device__ __forceinline__ Wide lowest() { return sizeof(Wide) == 8 ? -1.7976931348623157e308 : -3.402823466e38f; }

struct Shape {
    Offset softmaxes, inner;
    int k, team;  // threads of a team: a power of two up to a warp, or the whole block
};

// What one thread has of its softmax. Where there is none for it, none of its values: it goes on, to meet the others.
template <int width> struct Walk : Share<width> {
    static constexpr int WIDTH = width, COUNT = HELD / width;
    Offset softmax;  // of all

    __device__ __forceinline__ explicit Walk(const Shape& shape)
        : Walk(shape, (Offset(blockIdx.x) * blockDim.x + threadIdx.x) / shape.team) {}
    __device__ __forceinline__ Walk(const Shape& shape, Offset softmax)
        : Share<width>(softmax / shape.inner * shape.k * shape.inner + softmax % shape.inner,
                       softmax < shape.softmaxes ? shape.k : 0, shape.team, threadIdx.x % shape.team, shape.inner),
          softmax(softmax) {}
    using Chunks = Packs<TYPE, width, COUNT>;
};

// top = max x and sum = sum e^(x - top), as far as x has been seen: a higher top makes the sum so far smaller.
struct Exponentials {
    Wide top = lowest(), sum = 0;

    // Takes more values in; `powers` are their e^(x - top).
    template <int width, class Chunks>
    __device__ __forceinline__ void add(const Walk<width>& walk, int start, const Chunks& x, Wide* powers) {
        const Wide before = top;
        walk.template values<HELD / width>(start, [&](int i) { top = Largest::join(top, x[i]); });
        sum *= power(before - top);
        walk.template values<HELD / width>(start, [&](int i) { sum += powers[i] = power(x[i] - top); });
    }
    template <int width> __device__ __forceinline__ void join(const Walk<width>& walk, Wide* room) {
        const Wide own = top;
        top = walk.template join<Largest>(top, room);
        sum = walk.template join<Sum>(sum * power(own - top), room);
    }
};

// y = e^(x - top) / sum, with `log` x - top - log sum. What is held has its powers already, of the thread's own top.
template <int width>
__device__ __forceinline__ void softmax_of(const Walk<width>& walk, const TYPE* x, TYPE* y, bool log, Wide* room) {
    constexpr int COUNT = HELD / width;
    Packs<TYPE, width, COUNT> values;
    Wide powers[HELD];
    Exponentials all;
    for (int start = 0; start < walk.chunks; start += COUNT) {
        values.load(walk, start, x);
        all.add(walk, start, values, powers);
    }
    const Wide own = all.top;
    all.join(walk, room);
    const bool held = walk.chunks <= COUNT;
    const Wide log_sum = logarithm(all.sum), factor = (held ? power(own - all.top) : 1) / all.sum;
    for (int start = 0; start < walk.chunks; start += COUNT) {
        if (!held) {
            values.load(walk, start, x);
            if (!log) walk.template values<COUNT>(start, [&](int i) { powers[i] = power(values[i] - all.top); });
        }
        store<COUNT>(walk, start, y, [&](int i) { return log ? values[i] - all.top - log_sum : powers[i] * factor; });
    }
}

// gx = y (gy - sum gy y), with `log` gx = gy - e^y sum gy
template <int width>
__device__ __forceinline__ void softmax_grad_of(const Walk<width>& walk, const TYPE* gy, const TYPE* y, TYPE* gx,
                                                bool log, Wide* room) {
    constexpr int COUNT = HELD / width;
    Packs<TYPE, width, COUNT> g, p;
    Wide sum = 0;
    for (int start = 0; start < walk.chunks; start += COUNT) {
        g.load(walk, start, gy), p.load(walk, start, y);
        walk.template values<COUNT>(start, [&](int i) { sum += log ? g[i] : g[i] * p[i]; });
    }
    sum = walk.template join<Sum>(sum, room);
    for (int start = 0; start < walk.chunks; start += COUNT) {
        if (walk.chunks > COUNT) g.load(walk, start, gy), p.load(walk, start, y);
        store<COUNT>(walk, start, gx, [&](int i) { return log ? g[i] - power(p[i]) * sum : p[i] * (g[i] - sum); });
    }
}

// Whether rows can be read in packs.
template <class... T> __device__ __forceinline__ bool packed(const Shape& shape, const T*... arrays) {
    return shape.inner == 1 && shape.k % PACKED<TYPE> == 0 && aligned(arrays...);
}

// budget: 512 threads, 96 registers, 256 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    softmax(const TYPE* __restrict__ x, TYPE* __restrict__ y, Shape shape, bool log) {
    __shared__ Wide room[MOST_WARPS];
    if (packed(shape, x, y)) softmax_of(Walk<PACKED<TYPE>>(shape), x, y, log, room);
    else softmax_of(Walk<1>(shape), x, y, log, room);
}

// budget: 512 threads, 72 registers, 256 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    softmax_grad(const TYPE* __restrict__ gy, const TYPE* __restrict__ y, TYPE* __restrict__ gx, Shape shape,
                 bool log) {
    __shared__ Wide room[MOST_WARPS];
    if (packed(shape, gy, y, gx)) softmax_grad_of(Walk<PACKED<TYPE>>(shape), gy, y, gx, log, room);
    else softmax_grad_of(Walk<1>(shape), gy, y, gx, log, room);
}

// loss = weight_t (lse - x_t) and lse = log sum e^x, for target t; 0 where t is ignored, NaN where it is no class
// budget: 512 threads, 80 registers, 256 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    cross_entropy(const TYPE* __restrict__ x, const Offset* __restrict__ target, const TYPE* __restrict__ weight,
                  TYPE* __restrict__ loss, Wide* __restrict__ lse, Shape shape, Offset ignored) {
    __shared__ Wide room[MOST_WARPS];
    const auto run = [&](auto walk) {
        Exponentials all;
        for (int start = 0; start < walk.chunks; start += walk.COUNT) {
            typename decltype(walk)::Chunks values;
            Wide powers[HELD];
            values.load(walk, start, x);
            all.add(walk, start, values, powers);
        }
        all.join(walk, room);
        if (walk.length == 0 || walk.member > 0) return;  // for those that go on `first` is class 0 of their softmax
        const Wide log_sum = logarithm(all.sum);
        const Offset s = walk.softmax, t = target[s];
        lse[s] = all.top + log_sum;
        if (t == ignored) loss[s] = TYPE(0);
        else if (t < 0 || t >= shape.k) loss[s] = TYPE(__int_as_float(0x7fc00000));
        else loss[s] = TYPE(Wide(weight[t]) * (log_sum - (Wide(x[walk.first + t * shape.inner]) - all.top)));
    };
    if (packed(shape, x)) run(Walk<PACKED<TYPE>>(shape));
    else run(Walk<1>(shape));
}

// gx = gy weight_t (e^(x - lse) - [k = t])
// budget: 512 threads, 56 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    cross_entropy_grad(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, const Wide* __restrict__ lse,
                       const Offset* __restrict__ target, const TYPE* __restrict__ weight, TYPE* __restrict__ gx,
                       Shape shape, Offset ignored) {
    const auto run = [&](auto walk) {
        constexpr int WIDTH = walk.WIDTH, COUNT = walk.COUNT;
        if (walk.length == 0) return;  // no joins here
        const Offset s = walk.softmax, t = target[s];
        const bool skip = t == ignored, wrong = t < 0 || t >= shape.k;
        const Wide log_sum = lse[s];
        const Wide scale = skip ? 0 : wrong ? __int_as_float(0x7fc00000) : Wide(gy[s]) * Wide(weight[t]);
        for (int start = 0; start < walk.chunks; start += COUNT) {
            typename decltype(walk)::Chunks values;
            if (!skip) values.load(walk, start, x);
            store<COUNT>(walk, start, gx, [&](int i) {
                const Wide hit = walk.number(start + i / WIDTH) + i % WIDTH == t;
                return skip ? 0 : scale * (power(values[i] - log_sum) - hit);
            });
        }
    };
    if (packed(shape, x, gx)) run(Walk<PACKED<TYPE>>(shape));
    else run(Walk<1>(shape));
}
