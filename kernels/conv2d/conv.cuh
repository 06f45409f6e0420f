// The sizes of a convolution, as every version's kernels take them: kernels/conv2d/__init__.py has the formula.
//
//     y[n, o, i, j] = b[o] + sum_{c, p, q} w[o, c, p, q] x[n, g C/G + c, i stride_h - top + p dilation_h, ...]
#pragma once

struct Conv {
    int N, C, H, W;            // of x and gx
    int O, KH, KW;             // w and gw are O x C/groups x KH x KW
    int OH, OW;                // of y and gy
    int stride_h, stride_w, top, left, dilation_h, dilation_w, groups;
};
