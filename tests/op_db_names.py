"""Which of PyTorch's operators belong to the project's vocabulary, and which do not; names as its database has them."""

from __future__ import annotations

# What the library must offer: an operator of this table that is neither there nor in PENDING fails a test.
VOCABULARY: dict[str, str] = {
    "convolution": """
        nn.functional.conv2d nn.functional.conv_transpose2d nn.functional.unfold nn.functional.linear
    """,
    "pooling": """
        nn.functional.max_pool2d nn.functional.avg_pool2d nn.functional.adaptive_avg_pool2d
        nn.functional.adaptive_max_pool2d nn.functional.max_unpool2d nn.functional.local_response_norm
    """,
    "resizing": """
        nn.functional.interpolate nn.functional.upsample_bilinear nn.functional.upsample_nearest
        nn.functional.pad nn.functional.pixel_shuffle nn.functional.pixel_unshuffle nn.functional.grid_sample
    """,
    "normalisation": """
        nn.functional.batch_norm nn.functional.instance_norm nn.functional.group_norm nn.functional.layer_norm
    """,
    "activations": """
        nn.functional.relu nn.functional.leaky_relu nn.functional.elu nn.functional.silu nn.functional.gelu
        nn.functional.softplus nn.functional.hardtanh nn.functional.relu6 nn.functional.mish
        nn.functional.logsigmoid nn.functional.glu nn.functional.dropout nn.functional.dropout2d
    """,
    "losses": """
        nn.functional.cross_entropy nn.functional.nll_loss nn.functional.mse_loss nn.functional.l1_loss
        nn.functional.smooth_l1_loss nn.functional.huber_loss nn.functional.binary_cross_entropy
        nn.functional.binary_cross_entropy_with_logits nn.functional.kl_div nn.functional.gaussian_nll_loss
        nn.functional.cosine_similarity nn.functional.normalize
    """,
    "attention": """
        nn.functional.scaled_dot_product_attention nn.functional.embedding nn.functional.one_hot
    """,
    "elementwise": """
        add sub mul div pow __radd__ __rsub__ __rmul__ __rpow__ eq ne lt le gt ge exp log sqrt rsqrt sin cos
        abs clamp where maximum minimum masked_fill neg square reciprocal sign remainder floor_divide sigmoid
        tanh
    """,
    "reductions": """
        sum mean var std amax amin max min argmax argmin prod cumsum logsumexp all any softmax log_softmax
    """,
    "shapes": """
        reshape view permute transpose flatten squeeze unsqueeze broadcast_to expand expand_as cat stack split
        chunk flip roll tril triu
    """,
    "indexing": """
        __getitem__ gather index_select sort topk
    """,
    "products": """
        matmul __rmatmul__ einsum
    """,
    "creation": """
        arange linspace eye zeros ones full zeros_like ones_like full_like
    """,
    "random": """
        randn randint multinomial
    """,
}

# Of these, what is not there yet.
PENDING = ""

