// Local response normalisation: each channel divided by the energy of the n channels around it. With d of channel c
//
//   d_c = k + scale sum x_j^2  over j from c - n / 2 to c + (n - 1) / 2, as far as there are channels
//   y_c = x_c d_c^-beta
//   gx_c = gy_c d_c^-beta - 2 scale beta x_c sum t_j,  t_j = gy_j x_j d_j^(-beta - 1),  over all j whose window has c
//
// A thread walks down the channels of one pixel, its neighbours down those of the next pixels: side by side in memory,
// whatever the size of a plane (55 x 55 and 27 x 27 in AlexNet, where packs of four would not fit). It carries the last
// n values in registers, so that each is read once, and adds all n of them at every step: a running sum, from which the
// oldest were subtracted, would keep the rounding of every large value that has passed.
//
// Where pixels are few, several threads share the channels of one and begin n - 1 channels early.
//
// response_5, response_grad_5: windows of five, those of the papers. Backward it carries three windows: of x, of t, and
//   of gy d^-beta, which comes out n / 2 steps later.
// response_any, response_terms, response_grad_any: windows of any size, read again at each step, for the most part from
//   the cache. Backward the t go through memory.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"

using Wide = Accumulator<TYPE>::type;
using Offset = long long;

constexpr int THREADS = 256;

struct Formula {
    int size;
    Wide scale, beta, k;

    __device__ __forceinline__ int before() const { return size / 2; }
    __device__ __forceinline__ int after() const { return (size - 1) / 2; }
};

// d^p. Of what is not positive and finite pow knows best; for all other d this takes a third of its instructions.
__device__ __noinline__ Wide unusual_power(Wide d, Wide p) { return pow(d, p); }
__device__ __forceinline__ Wide power(Wide d, Wide p) {
    return d > 0 && d - d == 0 ? exp2(p * log2(d)) : unusual_power(d, p);
}

struct Images {
    Offset samples, pixels;  // pixels of a plane
    int channels, each;      // channels of a thread
};

// The way of a thread: channels `first` to `end` - 1 of one pixel; none, if there is nothing left to do.
struct Walk {
    Offset start, pixels;
    int channels, first, end;

    __device__ __forceinline__ explicit Walk(const Images& images) : pixels(images.pixels), channels(images.channels) {
        const Offset thread = Offset(blockIdx.x) * THREADS + threadIdx.x, way = thread / pixels;
        const int ways = (channels + images.each - 1) / images.each;
        start = way / ways * channels * pixels + thread % pixels;
        first = int(way % ways) * images.each;
        end = way / ways < images.samples ? min(first + images.each, channels) : first;
    }
    __device__ __forceinline__ Offset at(int channel) const { return start + channel * pixels; }
    __device__ __forceinline__ bool inside(int channel) const { return 0 <= channel && channel < channels; }
    __device__ __forceinline__ Wide load(const TYPE* x, int channel) const {
        return inside(channel) ? Wide(x[at(channel)]) : Wide(0);
    }
};

// The latest n values, the oldest first. With loops unrolled the moves are renamed registers.
template <int n> struct Latest {
    Wide at[n];

    __device__ __forceinline__ void push(Wide value) {
#pragma unroll
        for (int k = 0; k < n - 1; ++k) at[k] = at[k + 1];
        at[n - 1] = value;
    }
    __device__ __forceinline__ Wide sum() const {
        Wide sum = 0;
#pragma unroll
        for (int k = 0; k < n; ++k) sum += at[k];
        return sum;
    }
    __device__ __forceinline__ Wide squares() const {
        Wide sum = 0;
#pragma unroll
        for (int k = 0; k < n; ++k) sum += at[k] * at[k];
        return sum;
    }
};

constexpr int FIVE = 5, BEFORE = FIVE / 2, AFTER = (FIVE - 1) / 2;

// The next five values, from channel c on: five loads that are under way at once.
__device__ __forceinline__ Latest<FIVE> loaded(const Walk& walk, const TYPE* x, int c) {
    Latest<FIVE> values;
#pragma unroll
    for (int k = 0; k < FIVE; ++k) values.at[k] = walk.load(x, c + k);
    return values;
}

