// How often each value occurs: counted in dynamic shared memory first, then added to the result once a block.
extern "C" __global__ void histogram(const unsigned char* values, int* counts, long long n, int bins) {
    extern __shared__ int local[];
    for (int i = threadIdx.x; i < bins; i += blockDim.x) local[i] = 0;
    __syncthreads();
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step)
        if (values[i] < bins) atomicAdd(&local[values[i]], 1);
    __syncthreads();
    for (int i = threadIdx.x; i < bins; i += blockDim.x)
        if (local[i] != 0) atomicAdd(&counts[i], local[i]);
}

// The positions of the elements that are not zero, kept in order inside a warp by votes.
extern "C" __global__ void nonzero(const float* x, int* positions, int* count, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x % 32;
    const bool wanted = i < n && x[i] != 0;
    const unsigned votes = __ballot_sync(0xffffffff, wanted);
    int first = 0;
    if (lane == 0 && votes) first = atomicAdd(count, __popc(votes));
    first = __shfl_sync(0xffffffff, first, 0);
    if (wanted) positions[first + __popc(votes & ((1u << lane) - 1))] = i;
}
