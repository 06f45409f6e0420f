// y[i, j] = x[down[i], across[j]] for every plane, `fill` where one of the two is -1: nearest pixels, padding, crops.
//
// Nothing is computed, so a number of any type is an integer of its size. A thread has its column's place in a
// register; per output it reads a row's place, which the whole warp shares, and the number.
// nvrtc: TYPE=int8,int16,int32,int64
#include "planes.cuh"

using int8 = signed char;
using int16 = short;
using int32 = int;
using int64 = long long;

// budget: 256 threads, 32 registers, 0 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    pick(const TYPE* __restrict__ x, TYPE* __restrict__ y, const int* __restrict__ down,
         const int* __restrict__ across, TYPE fill, Tiles tiles) {
    const Tile tile(tiles);
    const int column = tile.column();
    if (column >= tiles.width) return;
    const int w = across[column];
    tile.each_row<4>(
        [&](int r) {
            const Row row(tile, r);
            const int h = down[row.i];
            return h < 0 || w < 0 ? fill : x[row.plane_of_x + h * tiles.in_width + w];
        },
        [&](int r, TYPE value) { y[(tile.first_row + r) * tiles.width + column] = value; });
}
