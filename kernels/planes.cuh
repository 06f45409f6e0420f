// Which part of the planes of y a block of 256 threads makes, where x and y have the same number of planes: a tile of
// `tile_rows` rows by 2^log_columns columns.
//
// The rows of all planes are numbered through, so that a tile of small planes spans several. A thread stays in its
// column, of which it takes every so-manyth row, neighbours write side by side. `planes.py` makes sure that no index
// reaches 2^31. The tiles of a row come one after another, as what they read of x overlaps.
#pragma once
#include "divisor.cuh"

constexpr int THREADS = 256;

struct Tiles {
    int rows, width;              // of y: rows of all planes
    int tile_rows, log_columns;
    int along;                    // tiles side by side
    Divisor out_height;           // rows of a plane of y
    int in_height, in_width;      // of a plane of x
};

struct Tile {
    const Tiles s;
    int number, first_row, rows;  // the tile's number in its row of tiles

    __device__ __forceinline__ explicit Tile(const Tiles& tiles)
        : s(tiles), number(blockIdx.x % s.along), first_row(blockIdx.x / s.along * s.tile_rows),
          rows(min(s.tile_rows, s.rows - first_row)) {}

    __device__ __forceinline__ int column() const {
        return (number << s.log_columns) + (threadIdx.x & ((1 << s.log_columns) - 1));
    }
    // body(r) for each row r of the tile in which this thread writes.
    template <class Body> __device__ __forceinline__ void each_row(Body body) const {
#pragma unroll 4
        for (int r = threadIdx.x >> s.log_columns; r < rows; r += THREADS >> s.log_columns) body(r);
    }
    // store(r, load(r)) for each of them, `count` at a time: so many loads are under way at once.
    template <int count, class Load, class Store>
    __device__ __forceinline__ void each_row(Load load, Store store) const {
        const int step = THREADS >> s.log_columns;
        for (int first = threadIdx.x >> s.log_columns; first < rows; first += count * step) {
            decltype(load(0)) value[count];
#pragma unroll
            for (int k = 0; k < count; ++k) value[k] = load(min(first + k * step, rows - 1));
#pragma unroll
            for (int k = 0; k < count; ++k)
                if (first + k * step < rows) store(first + k * step, value[k]);
        }
    }
};

// Row r of a tile: which row of its plane it is, and where this plane of x begins.
struct Row {
    int i, plane_of_x;

    __device__ __forceinline__ Row(const Tile& tile, int r) {
        const int row = tile.first_row + r, plane = tile.s.out_height.quotient(row);
        i = row - plane * tile.s.out_height.d;
        plane_of_x = plane * tile.s.in_height * tile.s.in_width;
    }
};