# What is outside the vocabulary. One that is offered all the same is checked like any other.
NOT_OFFERED: dict[str, str] = {
    "Fourier transforms and signal windows": """
        fft.fft fft.fft2 fft.fftn fft.fftshift fft.hfft fft.hfft2 fft.hfftn fft.ifft fft.ifft2 fft.ifftn
        fft.ifftshift fft.ihfft fft.ihfft2 fft.ihfftn fft.irfft fft.irfft2 fft.irfftn fft.rfft fft.rfft2
        fft.rfftn istft signal.windows.bartlett signal.windows.blackman signal.windows.cosine
        signal.windows.exponential signal.windows.gaussian signal.windows.general_cosine
        signal.windows.general_hamming signal.windows.hamming signal.windows.hann signal.windows.kaiser
        signal.windows.nuttall stft
    """,
    "PyTorch's internals and second names": """
        __rdiv__ _batch_norm_with_update _chunk_cat _native_batch_norm_legit _segment_reduce
        _softmax_backward_data _unsafe_masked_index _unsafe_masked_index_put_accumulate
        _upsample_bilinear2d_aa constant_pad_nd grid_sampler_2d grid_sampler_3d hash_tensor
        jiterator_2inputs_2outputs jiterator_4inputs_with_extra_args jiterator_binary
        jiterator_binary_return_by_ref jiterator_unary max_pool2d_with_indices_backward native_batch_norm
        native_dropout_backward native_group_norm native_layer_norm nn.functional.linear_cross_entropy
        torch._scaled_mm torch._scaled_mm_v2 torch.ops.aten._efficient_attention_forward
        torch.ops.aten._flash_attention_forward torch.ops.aten._safe_softmax.default unsafe_chunk unsafe_split
    """,
    "complex numbers": """
        H angle cdouble cfloat chalf complex conj conj_physical imag mH polar real resolve_conj resolve_neg
        view_as_complex view_as_real
    """,
    "further functions": """
        acos acosh addbmm addcdiv addcmul addmm addmv addr allclose aminmax argsort argwhere asin asinh atan
        atan2 atanh atleast_2d baddbmm bernoulli bfloat16 bincount bitwise_left_shift bitwise_right_shift
        block_diag bmm broadcast_shapes broadcast_tensors bucketize byte cartesian_prod cdist ceil char
        clamp_max clamp_min column_stack combinations copysign corrcoef cosh count_nonzero cov cross cummax
        cummin cumprod cumulative_trapezoid deg2rad diag diag_embed diagflat diagonal diagonal_scatter diff
        dist dot dsplit dstack empty_like equal erf erfc exp2 expm1 fliplr flipud float_power floor fmax fmin
        fmod frac frexp gcd gradient heaviside histc histogram histogramdd hsplit hstack hypot index_add
        index_fill index_put index_reduce inner isclose isin isinf isneginf isposinf isreal kron kthvalue lcm
        ldexp lerp log10 log1p log2 logaddexp logaddexp2 logcumsumexp logit logspace masked_scatter
        masked_select median meshgrid mm mode movedim msort mv nan_to_num nanmean nanmedian nanquantile nansum
        narrow new_empty new_full new_ones new_zeros nextafter nonzero nonzero_static norm normal outer
        positive put quantile rad2deg rand_like randint_like randn_like ravel renorm repeat repeat_interleave
        reshape_as rot90 round rsub scalar_tensor scatter scatter_add scatter_reduce searchsorted select
        select_scatter sgn short signbit sinc sinh slice slice_scatter split_with_sizes std_mean sum_to_size
        take take_along_dim tan tensor_split tensordot tile trace trapezoid trapz tril_indices triu_indices
        true_divide trunc unbind unflatten unfold unique unique_consecutive unravel_index var_mean vdot vsplit
        vstack xlogy
    """,
    "further layers and losses": """
        nn.functional.alpha_dropout nn.functional.bilinear nn.functional.celu nn.functional.channel_shuffle
        nn.functional.cosine_embedding_loss nn.functional.ctc_loss nn.functional.embedding_bag
        nn.functional.feature_alpha_dropout nn.functional.fractional_max_pool2d nn.functional.hardshrink
        nn.functional.hardsigmoid nn.functional.hardswish nn.functional.hinge_embedding_loss
        nn.functional.margin_ranking_loss nn.functional.multi_head_attention_forward
        nn.functional.multi_margin_loss nn.functional.multilabel_margin_loss
        nn.functional.multilabel_soft_margin_loss nn.functional.pairwise_distance nn.functional.pdist
        nn.functional.poisson_nll_loss nn.functional.prelu nn.functional.rms_norm nn.functional.rrelu
        nn.functional.selu nn.functional.soft_margin_loss nn.functional.softmin nn.functional.softshrink
        nn.functional.softsign nn.functional.tanhshrink nn.functional.threshold
        nn.functional.triplet_margin_loss nn.functional.triplet_margin_with_distance_loss
    """,
    "linear algebra beyond products": """
        cholesky cholesky_inverse cholesky_solve geqrf linalg.cholesky linalg.cholesky_ex linalg.cond
        linalg.cross linalg.det linalg.diagonal linalg.eig linalg.eigh linalg.eigvals linalg.eigvalsh
        linalg.householder_product linalg.inv linalg.inv_ex linalg.ldl_factor linalg.ldl_factor_ex
        linalg.ldl_solve linalg.lstsq linalg.lu linalg.lu_factor linalg.lu_factor_ex linalg.lu_solve
        linalg.matrix_norm linalg.matrix_power linalg.matrix_rank linalg.multi_dot linalg.norm linalg.pinv
        linalg.qr linalg.slogdet linalg.solve linalg.solve_ex linalg.solve_triangular linalg.svd
        linalg.svdvals linalg.tensorinv linalg.tensorsolve linalg.vander linalg.vecdot linalg.vector_norm
        logdet lu lu_solve lu_unpack matrix_exp ormqr pca_lowrank pinverse qr svd svd_lowrank triangular_solve
    """,
    "masked and sparse tensors": """
        masked.amax masked.amin masked.argmax masked.argmin masked.cumprod masked.cumsum masked.log_softmax
        masked.logaddexp masked.logsumexp masked.mean masked.median masked.norm masked.normalize masked.prod
        masked.softmax masked.softmin masked.std masked.sum masked.var sparse.mm sparse.sampled_addmm
        to_sparse
    """,
    "one and three spatial axes": """
        atleast_1d atleast_3d nn.functional.adaptive_avg_pool1d nn.functional.adaptive_avg_pool3d
        nn.functional.adaptive_max_pool1d nn.functional.adaptive_max_pool3d nn.functional.avg_pool1d
        nn.functional.avg_pool3d nn.functional.conv1d nn.functional.conv3d nn.functional.conv_transpose1d
        nn.functional.conv_transpose3d nn.functional.dropout3d nn.functional.fractional_max_pool3d
        nn.functional.max_pool1d nn.functional.max_pool3d nn.functional.max_unpool1d
        nn.functional.max_unpool3d
    """,
    "special functions": """
        digamma erfinv i0 igamma igammac lgamma mvlgamma polygamma special.airy_ai special.bessel_j0
        special.bessel_j1 special.bessel_y0 special.bessel_y1 special.chebyshev_polynomial_t
        special.chebyshev_polynomial_u special.chebyshev_polynomial_v special.chebyshev_polynomial_w
        special.entr special.erfcx special.hermite_polynomial_h special.hermite_polynomial_he special.i0e
        special.i1 special.i1e special.laguerre_polynomial_l special.legendre_polynomial_p special.log_ndtr
        special.modified_bessel_i0 special.modified_bessel_i1 special.modified_bessel_k0
        special.modified_bessel_k1 special.ndtr special.ndtri special.polygamma
        special.scaled_modified_bessel_k0 special.scaled_modified_bessel_k1
        special.shifted_chebyshev_polynomial_t special.shifted_chebyshev_polynomial_u
        special.shifted_chebyshev_polynomial_v special.shifted_chebyshev_polynomial_w
        special.spherical_bessel_j0 special.xlog1py special.zeta
    """,
    "strides, copies of views and changes in place": """
        alias_copy as_strided as_strided_copy as_strided_scatter cauchy diagonal_copy empty_permuted
        empty_strided expand_copy exponential fill geometric index_copy log_normal narrow_copy
        new_empty_strided permute_copy resize_ resize_as_ split_with_sizes_copy squeeze_copy t_copy
        transpose_copy unbind_copy unfold_copy uniform unsqueeze_copy view_copy zero_
    """,
}
