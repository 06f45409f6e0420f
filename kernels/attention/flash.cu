// Attention in one pass: the shares of a tile of keys are used as soon as they are known, and never in memory.
//
// Softmax wants the largest score of a row before all else, and the keys come tile by tile. So a row keeps the largest
// score so far (top), the sum of e^(score - top) (total), and the same sum weighted by the values. A tile with a larger
// score first has both sums multiplied by e^(old top - new top). At the end y = weighted sum / total.
//
//     for each tile of keys:   s = scale q k^T                        while its values come into shared memory
//                              factor = e^(old top - top), p = e^(s - top)
//                              sums = factor sums + p v               while the next keys come
//
// Source: Dao et al. 2022, FlashAttention; Milakov & Gimelshein 2018, Online normalizer calculation for softmax.
// nvrtc: TENSOR=0 TYPE=float WIDTH=32,64,128; sm_80
// nvrtc: TENSOR=1 TYPE=float,float16,bfloat16 WIDTH=64,128; sm_80
#include "flash.cuh"

constexpr int R = !TENSOR && WIDTH <= 64 ? 8 : 4, ROWS = DOWN * R;
constexpr int BLOCKS = !TENSOR && WIDTH <= 64 ? 3 : 2;  // of a multiprocessor: what the registers are to allow

struct Greater {  // drops a NaN
    static __device__ __forceinline__ float join(float a, float b) { return fmaxf(a, b); }
};

// A tile of scores becomes shares: s = e^(s - top). top, total and sums follow.
// The largest of numbers and NaN is a number here, but the sums keep the NaN, and so the row ends as NaN.
__device__ __forceinline__ void add_shares(float (&s)[R][C], float (&top)[R], float (&total)[R], float (&sums)[R][F]) {
#pragma unroll
    for (int i = 0; i < R; ++i) {
        float largest = s[i][0];
#pragma unroll
        for (int j = 1; j < C; ++j) largest = fmaxf(largest, s[i][j]);
        largest = fmaxf(top[i], joined_in_warp<Greater>(largest, LANES));
        const float base = largest == lowest() ? 0 : largest;  // only -inf so far: e^-inf = 0, and not e^(-inf + inf)
        const float factor = __expf(top[i] - base);
        top[i] = largest;
        total[i] *= factor;
#pragma unroll
        for (int f = 0; f < F; ++f) sums[i][f] *= factor;
        // __expf(d) is wrong by up to 2 + 1.2 |d| ulp; e^d falls faster than that grows: 2 ulp of the largest share.
#pragma unroll
        for (int j = 0; j < C; ++j) total[i] += s[i][j] = __expf(s[i][j] - base);
    }
}

// budget: 128 threads, 248 registers, 0 + 101376 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    flash(const TYPE* __restrict__ q, const TYPE* __restrict__ k, const TYPE* __restrict__ v, TYPE* __restrict__ y,
          float* __restrict__ top, float* __restrict__ total, Shape shape, float scale, bool causal) {
    extern __shared__ __align__(16) unsigned char memory[];
    TYPE *queries = reinterpret_cast<TYPE*>(memory), *keys = queries + ROWS * PITCH, *values = keys + STREAMED * PITCH;
    float* room = reinterpret_cast<float*>(values + STREAMED * PITCH);

    const int blocks = (shape.length + ROWS - 1) / ROWS, head = blockIdx.x / blocks;
    const int first = (blocks - 1 - blockIdx.x % blocks) * ROWS;  // the last rows start first: if causal they see most
    const Head<const TYPE> all_queries(q, head, shape.length, shape.size), all_keys(k, head, shape.source, shape.size);
    const Head<const TYPE> all_values(v, head, shape.source, shape.breadth);
    const Sight sight{shape.length, shape.source, causal};
    const int end = causal ? min(shape.source, first + ROWS) : shape.source;

    float s[R][C], largest[R], sum[R], sums[R][F];
    clear<R>(sums);
#pragma unroll
    for (int i = 0; i < R; ++i) largest[i] = lowest(), sum[i] = 0;
    copy_rows<ROWS>(queries, all_queries, first);
    copy_rows<STREAMED>(keys, all_keys, 0);
#pragma unroll 1
    for (int key = 0; key < end; key += STREAMED) {
        copies_arrived();  // of the keys; and nobody reads the values before these any more
        copy_rows<STREAMED>(values, all_values, key);
        dots<R>(s, queries, keys, shape.size, scale);
        if (!sight.sees_all(first, first + ROWS, key + STREAMED))
            each<R>([&](int i, int j, int row, int column) {
                if (!sight.sees(first + row, key + column)) s[i][j] = lowest();
            });
        copies_arrived();  // of the values; and nobody reads the keys any more
        if (key + STREAMED < end) copy_rows<STREAMED>(keys, all_keys, key + STREAMED);
        add_shares(s, largest, sum, sums);
        add_products<R>(sums, s, values, room);
    }
    const Head<TYPE> results(y, head, shape.length, shape.breadth);
#pragma unroll
    for (int i = 0; i < R; ++i) {
        const int row = first + row_of<R>(i);
        sum[i] = joined_in_warp<Sum>(sum[i], LANES);
        const float factor = 1 / sum[i];
#pragma unroll
        for (int f = 0; f < F; ++f) sums[i][f] *= factor;
        store(results, row, sums[i]);
        if (threadIdx.x % LANES == 0 && row < shape.length) {
            top[Offset(head) * shape.length + row] = largest[i];
            total[Offset(head) * shape.length + row] = sum[i];
        }
    }
}
