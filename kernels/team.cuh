// A row of values that a team of threads shares: neighbouring threads take neighbouring chunks of it, in turn.
//
//   const Share<4> share(first, length, team, member);             // chunks of four values
//   Packs<TYPE, 4, 2> x;                                            // two of them at once, in registers
//   for (int start = 0; start < share.chunks; start += 2) {
//       x.load(share, start, row);
//       share.values<2>(start, [&](int i) { sum += x[i]; });
//   }
//
// The loops are unrolled, so that registers can be indexed, and go only as far as there are values. Include half.cuh,
// pack.cuh and reduce.cuh before.
#pragma once

// What one member of a team has of a row. Values lie `stride` apart; chunks of more than one value need a stride of 1,
// or a team of one and a stride between the chunks.
template <int width> struct Share {
    Offset first, step;  // this member's first value, and how far it is to its next chunk
    int length, team, member, chunks;  // chunks of the busiest member

    __device__ __forceinline__ Share(Offset row, int length, int team, int member, Offset stride = 1)
        : first(row + member * width * stride), step(team * width * stride), length(length), team(team), member(member),
          chunks((length + team * width - 1) / (team * width)) {}

    // The place in the row of chunk j's first value. Beyond the length: this member has no such chunk.
    __device__ __forceinline__ int number(int j) const { return (j * team + member) * width; }

    // visit(j, place) for chunk start + j of this member, j < count
    template <int count, class Visit> __device__ __forceinline__ void each(int start, Visit visit) const {
#pragma unroll
        for (int j = 0; j < count; ++j) {
            if (j * width % 4 == 0 && start + j >= chunks) break;  // of short rows it saves most of the unrolled code
            if (number(start + j) < length) visit(j, Place<width>{first + (start + j) * step, width, true});
        }
    }
    // visit(i) for value i of these chunks, i < count * width
    template <int count, class Visit> __device__ __forceinline__ void values(int start, Visit visit) const {
        each<count>(start, [&](int j, auto) {
#pragma unroll
            for (int i = j * width; i < (j + 1) * width; ++i) visit(i);
        });
    }
    // The members' values joined, for all of them. A team is a power of two of lanes, a warp, or the block.
    template <class Join, class V> __device__ __forceinline__ V join(V value, V* room) const {
        return team > WARP ? joined_in_block<Join>(value, room) : joined_in_warp<Join>(value, team);
    }
};

// Chunks that are read at once: all loads are under way before the first is waited for.
template <class T, int width, int count> struct Packs {
    Pack<T, width> pack[count];

    __device__ __forceinline__ void load(const Share<width>& share, int start, const T* x) {
        share.template each<count>(start, [&](int j, auto at) { pack[j] = at.load(x); });
    }
    __device__ __forceinline__ typename Accumulator<T>::type operator[](int i) const {
        return pack[i / width].at[i % width];
    }
};

// y of chunks: store(share, start, y, [&](int i) { return ...; }), each value rounded once.
template <int count, int width, class T, class Value>
__device__ __forceinline__ void store(const Share<width>& share, int start, T* y, Value value) {
    share.template each<count>(start, [&](int j, auto at) {
        Pack<T, width> pack;
#pragma unroll
        for (int i = 0; i < width; ++i) pack.at[i] = T(value(j * width + i));
        at.store(y, pack);
    });
}
