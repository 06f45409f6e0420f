// Copies for tensor cores: channels last, with the padding around the image in them.
//
// A cp.async of 16 bytes wants its numbers side by side. In NCHW neighbours are pixels, and a window shifts them by any
// number of places; channels stay where they are. So x goes through memory once, from (image, channel, row, column) to
// (group, image, row, column, channel). What a window sees outside the image is a zero of the copy: the convolution
// itself has no borders to look at. Numbers for TF32 are rounded to its 10 bits of mantissa here, once.
//
// Weights are copied alike: an output channel is an image, and the taps of its window are the pixels.
//
// A block turns TILE pixels of up to 8 chunks of channels: its threads read along pixels and write along channels, and
// shared memory lies between. The rows there are TILE + 1 long, so that neither way meets a bank twice.
// nvrtc: TYPE=float,float16,bfloat16; sm_80
#include "copies.cuh"
#include "ptx.cuh"

constexpr int THREADS = 256, TILE = 64, SLICE = 8;  // SLICE chunks: 128 bytes of each pixel

// A copy of `groups` x `images` x grid x `channels`. Its row r is row grid.first_row + r step_row of the original, or
// zero where that lies outside the `height` rows. `group`, `image` and `channel` are the original's strides.
struct Copy {
    int groups, images, channels;
    Grid grid;
    int height, width, step_row, step_column;
    Offset group, image, channel;
};

__device__ __forceinline__ TYPE rounded(TYPE value) {
    if constexpr (sizeof(TYPE) == 4) return __uint_as_float(to_tf32(value));
    else return value;
}

// budget: 256 threads, 40 registers, 8320 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    channels_last(const TYPE* __restrict__ x, TYPE* __restrict__ y, Copy copy) {
    __shared__ TYPE turned[SLICE * CHUNK][TILE + 1];
    const int pixels = copy.grid.rows * copy.grid.columns, chunks = chunks_of(copy.channels);
    const int tiles = (pixels + TILE - 1) / TILE, slices = (chunks + SLICE - 1) / SLICE;
    const int image = blockIdx.x / tiles / slices;  // those of group 0, those of group 1, ...
    const int first_pixel = blockIdx.x % tiles * TILE, first_chunk = blockIdx.x / tiles % slices * SLICE;
    const int pixels_here = min(TILE, pixels - first_pixel), chunks_here = min(SLICE, chunks - first_chunk);

    // A thread stays with one pixel. Few pixels, such as the taps of a window, leave threads for more channels.
    const int at_once = THREADS / pixels_here, pixel = threadIdx.x % pixels_here, first = threadIdx.x / pixels_here;
    if (first < at_once) {
        const int row = copy.grid.first_row + (first_pixel + pixel) / copy.grid.columns * copy.step_row;
        const int column = copy.grid.first_column + (first_pixel + pixel) % copy.grid.columns * copy.step_column;
        const bool inside = 0 <= row && row < copy.height && 0 <= column && column < copy.width;
        const int channels = inside ? copy.channels - first_chunk * CHUNK : 0;  // from here on, that are not zero
        x += image / copy.images * copy.group + image % copy.images * copy.image + first_chunk * CHUNK * copy.channel;
        x += Offset(row) * copy.width + column;
#pragma unroll 8
        for (int c = first; c < chunks_here * CHUNK; c += at_once)
            turned[c][pixel] = c < channels ? rounded(x[c * copy.channel]) : TYPE(0);
    }
    __syncthreads();
    Chunk* const to = reinterpret_cast<Chunk*>(y) + (Offset(image) * pixels + first_pixel) * chunks + first_chunk;
    for (int i = threadIdx.x; i < pixels_here * chunks_here; i += THREADS) {
        const int p = i / chunks_here, chunk = i % chunks_here;
        Chunk values;
#pragma unroll
        for (int e = 0; e < CHUNK; ++e) values.at[e] = turned[chunk * CHUNK + e][p];
        to[Offset(p) * chunks + chunk] = values;
    }
}
