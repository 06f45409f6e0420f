// y = a where the condition holds, else b. Only moved, never computed with: numbers are known by their size, and one
// compilation serves all types of that size.
//
// Both values are read before the choice, so that a warp has all its loads under way at once and does not branch.
// nvrtc: SIZE=1,2,4,8
#include "half.cuh"
#include "pack.cuh"

constexpr int THREADS = 256;
constexpr int BLOCKS = SIZE == 1 ? 3 : 4;  // on a multiprocessor

template <int size> struct Bits;
template <> struct Bits<1> { using type = unsigned char; };
template <> struct Bits<2> { using type = unsigned short; };
template <> struct Bits<4> { using type = unsigned; };
template <> struct Bits<8> { using type = unsigned long long; };
using Number = Bits<SIZE>::type;

// `one_a`, `one_b`: a or b is a single number
// budget: 256 threads, 64 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    select(const bool* __restrict__ condition, const Number* __restrict__ a, const Number* __restrict__ b,
           Number* __restrict__ y, Offset n, bool one_a, bool one_b) {
    sweep<Number>(n, aligned(condition, one_a ? y : a, one_b ? y : b, y), [&](auto at) {
        const auto holds = at.load(condition);
        auto chosen = at.load(a, one_a);
        const auto other = at.load(b, one_b);
#pragma unroll
        for (int k = 0; k < PACKED<Number>; ++k) chosen.at[k] = holds.at[k] ? chosen.at[k] : other.at[k];
        at.store(y, chosen);
    });
}
