// Odds and ends of the language: a struct by value, constant memory, a template, 64-bit offsets, three dimensions.
struct Shape { int rows, columns; float scale; };

__constant__ float weights[3] = {1, 2, 4};

extern "C" __global__ void weigh(const float* x, float* y, Shape shape, const float* bias) {
    const int row = blockIdx.z * blockDim.z + threadIdx.z, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= shape.rows || column >= shape.columns) return;
    const size_t i = static_cast<size_t>(row) * shape.columns + column;
    y[i] = shape.scale * weights[column % 3] * __ldg(&x[i]) + (bias ? bias[column] : 0.f);
}

template <int VALUES> __global__ void gather(const float* x, const long long* indices, float* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
#pragma unroll
    for (int v = 0; v < VALUES; ++v) y[i * VALUES + v] = x[indices[i] + v];
}

// Every `stride`th byte of more memory than 32 bits can count.
extern "C" __global__ void mark(unsigned char* x, long long stride, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i * stride] = 1;
}
