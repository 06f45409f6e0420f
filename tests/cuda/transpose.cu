// y = x transposed, by tiles in shared memory: both sides are read and written along their rows. PAD = 1 puts the
// elements of a column into different banks.
#ifndef PAD
#define PAD 1
#endif

extern "C" __global__ void transpose(const float* x, float* y, int rows, int columns) {
    __shared__ float tile[32][32 + PAD];
    int row = blockIdx.y * 32 + threadIdx.y, column = blockIdx.x * 32 + threadIdx.x;
    for (int i = 0; i < 32; i += blockDim.y)
        if (row + i < rows && column < columns)
            tile[threadIdx.y + i][threadIdx.x] = x[static_cast<size_t>(row + i) * columns + column];
    __syncthreads();
    row = blockIdx.x * 32 + threadIdx.y, column = blockIdx.y * 32 + threadIdx.x;
    for (int i = 0; i < 32; i += blockDim.y)
        if (row + i < columns && column < rows)
            y[static_cast<size_t>(row + i) * rows + column] = tile[threadIdx.x][threadIdx.y + i];
}

// The same without shared memory: one side jumps from row to row.
extern "C" __global__ void transpose_naive(const float* x, float* y, int rows, int columns) {
    const int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < rows && column < columns)
        y[static_cast<size_t>(column) * rows + row] = x[static_cast<size_t>(row) * columns + column];
}
