// y = zeros with the slices of x added at places that integers name, however often each is named.
//
// Float atomics would add in an order of chance. Here the places come sorted (cuda.py), and the sort is stable: slices
// of one place stand side by side, in their order. Such a run may be one slice or all of them, so threads do not get
// runs but pieces of 32 positions each, and the work is the same whatever the indices are:
//
//   positions   | a a a b b c c c | c c c c c c c c | c c d d d e e e |
//   pieces      | a, b            |                 | d, e            |   runs that lie in one piece go to y
//               |          tail c | head c          | head c          |   parts of runs that came from before or go on
//   joins         c = tail + head + head, by the thread in whose piece the run begins
//
// Neighbouring threads take neighbouring numbers of a slice, 16 bytes each where packs fill the slices. Sums depend on
// the indices and on nothing else: the same bits in every run. With `product` all is multiplied, and into ones.
//
// `put` writes instead of adding; the sort says which of several values stays, and no two threads write to one place.
// nvrtc: TYPE=float,double,float16,bfloat16,Integer
#include "half.cuh"
#include "pack.cuh"

using Integer = unsigned long long;  // for all integers and booleans: what is right in 64 bits is right in fewer
template <> struct Accumulator<Integer> { using type = Integer; };

using Wide = Accumulator<TYPE>::type;

constexpr int THREADS = 256;
constexpr int PIECE = 32;  // positions
constexpr int EACH = 4;    // of which a thread has so many under way at once

struct Slices {
    Offset n, size;         // positions; places
    Offset inner, columns;  // numbers of a slice that lie side by side; numbers of all outer slices
};

// What one thread does: `width` columns of one piece. Columns are numbered through all outer slices.
template <int width> struct Work {
    Offset piece, number, x, y;  // number: of the first column; x, y: where it lies in slice 0 of x and of y

    __device__ __forceinline__ explicit Work(const Slices& s) {
        const Offset thread = Offset(blockIdx.x) * blockDim.x + threadIdx.x, threads = s.columns / width;
        piece = thread / threads, number = thread % threads * width;
        const Offset outer = number / s.inner, rest = number % s.inner;
        x = outer * s.n * s.inner + rest, y = outer * s.size * s.inner + rest;
    }
};

template <int width> struct Total {
    Pack<Wide, width> value;
    bool product;

    __device__ __forceinline__ explicit Total(bool product) : product(product) { clear(); }
    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int k = 0; k < width; ++k) value.at[k] = product ? 1 : 0;
    }
    template <class T> __device__ __forceinline__ void join(const Pack<T, width>& other) {
#pragma unroll
        for (int k = 0; k < width; ++k)
            value.at[k] = product ? value.at[k] * Wide(other.at[k]) : value.at[k] + Wide(other.at[k]);
    }
    template <class T> __device__ __forceinline__ void store(T* numbers) const {
        Pack<T, width> rounded;
#pragma unroll
        for (int k = 0; k < width; ++k) rounded.at[k] = T(value.at[k]);
        Place<width>{0, width, true}.store(numbers, rounded);
    }
};

template <int width>
__device__ __forceinline__ void sum_piece(const TYPE* __restrict__ x, const Offset* __restrict__ order,
                                          const Offset* __restrict__ places, TYPE* __restrict__ y,
                                          Wide* __restrict__ heads, Wide* __restrict__ tails, const Slices& s,
                                          bool product) {
    const Work<width> work(s);
    const Offset begin = work.piece * PIECE, end = min(begin + PIECE, s.n);
    if (begin >= s.n) return;
    const bool whole = aligned(x);
    const Offset left = work.piece * s.columns + work.number;  // where this thread leaves what is no whole run
    Offset place = places[begin];
    bool came = begin > 0 && places[begin - 1] == place;
    Total<width> total(product);
    for (Offset first = begin; first < end; first += EACH) {
        Offset next[EACH];
        Pack<TYPE, width> values[EACH];
#pragma unroll
        for (int k = 0; k < EACH; ++k) {
            const Offset position = min(first + k, end - 1);
            next[k] = places[position];
            values[k] = Place<width>{work.x + order[position] * s.inner, width, whole}.load(x);
        }
#pragma unroll
        for (int k = 0; k < EACH; ++k) {
            if (first + k >= end) break;
            if (next[k] != place) {
                if (came) total.store(heads + left);
                else total.store(y + work.y + place * s.inner);
                total.clear(), came = false, place = next[k];
            }
            total.join(values[k]);
        }
    }
    if (came) total.store(heads + left);
    else if (end < s.n && places[end] == place) total.store(tails + left);
    else total.store(y + work.y + place * s.inner);
}

// budget: 256 threads, 96 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    pieces(const TYPE* __restrict__ x, const Offset* __restrict__ order, const Offset* __restrict__ places,
           TYPE* __restrict__ y, Wide* __restrict__ heads, Wide* __restrict__ tails, Slices slices, bool product,
           bool packed) {
    if (packed) sum_piece<PACKED<TYPE>>(x, order, places, y, heads, tails, slices, product);
    else sum_piece<1>(x, order, places, y, heads, tails, slices, product);
}

// The first position from `from` on that has another place.
__device__ Offset behind(const Offset* __restrict__ places, Offset from, Offset n) {
    const Offset place = places[from];
    while (from < n) {
        const Offset middle = (from + n) / 2;
        if (places[middle] == place) from = middle + 1;
        else n = middle;
    }
    return n;
}

// budget: 256 threads, 48 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    joins(const Offset* __restrict__ places, const Wide* __restrict__ heads, const Wide* __restrict__ tails,
          TYPE* __restrict__ y, Slices s, bool product) {
    const Work<1> work(s);
    const Offset begin = work.piece * PIECE, end = begin + PIECE;
    if (end >= s.n || places[end] != places[end - 1]) return;  // no run goes on
    const Offset place = places[end];
    if (begin > 0 && places[begin - 1] == place) return;  // it began earlier
    const Offset last = (behind(places, end, s.n) - 1) / PIECE;
    Wide total = tails[work.piece * s.columns + work.number];
#pragma unroll 8
    for (Offset piece = work.piece + 1; piece <= last; ++piece) {
        const Wide head = heads[piece * s.columns + work.number];
        total = product ? total * head : total + head;
    }
    y[work.y + place * s.inner] = TYPE(total);
}

// y[places] = values, number by number: the last of those with one place stays
// budget: 256 threads, 16 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    put(const TYPE* __restrict__ values, const Offset* __restrict__ order, const Offset* __restrict__ places,
        TYPE* __restrict__ y, Offset n) {
    const Offset i = Offset(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n && (i + 1 == n || places[i + 1] != places[i])) y[places[i]] = values[order[i]];
}
