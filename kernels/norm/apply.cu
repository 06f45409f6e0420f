// Normalisation by given means, and its gradient by given sums: one pass over (N, C * S), with the means of a channel
// or of a group of a sample.
//
// A thread takes a pack of neighbouring columns, which have one channel, and ROWS rows of it: its channel and weight it
// looks up once. Neighbours take the next pack, so that each access of a warp is 512 bytes side by side, whatever S is.
// Where packs would lie across channels a thread takes one column.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "norm.cuh"

constexpr int THREADS = 256, ROWS = 4;  // as the launcher has them

// run(share, row, column) for the packs of this thread: one, as a rule.
template <int width, class Run> __device__ __forceinline__ void tiles(const Layout& layout, Run run) {
    const Offset packs = layout.columns / width, all = (layout.rows + ROWS - 1) / ROWS * packs;
    for (Offset t = Offset(blockIdx.x) * THREADS + threadIdx.x; t < all; t += Offset(gridDim.x) * THREADS) {
        const Offset row = t / packs * ROWS, column = t % packs * width;
        const int length = int(min(Offset(ROWS), layout.rows - row)) * width;
        run(Share<width>(row * layout.columns + column, length, 1, 0, packs), row, column);
    }
}
template <class Run> __device__ __forceinline__ void over_tiles(const Layout& layout, bool packed, Run run) {
    if (packed && layout.span % PACKED<TYPE> == 0) tiles<PACKED<TYPE>>(layout, run);
    else tiles<1>(layout, run);
}

struct Normalize {
    const TYPE* __restrict__ x;
    const Wide *__restrict__ mean, *__restrict__ rstd;
    const TYPE *__restrict__ weight, *__restrict__ bias;
    TYPE* __restrict__ y;
    Layout layout;
    bool relu;

    template <int width>
    __device__ __forceinline__ void operator()(const Share<width>& share, Offset row, Offset column) const {
        Packs<TYPE, width, ROWS> values;
        values.load(share, 0, x);
        const Offset channel = column / layout.span, first = layout.statistic(row, column);
        const Wide w = weight[channel], b = bias ? Wide(bias[channel]) : 0;
        store<ROWS>(share, 0, y, [&](int i) {
            const Offset s = first + i / width * layout.groups;
            const Wide v = normalized(values[i], mean ? mean[s] : 0, w * rstd[s], b);
            return relu && v <= 0 ? 0 : v;  // NaN stays
        });
    }
};

struct GradInput {
    const TYPE *__restrict__ gy, *__restrict__ x;
    const Wide *__restrict__ mean, *__restrict__ rstd;
    const TYPE *__restrict__ weight, *__restrict__ bias;
    const Pair<Wide>* __restrict__ means;
    TYPE* __restrict__ gx;
    Layout layout;

    template <int width>
    __device__ __forceinline__ void operator()(const Share<width>& share, Offset row, Offset column) const {
        Packs<TYPE, width, ROWS> g, values;
        g.load(share, 0, gy), values.load(share, 0, x);
        const Offset channel = column / layout.span, first = layout.statistic(row, column);
        const bool relu = bias;
        const Wide w = weight[channel], b = relu ? Wide(bias[channel]) : 0;
        store<ROWS>(share, 0, gx, [&](int i) {
            const Offset s = first + i / width * layout.groups;
            const Wide m = mean[s], r = rstd[s];
            Wide u = times(w, g[i]);
            if (relu & (normalized(values[i], m, w * r, b) <= 0)) u = 0;  // & and not &&: no branch
            return r * ((u - means[s].second) - (values[i] - m) * r * means[s].first);
        });
    }
};

// y = (x - mean) rstd weight + bias, with `relu` max(y, 0). Without mean and bias they are 0.
// budget: 256 threads, 64 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    normalize(const TYPE* __restrict__ x, const Wide* __restrict__ mean, const Wide* __restrict__ rstd,
              const TYPE* __restrict__ weight, const TYPE* __restrict__ bias, TYPE* __restrict__ y, Layout layout,
              bool relu) {
    over_tiles(layout, aligned(x, y), Normalize{x, mean, rstd, weight, bias, y, layout, relu});
}

// gx = rstd (u - mean u - xhat mean(u xhat)) with u = weight gy; with `bias` where y was positive, else u = 0.
// `means` has mean(u xhat) and mean u.
// budget: 256 threads, 80 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    grad_input(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, const Wide* __restrict__ mean,
               const Wide* __restrict__ rstd, const TYPE* __restrict__ weight, const TYPE* __restrict__ bias,
               const Pair<Wide>* __restrict__ means, TYPE* __restrict__ gx, Layout layout) {
    over_tiles(layout, aligned(gy, x, gx), GradInput{gy, x, mean, rstd, weight, bias, means, gx, layout});
}
