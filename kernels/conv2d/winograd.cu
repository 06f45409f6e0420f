// Winograd's F(m x m, 3x3), m = PIXELS: a tile of (m+2)^2 elements of x gives m^2 pixels of y.
//
//     Y  = A^T [ sum_c     (G w G^T) . (B^T X B) ] A      G w: values of a window, B^T X: of a tile, A^T: to pixels
//     gw = G^T [ sum_tiles (A gY A^T) . (B^T X B) ] G     the adjoint in w: the same values, every matrix transposed
//
// The product . goes value by value, so each sum is (m+2)^2 matrix products: `winograd_product.cu`. Here are the ways
// into values and out of them. For m = 4 they trade 144 multiplications of a tile for 36, for m = 2 36 for 16.
//
// Values lie as matrices [(m+2)^2][plane][tile], tiles side by side; in an image, tiles lie m pixels apart and overlap.
// So that both are read and written side by side, a block takes as many tiles as a warp has lanes and goes over their
// two axes in two steps, with shared memory between them:
//     columns  threads of the same tile take its columns: neighbours in the image, across tiles too
//     lines    a warp takes one row of all tiles: lane by lane neighbours in the matrices
// Stored in TYPE, computed in float.
// nvrtc: TYPE=float,float16,bfloat16 PIXELS=2,4
#include "half.cuh"
#include "winograd_axis.cuh"

using Offset = long long;

constexpr int SIDE = PIXELS + 2;      // values of a tile along one axis
constexpr int LANES = 32;             // tiles of a block
constexpr int THREADS = LANES * SIDE;
constexpr int DEPTH = 8;              // channels that a product takes at a time: their number is padded to a multiple

// The tiles that a launch works on: first <= number < end, of those of all images in a row.
struct Tiles {
    int planes, height, width;  // of the images
    int top, left;              // tile (a, b) begins at row m a - top, column m b - left of a plane
    int down, across;           // tiles of a plane
    int first, end;
    int rows, pitch;            // of the matrices: planes and tiles, with padding
};

// Column `j` of tile number `tile` of the launch. What is not there has no rows.
struct Column {
    Offset start;  // of its first row in the first plane
    int row, rows;

    __device__ Column(const Tiles& t, int tile, int j) {
        const int number = min(t.first + tile, t.end - 1), image = number / (t.down * t.across);
        const int left = number % t.across * PIXELS - t.left + j;
        row = number / t.across % t.down * PIXELS - t.top;
        rows = t.first + tile < t.end && left >= 0 && left < t.width ? t.height : 0;
        start = (Offset(image) * t.planes * t.height + row) * t.width + left;
    }
    __device__ __forceinline__ bool has(int r) const { return row + r >= 0 && row + r < rows; }
};

// N floats from and to shared memory, as float4 or float2: what has no bank conflicts when lanes are N floats apart.
template <int N> __device__ __forceinline__ void load(float (&to)[N], const float* from) {
    if constexpr (N % 4 == 0) {
        const float4 v = *reinterpret_cast<const float4*>(from);
        to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
    } else {
#pragma unroll
        for (int i = 0; i < N; i += 2) {
            const float2 v = *reinterpret_cast<const float2*>(from + i);
            to[i] = v.x, to[i + 1] = v.y;
        }
    }
}
template <int N> __device__ __forceinline__ void store(const float (&from)[N], float* to) {
    if constexpr (N == 4) *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
    else *reinterpret_cast<float2*>(to) = make_float2(from[0], from[1]);
}

__device__ __forceinline__ void to_values(const float (&x)[SIDE], float (&v)[SIDE]) { from_tile(x, v); }
__device__ __forceinline__ void to_values(const float (&y)[PIXELS], float (&v)[SIDE]) { from_pixels(y, v); }

