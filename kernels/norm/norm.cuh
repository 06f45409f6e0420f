// What the kernels of normalisation share: where means and parameters lie, the formula itself, and the sums' types.
#pragma once
#include "half.cuh"
#include "pack.cuh"
#include "reduce.cuh"
#include "team.cuh"

using Wide = Accumulator<TYPE>::type;

// x as rows of columns (N, C * S). A channel is `span` columns, and `shared` columns have one mean: those of a channel
// in batch norm, where all rows have the same means (groups = 0), of a group in group norm, where each row has its own.
struct Layout {
    Offset rows, columns, span, shared;
    int groups;

    __device__ __forceinline__ Offset statistic(Offset row, Offset column) const {
        return row * groups + column / shared;
    }
};

// y = (x - mean) scale + bias, with the same bits wherever it is computed: a ReLU's gradient asks again where y was
// positive. The mean is not folded into the bias, where a large offset would cancel.
__device__ __forceinline__ Wide normalized(Wide x, Wide mean, Wide scale, Wide bias) {
    return fma(x - mean, scale, bias);
}

// a b, rounded by itself: no part of a multiply-add, so that equal products cancel to 0.
__device__ __forceinline__ float times(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double times(double a, double b) { return __dmul_rn(a, b); }

// Of a set of numbers: how many, their mean, and sum (x - mean)^2.
struct Moments { Wide count, mean, squares; };

__device__ __forceinline__ Moments exchanged(Moments m, int step) {
    return {exchanged(m.count, step), exchanged(m.mean, step), exchanged(m.squares, step)};
}

// Those of two sets together (Chan, Golub & LeVeque 1983): sums of positive terms, nothing cancels.
struct United {
    static __device__ __forceinline__ Moments join(Moments a, Moments b) {
        const Wide count = a.count + b.count, share = count > 0 ? b.count / count : 0, apart = b.mean - a.mean;
        return {count, a.mean + apart * share, a.squares + b.squares + apart * apart * a.count * share};
    }
};

// The moments of some values in registers, all less `origin`: their mean first, then their distances from it.
template <int count, int width>
__device__ __forceinline__ Moments moments_of(const Share<width>& share, const Packs<TYPE, width, count>& x,
                                              Wide origin) {
    Wide sum = 0, squares = 0;
    int found = 0;
    share.template values<count>(0, [&](int i) { sum += x[i] - origin, ++found; });
    const Wide mean = found ? sum / found : 0;
    share.template values<count>(0, [&](int i) {
        const Wide apart = x[i] - origin - mean;
        squares += apart * apart;
    });
    return {Wide(found), mean, squares};
}
