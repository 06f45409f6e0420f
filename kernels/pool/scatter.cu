// gx = zeros with each gy added at its place, for places of which nothing is known: the adjoint of `gather`.
//
// Several gy may have the same place, and float atomics would add them in an order of chance. So it is done from the
// side of gx. A warp makes `TILE` neighbouring numbers of gx in shared memory. It goes through the gy in order, 32
// at a time, and takes those that belong to its tile; where lanes have the same place, the first of them adds for all.
// So every sum is made in the same order each time.
//
// So that a warp need not read all gy of its planes, `extents` has noted the lowest and the highest place of each piece
// of them. Pooling and sampling keep what is near near, so few pieces reach into a tile. For places in no order at all
// every piece is read for every tile, which is slow, but right.
//
// All planes are one line: number o of gy belongs to plane o / (gy of a plane), its place counts from that plane's
// begin.
// nvrtc: TYPE=float,double,float16,bfloat16
#include "half.cuh"
#include "divisor.cuh"

using Wide = Accumulator<TYPE>::type;
using Offset = long long;

constexpr int WARP = 32, WARPS = 4;             // of a block
constexpr int PIECE = 256;                      // gy
constexpr int TILE = 4096 / int(sizeof(Wide));  // gx; a block takes 16 KB of shared memory
constexpr unsigned ALL = 0xffffffff;
constexpr int NOWHERE = -1;

struct Line {
    int values, places;  // of gy and of gx, in all planes
    Divisor plane_of_y;
    int plane_of_x;

    // The place of gy number o in all of gx.
    __device__ __forceinline__ int place(const Offset* places_of_plane, int o) const {
        const int place = o < values ? int(places_of_plane[o]) : NOWHERE;
        return place < 0 ? NOWHERE : plane_of_y.quotient(o) * plane_of_x + place;
    }
};

// The lowest and the highest place of each piece of gy: a warp for each piece.
// budget: 128 threads, 24 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(WARP * WARPS)
    extents(const Offset* __restrict__ places, int2* __restrict__ extent, Line line) {
    const int piece = blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (piece * PIECE >= line.values) return;
    int lowest = 0x7fffffff, highest = NOWHERE;
#pragma unroll 4
    for (int k = lane; k < PIECE; k += WARP) {
        const int place = line.place(places, piece * PIECE + k);
        if (place >= 0) lowest = min(lowest, place), highest = max(highest, place);
    }
    for (int step = WARP / 2; step > 0; step /= 2) {
        lowest = min(lowest, __shfl_xor_sync(ALL, lowest, step));
        highest = max(highest, __shfl_xor_sync(ALL, highest, step));
    }
    if (lane == 0) extent[piece] = make_int2(lowest, highest);
}

// Joins the values of lanes with the same place into the tile: their sum in order, or with `last` the last of them.
__device__ __forceinline__ void put(Wide* tile, int at, Wide value, int lane, bool last) {
    const unsigned found = __match_any_sync(ALL, at), same = at < 0 ? 0 : found;
    Wide sum = last ? value : Wide(0);
    if (!last)  // a round for each value of the place that most lanes have: one, where windows do not overlap
        for (unsigned rest = same; __any_sync(ALL, rest != 0); rest &= rest - 1) {
            const Wide next = __shfl_sync(ALL, value, max(__ffs(rest) - 1, 0));
            if (rest) sum += next;
        }
    const int leader = last ? 31 - __clz(same) : __ffs(same) - 1;
    if (lane == leader) tile[at] = last ? sum : tile[at] + sum;
    __syncwarp();
}

// budget: 128 threads, 40 registers, 16384 bytes
extern "C" __global__ void __launch_bounds__(WARP * WARPS)
    scatter(const TYPE* __restrict__ gy, const Offset* __restrict__ places, const int2* __restrict__ extent,
            TYPE* __restrict__ gx, Line line, bool last) {
    __shared__ Wide tiles[WARPS][TILE];
    constexpr int EACH = 4;  // loads of a lane that are under way at once
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int begin = (blockIdx.x * WARPS + warp) * TILE, end = min(begin + TILE, line.places);
    if (begin >= end) return;
    Wide* tile = tiles[warp];
    for (int k = lane; k < TILE; k += WARP) tile[k] = 0;
    __syncwarp();
    const int plane_of_y = line.plane_of_y.d, first_plane = begin / line.plane_of_x;
    const int first = first_plane * plane_of_y / PIECE;                                     // pieces with gy of
    const int stop = (((end - 1) / line.plane_of_x + 1) * plane_of_y + PIECE - 1) / PIECE;  // the tile's planes
    for (int pieces = first; pieces < stop; pieces += WARP) {
        const int2 mine = pieces + lane < stop ? extent[pieces + lane] : make_int2(0x7fffffff, NOWHERE);
        unsigned touching = __ballot_sync(ALL, mine.x < end && mine.y >= begin);
        for (; touching; touching &= touching - 1) {
            const int start = (pieces + __ffs(touching) - 1) * PIECE + lane;
            for (int o = start; o < start + PIECE; o += EACH * WARP) {
                int at[EACH];
                Wide value[EACH];
#pragma unroll
                for (int k = 0; k < EACH; ++k) {
                    const int place = line.place(places, o + k * WARP);
                    at[k] = begin <= place && place < end ? place - begin : NOWHERE;
                }
#pragma unroll
                for (int k = 0; k < EACH; ++k) value[k] = at[k] >= 0 ? Wide(gy[o + k * WARP]) : Wide(0);
#pragma unroll
                for (int k = 0; k < EACH; ++k)
                    if (__any_sync(ALL, at[k] >= 0)) put(tile, at[k], value[k], lane, last);
            }
        }
    }
    for (int k = lane; begin + k < end; k += WARP) gx[begin + k] = TYPE(tile[k]);
}
