// Moments and sums of channels, in two steps: blocks leave a part each, and a second kernel joins the parts.
//
//   planes   S is large: a channel's values are N planes of S neighbours. A warp takes a segment of a plane at a time,
//            a block the segments of one channel, and a channel has as many blocks as it takes to fill the GPU.
//   columns  S is small: the values of one channel lie apart. A thread takes a column of (N, C * S), its neighbours
//            take the next, and a channel is S columns. So are the parameters of layer norm, with S = 1.
//
// Values are taken less the first of their channel, so that an offset that all of them share costs no bits of mean and
// variance. Being one of M values it is at most sqrt(M) standard deviations away from the mean, whatever it is.
//
// Parts lie in memory as [part][channel], or [part][channel][S] for columns. How many there are follows from the shape
// alone: the sums have the same bits in every run.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "norm.cuh"

constexpr int THREADS = 256, HIGH = 8;  // planes: of the largest block; columns: blocks of 32 x HIGH
constexpr int HELD = 8;                 // values that a thread reads at once
constexpr int LANES = 32;               // of the last step: blocks of 32 channels x LANES parts

constexpr int PLAIN = 0, RELU = 1, WEIGHTED = 2;  // what of gy is added: all, where y is positive, its product with w

struct Planes {
    Offset size;  // of a plane
    int batch, channels, shared;  // `shared` channels have one mean
    int groups;                   // WEIGHTED: a channel is one of `groups` groups, whose own channels are `span` wide
    Offset span;
};

// take(share, row, begin) for the segments of this warp: of which row of (N, C), and where in it. The parts are joined.
template <int width, class Join, class V, class Take>
__device__ __forceinline__ V over_segments(const Planes& planes, V* room, Take take) {
    constexpr int SEGMENT = WARP * HELD;
    const Offset segments = (planes.size + SEGMENT - 1) / SEGMENT;
    const int warps = blockDim.x / WARP, splits = gridDim.x / planes.channels;
    const int channel = blockIdx.x % planes.channels, split = blockIdx.x / planes.channels;
    V all = {};
    for (Offset unit = split * warps + threadIdx.x / WARP; unit < planes.batch * segments; unit += splits * warps) {
        const Offset begin = unit % segments * SEGMENT, row = unit / segments * planes.channels + channel;
        const int length = int(min(Offset(SEGMENT), planes.size - begin));
        const Share<width> share(row * planes.size + begin, length, WARP, threadIdx.x % WARP);
        all = Join::join(all, take(share, row, begin));
    }
    return joined_in_block<Join>(all, room);
}
template <class Join, class V, class Take>
__device__ __forceinline__ void over_planes(const Planes& planes, V* parts, V* room, bool packed, Take take) {
    const V all = packed && planes.size % PACKED<TYPE> == 0 ? over_segments<PACKED<TYPE>, Join>(planes, room, take)
                                                            : over_segments<1, Join>(planes, room, take);
    if (threadIdx.x == 0) parts[blockIdx.x] = all;
}

// take(share, row, column) for HELD rows of this thread's column at a time.
template <class Join, class V, class Take>
__device__ __forceinline__ void over_columns(const Layout& layout, V* parts, V* room, Take take) {
    const Offset column = Offset(blockIdx.x) * WARP + threadIdx.x, step = Offset(gridDim.y) * HIGH * HELD;
    V all = {};
    if (column < layout.columns)
        for (Offset row = (Offset(blockIdx.y) * HIGH + threadIdx.y) * HELD; row < layout.rows; row += step) {
            const int length = int(min(Offset(HELD), layout.rows - row));
            const Share<1> share(row * layout.columns + column, length, 1, 0, layout.columns);
            all = Join::join(all, take(share, row, column));
        }
    all = joined_in_column<Join>(all, room);
    if (threadIdx.y == 0 && column < layout.columns) parts[blockIdx.y * layout.columns + column] = all;
}

struct TakeMoments {
    const TYPE* __restrict__ x;
    Wide origin;

    template <int width>
    __device__ __forceinline__ Moments operator()(const Share<width>& share, Offset, Offset) const {
        Packs<TYPE, width, HELD / width> values;
        values.load(share, 0, x);
        return moments_of(share, values, origin);
    }
};

