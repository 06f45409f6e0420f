// The gradients of attention. The shares p = e^(scale q k^T - top) / total are computed anew, tile by tile.
//
//     dp = gy v^T              mean_i = sum_j p_ij dp_ij              gs = p (dp - mean)
//     gq = scale gs k          gk = scale gs^T q                     gv = p^T gy
//
// flash_grad_queries owns rows of q, and the keys pass by twice: all of them make the mean, which gq needs from the
// first on. flash_grad_keys owns rows of k and v, and the queries pass by. So nobody adds to a sum that is not their
// own: there are no atomics, and every run has the same bits.
// nvrtc: TENSOR=0 TYPE=float WIDTH=32,64,128; sm_80
// nvrtc: TENSOR=1 TYPE=float,float16,bfloat16 WIDTH=64,128; sm_80
#include "flash.cuh"

constexpr int R = TENSOR || WIDTH > 64 ? 2 : 4, ROWS = DOWN * R;
constexpr int BLOCKS = TENSOR && WIDTH > 64 ? 2 : 3;  // of a multiprocessor: what the registers are to allow

// What belongs to a query stands behind its row of a tile, in the 16 bytes that keep rows apart.
struct __align__(16) Aside { float top, factor, mean, nothing; };
__device__ __forceinline__ Aside& aside(TYPE* tile, int row) {
    return *reinterpret_cast<Aside*>(tile + row * PITCH + WIDTH);
}

// budget: 128 threads, 192 registers, 0 + 101376 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    flash_grad_queries(const TYPE* __restrict__ gy, const TYPE* __restrict__ q, const TYPE* __restrict__ k,
                       const TYPE* __restrict__ v, const float* __restrict__ top, const float* __restrict__ total,
                       TYPE* __restrict__ gq, float* __restrict__ mean, Shape shape, float scale, bool causal) {
    extern __shared__ __align__(16) unsigned char memory[];
    TYPE *queries = reinterpret_cast<TYPE*>(memory), *changes = queries + ROWS * PITCH, *keys = changes + ROWS * PITCH;
    TYPE* values = keys + STREAMED * PITCH;
    float* room = reinterpret_cast<float*>(values + STREAMED * PITCH);

    const int blocks = (shape.length + ROWS - 1) / ROWS, head = blockIdx.x / blocks;
    const int first = (blocks - 1 - blockIdx.x % blocks) * ROWS;  // the last rows start first: if causal they see most
    const Head<const TYPE> all_queries(q, head, shape.length, shape.size), all_keys(k, head, shape.source, shape.size);
    const Head<const TYPE> all_changes(gy, head, shape.length, shape.breadth);
    const Head<const TYPE> all_values(v, head, shape.source, shape.breadth);
    const Sight sight{shape.length, shape.source, causal};
    const int end = causal ? min(shape.source, first + ROWS) : shape.source;

    float p[R][C], dp[R][C], largest[R], factor[R], means[R], sums[R][F];
    clear<R>(sums);
#pragma unroll
    for (int i = 0; i < R; ++i) {
        const int row = min(first + row_of<R>(i), shape.length - 1);
        largest[i] = top[Offset(head) * shape.length + row];
        factor[i] = 1 / total[Offset(head) * shape.length + row];
        means[i] = 0;
    }
    copy_rows<ROWS>(queries, all_queries, first);
    copy_rows<ROWS>(changes, all_changes, first);
    copy_rows<STREAMED>(values, all_values, 0);
#pragma unroll 1
    for (int sweep = 0; sweep < 2; ++sweep) {
#pragma unroll 1
        for (int key = 0; key < end; key += STREAMED) {
            copies_arrived();  // of the values; and nobody reads the keys before these any more
            copy_rows<STREAMED>(keys, all_keys, key);
            dots<R>(dp, changes, values, shape.breadth, 1);
            copies_arrived();  // of the keys; and nobody reads the values any more
            const bool last = key + STREAMED >= end;
            if (!last || sweep == 0) copy_rows<STREAMED>(values, all_values, last ? 0 : key + STREAMED);
            dots<R>(p, queries, keys, shape.size, scale);
            each<R>([&](int i, int j, int, int) { p[i][j] = factor[i] * __expf(p[i][j] - largest[i]); });
            if (!sight.sees_all(first, first + ROWS, key + STREAMED))
                each<R>([&](int i, int j, int row, int column) {
                    if (!sight.sees(first + row, key + column)) p[i][j] = dp[i][j] = 0;
                });
            if (sweep == 0) {
                each<R>([&](int i, int j, int, int) { means[i] += p[i][j] * dp[i][j]; });
            } else {
                each<R>([&](int i, int j, int, int) { p[i][j] *= dp[i][j] - means[i]; });
                add_products<R>(sums, p, keys, room);
            }
        }
#pragma unroll
        for (int i = 0; i < R; ++i)
            if (sweep == 0) means[i] = joined_in_warp<Sum>(means[i], LANES);
    }
    const Head<TYPE> results(gq, head, shape.length, shape.size);
#pragma unroll
    for (int i = 0; i < R; ++i) {
        const int row = first + row_of<R>(i);
#pragma unroll
        for (int f = 0; f < F; ++f) sums[i][f] *= scale;
        store(results, row, sums[i]);
        if (threadIdx.x % LANES == 0 && row < shape.length) mean[Offset(head) * shape.length + row] = means[i];
    }
}

