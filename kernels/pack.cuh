// Passes over arrays that lie in memory alike, 16 bytes at a time: the most that one instruction of a thread moves.
//
//   map(n, [](float a, float b) { return a + b; }, z, x, y);      // z = x + y, by all threads of the grid
//
//   sweep<TYPE>(n, aligned(p, g), [&](Place<PACKED<TYPE>> at) {    // the same with more than one result
//       auto pack = at.load(p);
//       ...
//       at.store(p, pack);
//   });
//
// A warp that loads 16 bytes a lane has 512 bytes under way with one instruction, and is left with a fourth of the
// instructions that are not arithmetic. Where the last pack is no whole one, or arrays begin elsewhere than at a
// multiple of 16 bytes (a view of a part), its numbers are moved one by one. Include half.cuh before.
#pragma once

using Offset = long long;

template <class T, int size> struct __align__(size * sizeof(T) < 16 ? size * sizeof(T) : 16) Pack { T at[size]; };

template <class T> constexpr int PACKED = 16 / sizeof(T);

// Where a thread is in the arrays: at `count` numbers from `first` on, `whole` if they can be moved at once.
template <int size> struct Place {
    Offset first;
    int count;
    bool whole;

    __device__ __forceinline__ Place starting(Offset other) const { return {other, count, whole}; }

    template <class T> __device__ __forceinline__ Pack<T, size> load(const T* x) const {
        if (whole) return *reinterpret_cast<const Pack<T, size>*>(x + first);
        Pack<T, size> pack;
#pragma unroll
        for (int k = 0; k < size; ++k) pack.at[k] = k < count ? x[first + k] : T(0);
        return pack;
    }
    // With `one` the number x[0] again and again.
    template <class T> __device__ __forceinline__ Pack<T, size> load(const T* x, bool one) const {
        if (!one) return load(x);
        Pack<T, size> pack;
#pragma unroll
        for (int k = 0; k < size; ++k) pack.at[k] = x[0];
        return pack;
    }
    template <class T> __device__ __forceinline__ void store(T* y, const Pack<T, size>& pack) const {
        if (whole) {
            if constexpr (sizeof pack == 16)  // one instruction, which the compiler makes of a struct only at times
                __stwb(reinterpret_cast<uint4*>(y + first), *reinterpret_cast<const uint4*>(&pack));
            else
                *reinterpret_cast<Pack<T, size>*>(y + first) = pack;
            return;
        }
#pragma unroll
        for (int k = 0; k < size; ++k)
            if (k < count) y[first + k] = pack.at[k];
    }
};

// Whether all of the arrays begin at a multiple of 16 bytes; a null pointer does.
template <class... T> __device__ __forceinline__ bool aligned(const T*... arrays) {
    return (reinterpret_cast<unsigned long long>(arrays) | ...) % 16 == 0;
}

// body(place) for all n numbers of type T; each thread goes on by the size of the grid.
template <class T, int size = PACKED<T>, class Body>
__device__ __forceinline__ void sweep(Offset n, bool packed, Body body) {
    const Offset step = Offset(gridDim.x) * blockDim.x * size;
    for (Offset i = (Offset(blockIdx.x) * blockDim.x + threadIdx.x) * size; i < n; i += step) {
        const int count = n - i < size ? int(n - i) : size;
        body(Place<size>{i, count, packed && count == size});
    }
}

// f of the numbers of packs, computed in the wide type and rounded once.
template <class F, class T, int size, class... More>
__device__ __forceinline__ Pack<T, size> each(F f, Pack<T, size> first, const More&... more) {
    using Wide = typename Accumulator<T>::type;
#pragma unroll
    for (int k = 0; k < size; ++k) first.at[k] = T(f(Wide(first.at[k]), Wide(more.at[k])...));
    return first;
}

// y = f(x...), number by number.
template <class F, class T, class... Inputs>
__device__ __forceinline__ void map(Offset n, F f, T* y, const Inputs*... x) {
    sweep<T>(n, aligned(y, x...), [&](auto at) { at.store(y, each(f, at.load(x)...)); });
}