// values[i, l][c][tile] = the transform of the N x N elements of x, along columns, then along lines.
template <int N> __device__ __forceinline__ void read(const TYPE* __restrict__ x, float* __restrict__ values, Tiles t) {
    __shared__ __align__(16) float half[2][SIDE][LANES * N];
    const int i = threadIdx.x / LANES, lane = threadIdx.x % LANES, tile = blockIdx.x * LANES + lane;
    const Column column(t, blockIdx.x * LANES + threadIdx.x / N, threadIdx.x % N);
    const Offset plane = Offset(t.height) * t.width, matrix = Offset(t.rows) * t.pitch;
    const int planes = (t.planes + DEPTH - 1) / DEPTH * DEPTH;
    for (int c = blockIdx.y, turn = 0; c < planes; c += gridDim.y, turn ^= 1) {
        float v[SIDE];
        if (threadIdx.x < LANES * N) {
            float elements[N];
#pragma unroll
            for (int r = 0; r < N; ++r) {
                const bool there = c < t.planes && column.has(r);  // padding of either kind is zeros
                elements[r] = there ? float(x[column.start + c * plane + Offset(r) * t.width]) : 0;
            }
            to_values(elements, v);
#pragma unroll
            for (int r = 0; r < SIDE; ++r) half[turn][r][threadIdx.x] = v[r];
        }
        __syncthreads();  // one is enough: the next plane goes into the other half
        float line[N];
        load(line, &half[turn][i][N * lane]);
        to_values(line, v);
        float* const to = values + i * SIDE * matrix + Offset(c) * t.pitch + tile;
#pragma unroll
        for (int l = 0; l < SIDE; ++l) to[l * matrix] = v[l];
    }
}

// B^T X B for the tiles of x
// budget: 192 threads, 40 registers, 9216 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    values_of_tiles(const TYPE* __restrict__ x, float* __restrict__ values, Tiles t) {
    read<SIDE>(x, values, t);
}

// A gY A^T for the pixels of gy
// budget: 192 threads, 40 registers, 6144 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    values_of_pixels(const TYPE* __restrict__ gy, float* __restrict__ values, Tiles t) {
    read<PIXELS>(gy, values, t);
}

// y = bias + A^T M A, with `relu` max(y, 0): first along lines, then along columns, which is the way back.
// budget: 192 threads, 48 registers, 6144 bytes
extern "C" __global__ void __launch_bounds__(THREADS)
    pixels_of_values(const float* __restrict__ values, const TYPE* __restrict__ bias, TYPE* __restrict__ y, Tiles t,
                     bool relu) {
    __shared__ __align__(16) float half[2][SIDE][LANES * PIXELS];
    const int i = threadIdx.x / LANES, lane = threadIdx.x % LANES, tile = blockIdx.x * LANES + lane;
    const Column column(t, blockIdx.x * LANES + threadIdx.x / PIXELS, threadIdx.x % PIXELS);
    const Offset plane = Offset(t.height) * t.width, matrix = Offset(t.rows) * t.pitch;
    for (int o = blockIdx.y, turn = 0; o < t.planes; o += gridDim.y, turn ^= 1) {
        float v[SIDE], pixels[PIXELS];
        const float* const from = values + i * SIDE * matrix + Offset(o) * t.pitch + tile;
#pragma unroll
        for (int l = 0; l < SIDE; ++l) v[l] = from[l * matrix];
        to_pixels(v, pixels);
        store(pixels, &half[turn][i][PIXELS * lane]);
        __syncthreads();
        if (threadIdx.x >= LANES * PIXELS) continue;
#pragma unroll
        for (int r = 0; r < SIDE; ++r) v[r] = half[turn][r][threadIdx.x];
        to_pixels(v, pixels);
        const float b = bias ? float(bias[o]) : 0;
#pragma unroll
        for (int r = 0; r < PIXELS; ++r) {
            const float value = pixels[r] + b;  // a NaN stays one under relu
            if (column.has(r)) y[column.start + o * plane + Offset(r) * t.width] = TYPE(relu && value < 0 ? 0 : value);
        }
    }
}

constexpr int TAPS = 9;  // of a window. A block takes LANES windows along one axis of w and DEPTH along the other