// budget: 128 threads, 248 registers, 0 + 101376 bytes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    flash_grad_keys(const TYPE* __restrict__ gy, const TYPE* __restrict__ q, const TYPE* __restrict__ k,
                    const TYPE* __restrict__ v, const float* __restrict__ top, const float* __restrict__ total,
                    const float* __restrict__ mean, TYPE* __restrict__ gk, TYPE* __restrict__ gv, Shape shape,
                    float scale, bool causal) {
    extern __shared__ __align__(16) unsigned char memory[];
    TYPE *keys = reinterpret_cast<TYPE*>(memory), *values = keys + ROWS * PITCH, *queries = values + ROWS * PITCH;
    TYPE* changes = queries + STREAMED * PITCH;
    float* room = reinterpret_cast<float*>(changes + STREAMED * PITCH);

    const int blocks = (shape.source + ROWS - 1) / ROWS, head = blockIdx.x / blocks;
    const int first = blockIdx.x % blocks * ROWS;  // if causal the first keys are seen by most
    const Head<const TYPE> all_queries(q, head, shape.length, shape.size), all_keys(k, head, shape.source, shape.size);
    const Head<const TYPE> all_changes(gy, head, shape.length, shape.breadth);
    const Head<const TYPE> all_values(v, head, shape.source, shape.breadth);
    const Sight sight{shape.length, shape.source, causal};
    top += Offset(head) * shape.length, total += Offset(head) * shape.length, mean += Offset(head) * shape.length;

    float p[R][C], gs[R][C], key_sums[R][F], value_sums[R][F];
    clear<R>(key_sums), clear<R>(value_sums);
    const int start = causal ? first : 0;  // no query before it sees these keys
    copy_rows<ROWS>(keys, all_keys, first);
    copy_rows<ROWS>(values, all_values, first);
    copy_rows<STREAMED>(changes, all_changes, start);
#pragma unroll 1
    for (int query = start; query < shape.length; query += STREAMED) {
        copies_arrived();  // of the changes; and nobody reads the queries before these any more
        copy_rows<STREAMED>(queries, all_queries, query);
        if (threadIdx.x < STREAMED) {
            const int row = min(query + int(threadIdx.x), shape.length - 1);
            aside(queries, threadIdx.x) = {top[row], 1 / total[row], mean[row], 0};
        }
        dots<R>(gs, values, changes, shape.breadth, 1);
        copies_arrived();  // of the queries
        dots<R>(p, keys, queries, shape.size, scale);
        each<R>([&](int i, int j, int, int column) {
            const Aside known = aside(queries, column);
            p[i][j] = known.factor * __expf(p[i][j] - known.top);
            gs[i][j] = p[i][j] * (gs[i][j] - known.mean);
        });
        if (!sight.sees_all(query, query + STREAMED, first + ROWS))
            each<R>([&](int i, int j, int row, int column) {
                if (!sight.sees(query + column, first + row)) p[i][j] = gs[i][j] = 0;
            });
        add_products<R>(value_sums, p, changes, room);
        __syncthreads();  // nobody reads the changes any more
        if (query + STREAMED < shape.length) copy_rows<STREAMED>(changes, all_changes, query + STREAMED);
        add_products<R>(key_sums, gs, queries, room);
    }
    const Head<TYPE> key_results(gk, head, shape.source, shape.size);
    const Head<TYPE> value_results(gv, head, shape.source, shape.breadth);
#pragma unroll
    for (int i = 0; i < R; ++i) {
#pragma unroll
        for (int f = 0; f < F; ++f) key_sums[i][f] *= scale;
        store(key_results, first + row_of<R>(i), key_sums[i]);
        store(value_results, first + row_of<R>(i), value_sums[i]);
    }
}