// budget: 256 threads, 64 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    response_5(const TYPE* __restrict__ x, TYPE* __restrict__ y, Images images, Formula f) {
    const Walk walk(images);
    if (walk.first >= walk.end) return;
    Latest<FIVE> window = loaded(walk, x, walk.first - BEFORE - 1);  // of x, from c - BEFORE to c + AFTER
    for (int begin = walk.first; begin < walk.end; begin += FIVE) {
        const Latest<FIVE> next = loaded(walk, x, begin + AFTER);
#pragma unroll
        for (int k = 0; k < FIVE; ++k) {
            window.push(next.at[k]);
            const Wide v = window.at[BEFORE] * power(f.k + f.scale * window.squares(), -f.beta);
            if (begin + k < walk.end) y[walk.at(begin + k)] = TYPE(v);
        }
    }
}

// budget: 256 threads, 96 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    response_grad_5(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, TYPE* __restrict__ gx, Images images,
                    Formula f) {
    const Walk walk(images);
    if (walk.first >= walk.end) return;
    Latest<FIVE> window = loaded(walk, x, walk.first - FIVE);  // of x, from j - BEFORE to j + AFTER
    Latest<FIVE> terms = {};                                   // of t, from j - FIVE + 1 to j
    Latest<BEFORE + 1> direct = {};                            // of gy d^-beta, from j - BEFORE to j
    for (int begin = walk.first - AFTER; begin < walk.end + BEFORE; begin += FIVE) {
        const Latest<FIVE> next = loaded(walk, x, begin + AFTER), g = loaded(walk, gy, begin);
#pragma unroll
        for (int k = 0; k < FIVE; ++k) {
            const int j = begin + k, c = j - BEFORE;
            window.push(next.at[k]);
            const Wide d = f.k + f.scale * window.squares(), u = g.at[k] * power(d, -f.beta);
            direct.push(u);
            terms.push(walk.inside(j) ? u * window.at[BEFORE] / d : 0);
            if (walk.first <= c && c < walk.end)
                gx[walk.at(c)] = TYPE(direct.at[0] - 2 * f.scale * f.beta * window.at[0] * terms.sum());
        }
    }
}

// Sum of term(j) over the channels from `first` to `last`, as far as there are any.
template <class Term> __device__ __forceinline__ Wide sum_over(const Walk& walk, int first, int last, Term term) {
    Wide sum = 0;
    last = min(last, walk.channels - 1);
#pragma unroll 4
    for (int j = max(first, 0); j <= last; ++j) sum += term(j);
    return sum;
}

__device__ __forceinline__ Wide denominator(const Walk& walk, const TYPE* x, int c, const Formula& f) {
    return f.k + f.scale * sum_over(walk, c - f.before(), c + f.after(), [&](int j) {
        const Wide v = x[walk.at(j)];
        return v * v;
    });
}

// budget: 256 threads, 56 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    response_any(const TYPE* __restrict__ x, TYPE* __restrict__ y, Images images, Formula f) {
    const Walk walk(images);
    for (int c = walk.first; c < walk.end; ++c)
        y[walk.at(c)] = TYPE(Wide(x[walk.at(c)]) * power(denominator(walk, x, c, f), -f.beta));
}

// The t of all channels.
// budget: 256 threads, 56 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    response_terms(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, Wide* __restrict__ terms, Images images,
                   Formula f) {
    const Walk walk(images);
    for (int c = walk.first; c < walk.end; ++c) {
        const Wide d = denominator(walk, x, c, f);
        terms[walk.at(c)] = Wide(gy[walk.at(c)]) * power(d, -f.beta) * Wide(x[walk.at(c)]) / d;
    }
}

// budget: 256 threads, 56 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    response_grad_any(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, const Wide* __restrict__ terms,
                      TYPE* __restrict__ gx, Images images, Formula f) {
    const Walk walk(images);
    for (int c = walk.first; c < walk.end; ++c) {
        const Wide direct = Wide(gy[walk.at(c)]) * power(denominator(walk, x, c, f), -f.beta);
        const Wide sum = sum_over(walk, c - f.after(), c + f.before(), [&](int j) { return terms[walk.at(j)]; });
        gx[walk.at(c)] = TYPE(direct - 2 * f.scale * f.beta * Wide(x[walk.at(c)]) * sum);
    }
}
