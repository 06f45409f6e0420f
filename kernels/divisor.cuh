// n / d for the same d and many n >= 0: a multiplication and a shift, where a division takes some twenty instructions.
//
// With 2^k >= d and multiplier = ceil(2^(31 + k) / d) the product n multiplier / 2^(31 + k) exceeds n / d by less than
// n / 2^31 / d, which for n < 2^31 is less than 1 / d: too little to reach the next whole number.
// `tables.py` makes them. Source: Granlund and Montgomery, Division by invariant integers using multiplication (1994).
#pragma once

struct Divisor {
    int d;
    unsigned multiplier;
    int shift;

    __device__ __forceinline__ int quotient(int n) const {
        return int(static_cast<unsigned long long>(unsigned(n)) * multiplier >> shift);
    }
};