// budget: 256 threads, 72 registers, 768 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    plane_moments(const TYPE* __restrict__ x, Moments* __restrict__ parts, Planes planes) {
    __shared__ Moments room[MOST_WARPS];
    const Wide origin = x[blockIdx.x % planes.channels * planes.size];
    over_planes<United>(planes, parts, room, aligned(x), TakeMoments{x, origin});
}

// budget: 256 threads, 88 registers, 6144 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    column_moments(const TYPE* __restrict__ x, Moments* __restrict__ parts, Layout layout) {
    __shared__ Moments room[HIGH * WARP];
    const Offset column = Offset(blockIdx.x) * WARP + threadIdx.x;
    const Wide origin = column < layout.columns ? x[column / layout.span * layout.span] : TYPE(0);
    over_columns<United>(layout, parts, room, TakeMoments{x, origin});
}

// Of a channel or column: sum gy xhat and sum gy, with xhat = (x - mean) rstd. Without x only the second.
struct Inputs {
    const TYPE *__restrict__ gy, *__restrict__ x;
    const Wide *__restrict__ mean, *__restrict__ rstd;
    const TYPE *__restrict__ weight, *__restrict__ bias;
};

// statistic(i) is the place of value i's mean, weight(i) that of its weight, for WEIGHTED.
template <int width, class Statistic, class Weight>
__device__ __forceinline__ Pair<Wide> sums_of(const Share<width>& share, const Inputs& in, int mode, Offset channel,
                                              Statistic statistic, Weight weight) {
    Packs<TYPE, width, HELD / width> g, values;
    g.load(share, 0, in.gy);
    if (in.x) values.load(share, 0, in.x);
    const Wide w = mode == RELU ? Wide(in.weight[channel]) : 0, b = mode == RELU ? Wide(in.bias[channel]) : 0;
    Pair<Wide> sums = {};
    share.template values<HELD / width>(0, [&](int i) {
        const Wide mean = in.mean[statistic(i)], rstd = in.rstd[statistic(i)], x = in.x ? values[i] : mean;
        Wide u = g[i];
        if (mode == RELU && normalized(x, mean, w * rstd, b) <= 0) u = 0;
        if (mode == WEIGHTED) u = times(in.weight[weight(i)], u);
        sums = sums + Pair<Wide>{u * ((x - mean) * rstd), u};
    });
    return sums;
}

struct SumsOfPlanes {
    Inputs in;
    Planes planes;
    int mode;

    template <int width>
    __device__ __forceinline__ Pair<Wide> operator()(const Share<width>& share, Offset row, Offset begin) const {
        const Offset channel = row % planes.channels, mean = channel / planes.shared;
        const Offset first = mode == WEIGHTED ? channel % planes.groups * (planes.size / planes.span) : 0;
        return sums_of(share, in, mode, channel, [=](int) { return mean; }, [=](int i) {
            return first + (begin + share.number(i / width) + i % width) / planes.span;
        });
    }
};

struct SumsOfColumns {
    Inputs in;
    Layout layout;
    int mode;

    __device__ __forceinline__ Pair<Wide> operator()(const Share<1>& share, Offset row, Offset column) const {
        const Offset first = layout.statistic(row, column);
        return sums_of(share, in, mode, column / layout.span, [=](int i) { return first + i * layout.groups; },
                       [](int) { return 0; });
    }
};

// budget: 256 threads, 104 registers, 512 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    plane_sums(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, const Wide* __restrict__ mean,
               const Wide* __restrict__ rstd, const TYPE* __restrict__ weight, const TYPE* __restrict__ bias,
               Pair<Wide>* __restrict__ parts, Planes planes, int mode) {
    __shared__ Pair<Wide> room[MOST_WARPS];
    const SumsOfPlanes take{{gy, x, mean, rstd, weight, bias}, planes, mode};
    over_planes<Sum>(planes, parts, room, aligned(gy, x), take);
}

