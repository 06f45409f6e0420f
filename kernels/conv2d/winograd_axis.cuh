// Winograd's F(m, 3) along one axis, for m = 2 and m = 4: `winograd_axis.py`, which tells the idea, line by line. A
// test holds the two together.
//
//     y  = A^T [(G w) . (B^T x)]        B^T: values of a tile, G: of a window, A^T: back to pixels
//     gw = G^T [(A gy) . (B^T x)]       the adjoint in w: the same values, every matrix transposed
//
// The length of the arrays tells m: a tile and its values have m + 2 numbers, a window 3, its pixels m.
// F(2, 3) has the points 0, 1, -1 and infinity; F(4, 3) has 0, P, -P, Q, -Q and infinity.
#pragma once

constexpr float P = 0.75f, Q = 1.5f;
constexpr float PP = P * P, QQ = Q * Q, PPQQ = PP * QQ, SUM = PP + QQ;  // these and their products are exact
constexpr float G_0 = 1 / PPQQ, G_P = 1 / (2 * PP * (PP - QQ)), G_Q = 1 / (2 * QQ * (QQ - PP));

// B^T x
__device__ __forceinline__ void from_tile(const float (&x)[4], float (&v)[4]) {
    v[0] = x[0] - x[2], v[1] = x[2] + x[1], v[2] = x[2] - x[1], v[3] = x[3] - x[1];
}
__device__ __forceinline__ void from_tile(const float (&x)[6], float (&v)[6]) {
    const float even_p = x[4] - QQ * x[2], odd_p = P * x[3] - (P * QQ) * x[1];
    const float even_q = x[4] - PP * x[2], odd_q = Q * x[3] - (Q * PP) * x[1];
    v[0] = PPQQ * x[0] - SUM * x[2] + x[4], v[5] = PPQQ * x[1] - SUM * x[3] + x[5];
    v[1] = even_p + odd_p, v[2] = even_p - odd_p, v[3] = even_q + odd_q, v[4] = even_q - odd_q;
}

// G w
__device__ __forceinline__ void from_window(const float (&w)[3], float (&v)[4]) {
    const float even = 0.5f * (w[0] + w[2]), odd = 0.5f * w[1];
    v[0] = w[0], v[1] = even + odd, v[2] = even - odd, v[3] = w[2];
}
__device__ __forceinline__ void from_window(const float (&w)[3], float (&v)[6]) {
    const float even_p = G_P * w[0] + (G_P * PP) * w[2], odd_p = (G_P * P) * w[1];
    const float even_q = G_Q * w[0] + (G_Q * QQ) * w[2], odd_q = (G_Q * Q) * w[1];
    v[0] = G_0 * w[0], v[5] = w[2];
    v[1] = even_p + odd_p, v[2] = even_p - odd_p, v[3] = even_q + odd_q, v[4] = even_q - odd_q;
}

// G^T m
__device__ __forceinline__ void to_window(const float (&m)[4], float (&w)[3]) {
    const float even = 0.5f * (m[1] + m[2]);
    w[0] = m[0] + even, w[1] = 0.5f * (m[1] - m[2]), w[2] = even + m[3];
}
__device__ __forceinline__ void to_window(const float (&m)[6], float (&w)[3]) {
    const float even_p = G_P * (m[1] + m[2]), odd_p = (G_P * P) * (m[1] - m[2]);
    const float even_q = G_Q * (m[3] + m[4]), odd_q = (G_Q * Q) * (m[3] - m[4]);
    w[0] = G_0 * m[0] + even_p + even_q, w[1] = odd_p + odd_q, w[2] = PP * even_p + QQ * even_q + m[5];
}

// A^T m
__device__ __forceinline__ void to_pixels(const float (&m)[4], float (&y)[2]) {
    y[0] = m[0] + (m[1] + m[2]), y[1] = (m[1] - m[2]) + m[3];
}
__device__ __forceinline__ void to_pixels(const float (&m)[6], float (&y)[4]) {
    const float even_p = m[1] + m[2], odd_p = P * (m[1] - m[2]), even_q = m[3] + m[4], odd_q = Q * (m[3] - m[4]);
    y[0] = m[0] + even_p + even_q, y[1] = odd_p + odd_q;
    y[2] = PP * even_p + QQ * even_q, y[3] = PP * odd_p + QQ * odd_q + m[5];
}

// A y
__device__ __forceinline__ void from_pixels(const float (&y)[2], float (&v)[4]) {
    v[0] = y[0], v[1] = y[0] + y[1], v[2] = y[0] - y[1], v[3] = y[1];
}
__device__ __forceinline__ void from_pixels(const float (&y)[4], float (&v)[6]) {
    const float even_p = y[0] + PP * y[2], odd_p = P * y[1] + (P * PP) * y[3];
    const float even_q = y[0] + QQ * y[2], odd_q = Q * y[1] + (Q * QQ) * y[3];
    v[0] = y[0], v[5] = y[3];
    v[1] = even_p + odd_p, v[2] = even_p - odd_p, v[3] = even_q + odd_q, v[4] = even_q - odd_q;
}
