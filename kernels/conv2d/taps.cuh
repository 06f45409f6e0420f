// Where a window looks, along one axis: for a convolution, and for its adjoint. `taps.py` is the same for the CPU.
#pragma once

// Whether 0 <= i < size: one comparison, as a negative number is a large one without its sign.
__device__ __forceinline__ bool inside(int i, int size) {
    return static_cast<unsigned>(i) < static_cast<unsigned>(size);
}

// A pixel is computed from taps first, first + step, ...: the first looks at `at`, each further one `ahead` from there,
// and for the pixel that lies `every` further on all of them look `rise` further on.
//
//   for (int p = axis.first, h = axis.at; p < taps; p += axis.step, h += axis.ahead)
//       if (inside(h, size)) ...
struct Axis {
    int first, step, at, ahead, every, rise;
};

// y[i] hears from x[i stride + p dilation - before] through every tap p.
__device__ __forceinline__ Axis forward_axis(int i, int stride, int dilation, int before) {
    return {0, 1, i * stride - before, dilation, 1, stride};
}

// x[h] hears from y[i] through tap p where i stride = h + before - p dilation: only from those p for which the right
// side is a multiple of the stride. They lie stride / gcd(stride, dilation) apart, and i falls by dilation / gcd
// between them. Pixels `stride` apart share them. Where there are none, `first` lies beyond all taps.
__device__ __forceinline__ Axis backward_axis(int h, int stride, int dilation, int before, int taps) {
    int gcd = stride;
    for (int rest = dilation; rest != 0;) {
        const int next = gcd % rest;
        gcd = rest, rest = next;
    }
    const int step = stride / gcd;
    int first = 0;
    while (first < step && (h + before - first * dilation) % stride != 0) ++first;
    if (first == step) first = taps;
    return {first, step, (h + before - first * dilation) / stride, -dilation / gcd, stride, 1};
}
