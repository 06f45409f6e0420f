// Group, layer and instance norm of rows that fit the registers of a team of threads: the row of a sample and group has
// one mean. It is read once, forward and backward.
//
// A team is some lanes of a warp, or a block (team.cuh). Backward it takes several samples of one group, one after the
// other, so that a thread meets the same parameters again: it adds up their gradients in registers, and leaves the sums
// as a part that finish_sums (sums.cu) joins with the others.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "norm.cuh"

constexpr int THREADS = 512, HELD = sizeof(Wide) == 8 ? 4 : 8;  // as the launcher has them

struct Rows {
    Offset samples;
    int groups, length, span;  // a row has length / span channels
    int team, each;            // samples of a team
};

// The parameters of the values that a thread has: of channels that are one value wide as many, else one for each pack.
template <int width, int count, class Values = Packs<TYPE, width, count>>
__device__ __forceinline__ Values parameters(const Rows& rows, const TYPE* of, int group, int member) {
    const Offset first = group * Offset(rows.length / rows.span);
    const Share<width> share(first, rows.length, rows.team, member);
    Values all;
    if (rows.span == 1) all.load(share, 0, of);
    else
        share.template values<count>(0, [&](int i) {
            all.pack[i / width].at[i % width] = of[first + share.number(i / width) / rows.span];
        });
    return all;
}

template <class... T> __device__ __forceinline__ bool packed(const Rows& rows, const T*... arrays) {
    return rows.length % PACKED<TYPE> == 0 && (rows.span == 1 || rows.span % PACKED<TYPE> == 0) && aligned(arrays...);
}

struct GroupNorm {
    const TYPE *__restrict__ x, *__restrict__ weight, *__restrict__ bias;
    TYPE* __restrict__ y;
    Wide *__restrict__ mean, *__restrict__ var, *__restrict__ rstd;
    Rows rows;
    Wide eps;

    template <int width> __device__ __forceinline__ void run(Wide* room, Pair<Wide>* pairs) const {
        constexpr int COUNT = HELD / width;
        const Offset row = (Offset(blockIdx.x) * blockDim.x + threadIdx.x) / rows.team;
        const bool busy = row < rows.samples * rows.groups;  // all go on, to meet in the joins
        const Share<width> share(row * rows.length, busy ? rows.length : 0, rows.team, threadIdx.x % rows.team);
        Packs<TYPE, width, COUNT> values;
        values.load(share, 0, x);
        const auto w = parameters<width, COUNT>(rows, weight, row % rows.groups, share.member);
        const auto b = parameters<width, COUNT>(rows, bias, row % rows.groups, share.member);
        Wide sum = 0;
        share.template values<COUNT>(0, [&](int i) { sum += values[i]; });
        const Wide middle = share.template join<Sum>(sum, room) / rows.length;
        Pair<Wide> apart = {};  // sum (x - middle), sum (x - middle)^2
        share.template values<COUNT>(0, [&](int i) {
            const Wide d = values[i] - middle;
            apart = apart + Pair<Wide>{d, d * d};
        });
        apart = share.template join<Sum>(apart, pairs);
        const Wide rest = apart.first / rows.length, rough = apart.second / rows.length - rest * rest;
        const Wide spread = rough < 0 ? 0 : rough;  // by rounding; NaN stays
        const Wide scale = 1 / sqrt(spread + eps);
        if (busy && share.member == 0) mean[row] = middle + rest, var[row] = spread, rstd[row] = scale;
        store<COUNT>(share, 0, y, [&](int i) { return normalized(values[i] - middle, rest, scale * w[i], b[i]); });
    }
};

// y = (x - mean) rstd weight + bias. The mean is corrected by that of the distances from it: no sum's rounding stays.
// budget: 512 threads, 88 registers, 768 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    group_norm(const TYPE* __restrict__ x, const TYPE* __restrict__ weight, const TYPE* __restrict__ bias,
               TYPE* __restrict__ y, Wide* __restrict__ mean, Wide* __restrict__ var, Wide* __restrict__ rstd,
               Rows rows, Wide eps) {
    __shared__ Wide room[MOST_WARPS];
    __shared__ Pair<Wide> pairs[MOST_WARPS];
    const GroupNorm norm{x, weight, bias, y, mean, var, rstd, rows, eps};
    if (packed(rows, x, weight, bias, y)) norm.run<PACKED<TYPE>>(room, pairs);
    else norm.run<1>(room, pairs);
}

struct GroupNormGrad {
    const TYPE *__restrict__ gy, *__restrict__ x;
    const Wide *__restrict__ mean, *__restrict__ rstd;
    const TYPE* __restrict__ weight;
    TYPE* __restrict__ gx;
    Pair<Wide>* __restrict__ parts;
    Rows rows;

    template <int width> __device__ __forceinline__ void run(Pair<Wide>* room) const {
        constexpr int COUNT = HELD / width;
        const Offset team = (Offset(blockIdx.x) * blockDim.x + threadIdx.x) / rows.team;
        const int group = team % rows.groups, member = threadIdx.x % rows.team;
        const Offset begin = team / rows.groups * rows.each;
        const auto w = parameters<width, COUNT>(rows, weight, group, member);
        Pair<Wide> sums[HELD] = {};
        for (Offset n = begin; n < begin + rows.each; ++n) {
            const Offset row = n * rows.groups + group;
            const bool busy = n < rows.samples;  // all go on, to meet in the joins
            const Share<width> share(row * rows.length, busy ? rows.length : 0, rows.team, member);
            Packs<TYPE, width, COUNT> g, values;
            g.load(share, 0, gy), values.load(share, 0, x);
            const Wide m = busy ? mean[row] : 0, r = busy ? rstd[row] : 0;
            Pair<Wide> all = {};
            share.template values<COUNT>(0, [&](int i) {
                const Wide hat = (values[i] - m) * r, u = times(w[i], g[i]);
                all = all + Pair<Wide>{u * hat, u};
                sums[i] = sums[i] + Pair<Wide>{g[i] * hat, g[i]};
            });
            all = share.template join<Sum>(all, room);
            const Wide slope = all.first / rows.length, shift = all.second / rows.length;
            store<COUNT>(share, 0, gx, [&](int i) {
                return r * ((times(w[i], g[i]) - shift) - (values[i] - m) * r * slope);
            });
        }
        const Share<width> own(team * rows.length, begin < rows.samples ? rows.length : 0, rows.team, member);
        constexpr int BOTH = width == 1 ? 1 : PACKED<Pair<Wide>>;  // that make 16 bytes
        own.template each<COUNT>(0, [&](int j, auto at) {
#pragma unroll
            for (int i = 0; i < width; i += BOTH) {
                Pack<Pair<Wide>, BOTH> pack;
                for (int k = 0; k < BOTH; ++k) pack.at[k] = sums[j * width + i + k];
                Place<BOTH>{at.first + i, BOTH, true}.store(parts, pack);
            }
        });
    }
};

// gx = rstd (u - mean u - xhat mean(u xhat)) with u = weight gy, and the parts of sum gy xhat and sum gy
// budget: 512 threads, 120 registers, 512 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    group_norm_grad(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, const Wide* __restrict__ mean,
                    const Wide* __restrict__ rstd, const TYPE* __restrict__ weight, TYPE* __restrict__ gx,
                    Pair<Wide>* __restrict__ parts, Rows rows) {
    __shared__ Pair<Wide> room[MOST_WARPS];
    const GroupNormGrad grad{gy, x, mean, rstd, weight, gx, parts, rows};
    if (packed(rows, gy, x, weight, gx)) grad.run<PACKED<TYPE>>(room);
    else grad.run<1>(room);
}