// G w G^T as values[i, l][k][m]: k are the channels that are summed. Forward m = o and k = c; with `adjoint` m = c and
// k = o, and the window is read backwards. The windows of lanes lie apart, so they come through shared memory.
template <bool adjoint>
__device__ __forceinline__ void read_windows(const TYPE* __restrict__ w, float* __restrict__ values, float* windows,
                                             int outputs, int channels, int rows, int pitch) {
    constexpr int DOWN = adjoint ? DEPTH : LANES, LINE = TAPS * (adjoint ? LANES : DEPTH);
    constexpr int APART = LINE + 1;  // an odd number, for lanes that read one below the other
    const int m = threadIdx.x % LANES, k = threadIdx.x / LANES;
    const int first_m = blockIdx.x * LANES, first_k = blockIdx.y * DEPTH;
    const int first_o = adjoint ? first_k : first_m, first_at = TAPS * (adjoint ? first_m : first_k);
    for (int row = k; row < DOWN; row += DEPTH)
        for (int i = m; i < LINE; i += LANES) {
            const bool there = first_o + row < outputs && first_at + i < channels * TAPS;
            windows[row * APART + i] = there ? float(w[Offset(first_o + row) * channels * TAPS + first_at + i]) : 0;
        }
    __syncthreads();
    const float* const window = windows + (adjoint ? k * APART + m * TAPS : m * APART + k * TAPS);
    float half[SIDE][3], v[SIDE];
#pragma unroll
    for (int q = 0; q < 3; ++q) {
        float column[3];
#pragma unroll
        for (int p = 0; p < 3; ++p) column[p] = window[adjoint ? TAPS - 1 - (3 * p + q) : 3 * p + q];
        from_window(column, v);
#pragma unroll
        for (int i = 0; i < SIDE; ++i) half[i][q] = v[i];
    }
    const Offset matrix = Offset(rows) * pitch;
    values += Offset(first_k + k) * pitch + first_m + m;
#pragma unroll
    for (int i = 0; i < SIDE; ++i) {
        from_window(half[i], v);
#pragma unroll
        for (int l = 0; l < SIDE; ++l) values[(i * SIDE + l) * matrix] = v[l];
    }
}

// budget: 256 threads, 64 registers, 9344 bytes
extern "C" __global__ void __launch_bounds__(LANES * DEPTH, 4)  // 4 blocks, so at most 64 registers
    values_of_windows(const TYPE* __restrict__ w, float* __restrict__ values, int outputs, int channels, bool adjoint,
                      int rows, int pitch) {
    __shared__ float windows[LANES * (TAPS * DEPTH + 1)];
    if (adjoint) read_windows<true>(w, values, windows, outputs, channels, rows, pitch);
    else read_windows<false>(w, values, windows, outputs, channels, rows, pitch);
}

// gw = G^T [ sum_s sums[s][i, l][o][c] ] G, the shares s always in the same order
// budget: 256 threads, 64 registers, 9216 bytes
extern "C" __global__ void __launch_bounds__(LANES * DEPTH, 4)  // without the 4 NVRTC takes 40 registers, and spills
    windows_of_values(const float* __restrict__ sums, TYPE* __restrict__ gw, int outputs, int channels, int shares,
                      int rows, int pitch) {
    constexpr int LINE = TAPS * LANES;
    __shared__ float windows[DEPTH][LINE];  // a row for each warp
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    const int o = blockIdx.y * DEPTH + warp, first_c = blockIdx.x * LANES;
    const Offset matrix = Offset(rows) * pitch;
    sums += Offset(o) * pitch + first_c + lane;
    float half[3][SIDE], window[3];
#pragma unroll
    for (int l = 0; l < SIDE; ++l) {
        float column[SIDE] = {};
        const float* from = sums + l * matrix;
        for (int s = 0; s < shares; ++s, from += SIDE * SIDE * matrix)
#pragma unroll
            for (int i = 0; i < SIDE; ++i) column[i] += from[i * SIDE * matrix];
        to_window(column, window);
#pragma unroll
        for (int p = 0; p < 3; ++p) half[p][l] = window[p];
    }
#pragma unroll
    for (int p = 0; p < 3; ++p) {
        to_window(half[p], window);
#pragma unroll
        for (int q = 0; q < 3; ++q) windows[warp][TAPS * lane + 3 * p + q] = window[q];
    }
    __syncwarp();
    const int taps = min(LINE, (channels - first_c) * TAPS);
    gw += (Offset(o) * channels + first_c) * TAPS;
    if (o < outputs)
        for (int i = lane; i < taps; i += LANES) gw[i] = TYPE(windows[warp][i]);
}
