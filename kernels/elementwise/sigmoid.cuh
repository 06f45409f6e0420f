// e^x and what is made of it, for the activations and losses.
//
// e^x is taken of numbers below 0 only, so that it cannot overflow.
#pragma once

using Wide = Accumulator<TYPE>::type;

// a / b for b between 1 and 4, to 2 units in the last place: without the cases of tiny and huge b that / looks after.
__device__ __forceinline__ float ratio(float a, float b) { return __fdividef(a, b); }
__device__ __forceinline__ double ratio(double a, double b) { return a / b; }

__device__ __forceinline__ Wide sigmoid(Wide x) {
    const Wide small = exp(-fabs(x)), share = ratio(1, 1 + small);
    return x >= 0 ? share : share * small;
}