// budget: 256 threads, 128 registers, 4096 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    column_sums(const TYPE* __restrict__ gy, const TYPE* __restrict__ x, const Wide* __restrict__ mean,
                const Wide* __restrict__ rstd, const TYPE* __restrict__ weight, const TYPE* __restrict__ bias,
                Pair<Wide>* __restrict__ parts, Layout layout, int mode) {
    __shared__ Pair<Wide> room[HIGH * WARP];
    over_columns<Sum>(layout, parts, room, SumsOfColumns{{gy, x, mean, rstd, weight, bias}, layout, mode});
}

// Joins the parts of channel c: parts[p / span][c][p % span], p < count. The first of LANES threads has the result.
template <class Join, class V>
__device__ __forceinline__ V joined_parts(const V* parts, V* room, Offset count, Offset channels, Offset span,
                                          Offset c) {
    V all = {};
    if (c < channels)
        for (Offset p = threadIdx.y; p < count; p += LANES)
            all = Join::join(all, parts[(p / span * channels + c) * span + p % span]);
    return joined_in_column<Join>(all, room);
}

// mean, var (biased) and rstd = 1 / sqrt(var + eps)
// budget: 1024 threads, 48 registers, 24576 bytes
extern "C" __global__ void __launch_bounds__(WARP * LANES)
    finish_moments(const TYPE* __restrict__ x, const Moments* __restrict__ parts, Wide* __restrict__ mean,
                   Wide* __restrict__ var, Wide* __restrict__ rstd, Offset count, Offset channels, Offset span,
                   Offset size, Wide eps) {
    __shared__ Moments room[WARP * LANES];
    const Offset c = Offset(blockIdx.x) * WARP + threadIdx.x;
    const Moments all = joined_parts<United>(parts, room, count, channels, span, c);
    if (threadIdx.y > 0 || c >= channels) return;
    const Wide spread = all.squares / all.count;
    mean[c] = x[c * size] + all.mean, var[c] = spread, rstd[c] = 1 / sqrt(spread + eps);
}

// gw = sum gy xhat and gb = sum gy. For batch norm also the means that gx needs: of u = w gy, and of u xhat.
// budget: 1024 threads, 40 registers, 16384 bytes
extern "C" __global__ void __launch_bounds__(WARP * LANES)
    finish_sums(const Pair<Wide>* __restrict__ parts, const TYPE* __restrict__ weight, TYPE* __restrict__ gw,
                TYPE* __restrict__ gb, Pair<Wide>* __restrict__ means, Offset count, Offset channels, Offset span,
                Offset values) {
    __shared__ Pair<Wide> room[WARP * LANES];
    const Offset c = Offset(blockIdx.x) * WARP + threadIdx.x;
    const Pair<Wide> all = joined_parts<Sum>(parts, room, count, channels, span, c);
    if (threadIdx.y > 0 || c >= channels) return;
    gw[c] = TYPE(all.first), gb[c] = TYPE(all.second);
    if (means) means[c] = {times(weight[c], all.first / values), times(weight[c], all.second / values)};
}

// The same means for a group of group norm, from the sums of its channels: a warp for each group.
// parts[p / channels][group][p % channels], p < count, of which channel p % channels has the weight
// budget: 256 threads, 40 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    group_means(const Pair<Wide>* __restrict__ parts, const TYPE* __restrict__ weight, Pair<Wide>* __restrict__ means,
                Offset all_groups, Offset count, int channels, int groups, Wide values) {
    const Offset group = (Offset(blockIdx.x) * THREADS + threadIdx.x) / WARP;
    if (group >= all_groups) return;  // a whole warp
    Pair<Wide> sums = {};
    for (Offset p = threadIdx.x % WARP; p < count; p += WARP) {
        const Offset k = p % channels;
        const Wide w = weight ? Wide(weight[group % groups * channels + k]) : 1;
        const Pair<Wide> part = parts[(p / channels * all_groups + group) * channels + k];
        sums = sums + Pair<Wide>{times(w, part.first), times(w, part.second)};
    }
    sums = joined_in_warp<Sum>(sums);
    if (threadIdx.x % WARP == 0) means[group] = {sums.first / values, sums.second / values};
}
