// The copies that layout.cu makes of x, gy and w, as tensor cores read them: (group, image, row, column, channel).
//
// Channels come in chunks of 16 bytes, the most that a cp.async copies. What a group lacks to whole chunks is zeros.
#pragma once
#include "half.cuh"
#include "pack.cuh"

constexpr int CHUNK = PACKED<TYPE>;  // channels of a chunk
using Chunk = Pack<TYPE, CHUNK>;

__device__ __forceinline__ int chunks_of(int channels) { return (channels + CHUNK - 1) / CHUNK; }

// The pixels of a copy. Its first row is row first_row of the original, which may lie outside of it; so for columns.
struct Grid { int rows, columns, first_row, first_column; };
