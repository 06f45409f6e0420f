// Softmax over the middle of three axes (outer, K, inner), its gradient, and the cross-entropy of classes.
//
// A softmax is read three times: for its largest value, for the sum of e^(x - top), and to be written. Its values lie
// `inner` apart. Two ways to share them out, and both read neighbouring addresses from neighbouring threads:
//   rows   inner = 1: a block takes a row, its threads every blockDim.x-th value, and they add up through a tree
//   planes inner > 1: a thread takes a pixel and walks through its K classes; its neighbours take the next pixels
// The tree has the same shape in every run, so the sums have the same bits.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"

using Wide = Accumulator<TYPE>::type;
using Offset = long long;

constexpr int THREADS = 256;  // the largest block: a power of two

struct Sum { static __device__ Wide join(Wide a, Wide b) { return a + b; } };
struct Largest {  // of which one is NaN: NaN
    static __device__ Wide join(Wide a, Wide b) { return a > b || a != a ? a : b; }
};

// The threads' values joined, for all of them. `room` holds one value for each thread; it is free again afterwards.
template <class Join> __device__ Wide joined(Wide value, Wide* room) {
    room[threadIdx.x] = value;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) room[threadIdx.x] = Join::join(room[threadIdx.x], room[threadIdx.x + half]);
        __syncthreads();
    }
    const Wide all = room[0];
    __syncthreads();
    return all;
}

__device__ __forceinline__ Wide power(Wide x) { return sizeof(Wide) == 8 ? exp(x) : expf(x); }
__device__ __forceinline__ Wide logarithm(Wide x) { return sizeof(Wide) == 8 ? log(x) : logf(x); }
__device__ __forceinline__ Wide lowest() { return -__int_as_float(0x7f800000); }

// Which softmax, the first value of this thread in it, the step to its next, and how many it has.
struct Walk {
    Offset softmax, first, step, values;
    bool alone, busy;  // one thread has all values; it has a softmax at all

    __device__ Walk(Offset softmaxes, int k, Offset inner) {
        alone = inner > 1;
        softmax = alone ? Offset(blockIdx.x) * blockDim.x + threadIdx.x : blockIdx.x;
        busy = softmax < softmaxes;
        first = softmax / inner * k * inner + softmax % inner + (alone ? 0 : threadIdx.x);
        step = alone ? inner : blockDim.x;
        values = alone ? k : (k - Offset(threadIdx.x) + blockDim.x - 1) / blockDim.x;
    }
    template <class Join> __device__ Wide join(Wide value, Wide* room) const {
        return alone ? value : joined<Join>(value, room);
    }
};

// top = max x and sum = sum e^(x - top) of the walk's softmax; x points to its first value.
struct Exponentials {
    Wide top, sum;

    __device__ Exponentials(const TYPE* x, const Walk& walk, Wide* room) : top(lowest()), sum(0) {
        for (Offset i = 0; i < walk.values; ++i) top = Largest::join(top, x[i * walk.step]);
        top = walk.join<Largest>(top, room);
        for (Offset i = 0; i < walk.values; ++i) sum += power(Wide(x[i * walk.step]) - top);
        sum = walk.join<Sum>(sum, room);
    }
};

// y = e^(x - top) / sum, with `log` x - top - log sum
// budget: 256 threads, 64 registers, 2048 bytes
extern "C" __global__ void __launch_bounds__(THREADS) softmax(const TYPE* __restrict__ x, TYPE* __restrict__ y,
                                                              Offset softmaxes, int k, Offset inner, bool log) {
    __shared__ Wide room[THREADS];
    const Walk walk(softmaxes, k, inner);
    if (!walk.busy) return;  // no barrier follows where a thread is alone; else the whole block is busy
    x += walk.first, y += walk.first;
    const Exponentials all(x, walk, room);
    const Wide log_sum = logarithm(all.sum);
    for (Offset i = 0; i < walk.values; ++i) {
        const Wide d = Wide(x[i * walk.step]) - all.top;
        y[i * walk.step] = TYPE(log ? d - log_sum : power(d) / all.sum);
    }
}

// gx = y (gy - sum gy y), with `log` gx = gy - e^y sum gy
// budget: 256 threads, 64 registers, 2048 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    softmax_grad(const TYPE* __restrict__ gy, const TYPE* __restrict__ y, TYPE* __restrict__ gx, Offset softmaxes, int k,
                 Offset inner, bool log) {
    __shared__ Wide room[THREADS];
    const Walk walk(softmaxes, k, inner);
    if (!walk.busy) return;
    gy += walk.first, y += walk.first, gx += walk.first;
    Wide sum = 0;
    for (Offset i = 0; i < walk.values; ++i) {
        const Wide g = gy[i * walk.step];
        sum += log ? g : g * Wide(y[i * walk.step]);
    }
    sum = walk.join<Sum>(sum, room);
    for (Offset i = 0; i < walk.values; ++i) {
        const Wide g = gy[i * walk.step], p = y[i * walk.step];
        gx[i * walk.step] = TYPE(log ? g - power(p) * sum : p * (g - sum));
    }
}

// loss = weight_t (lse - x_t) and lse = log sum e^x, for target t; 0 where t is ignored, NaN where it is no class
// budget: 256 threads, 64 registers, 2048 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    cross_entropy(const TYPE* __restrict__ x, const Offset* __restrict__ target, const TYPE* __restrict__ weight,
                  TYPE* __restrict__ loss, Wide* __restrict__ lse, Offset softmaxes, int k, Offset inner,
                  Offset ignored) {
    __shared__ Wide room[THREADS];
    const Walk walk(softmaxes, k, inner);
    if (!walk.busy) return;
    x += walk.first;
    const Exponentials all(x, walk, room);
    if (!walk.alone && threadIdx.x > 0) return;  // for those that go on x is class 0 of their softmax
    const Wide log_sum = logarithm(all.sum);
    const Offset s = walk.softmax, t = target[s];
    lse[s] = all.top + log_sum;
    if (t == ignored) loss[s] = TYPE(0);
    else if (t < 0 || t >= k) loss[s] = TYPE(__int_as_float(0x7fc00000));
    else loss[s] = TYPE(Wide(weight[t]) * (log_sum - (Wide(x[t * inner]) - all.top)));
}

// gx = gy weight_t (e^(x - lse) - [k = t]): a thread for each value
// budget: 256 threads, 64 registers, 2048 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    cross_entropy_grad(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, const Wide* __restrict__ lse,
                       const Offset* __restrict__ target, const TYPE* __restrict__ weight, TYPE* __restrict__ gx,
                       Offset values, int k, Offset inner, Offset ignored) {
    const Offset i = Offset(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= values) return;
    const Offset s = i / (k * inner) * inner + i % inner, t = target[s];
    const int c = i / inner % k;
    if (t == ignored) gx[i] = TYPE(0);
    else if (t < 0 || t >= k) gx[i] = TYPE(__int_as_float(0x7fc00000));
    else gx[i] = TYPE(Wide(gy[s]) * Wide(weight[t]) * (power(Wide(x[i]) - lse[s]) - Wide(c == t)));
}
