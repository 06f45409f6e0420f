"""The tolerances of storage: how far a result may be from PyTorch's in float64, by operator and type.

In units of the type's eps times the largest element of the exact result. Every number stands on `LADDER`; an operator
that is not in `EXCEPTIONS` has the `DEFAULT`, and one that is there has a reason. An exception that is loose fails.
"""

from __future__ import annotations

LADDER = (1, 2, 4, 8, 16, 32, 64, 256, 1024)

# (value, gradient). A half type is computed in float32 and rounded once: half an eps, and a last bit. In float32 each
# step of a formula rounds, and libraries of elementary functions differ between machines.
DEFAULT = {"float32": (2, 4), "float16": (1, 1), "bfloat16": (1, 1)}

REASONS = {
    "amplifies": "an exponential or a power makes more of the rounding of its argument",
    "cancels": "a difference or a sum of larger terms, whose roundings stay",
    "positions": "the rounding of a position in pixels, of which only the fraction counts",
    "projections": "the projected queries, keys and values are rounded, and softmax makes more of it",
    "rounded terms": "the gradient is made of terms that are rounded first, as in PyTorch",
    "softmax": "y (gy - Σ gy y): the terms cancel, and y is the result as stored",
}

# {operator: (reason, {type: (value, gradient)})}
EXCEPTIONS: dict[str, tuple[str, dict[str, tuple[int, int]]]] = {
    "baddbmm": ("cancels", {"float32": (2, 32)}),
    "cdist": ("cancels", {"float32": (2, 32)}),
    "inner": ("cancels", {"float32": (2, 8)}),
    "linalg.vector_norm": ("amplifies", {"float32": (2, 8)}),
    "logaddexp": ("cancels", {"float32": (2, 8)}),
    "logcumsumexp": ("amplifies", {"float32": (2, 1024)}),
    "multi_head_attention_forward": ("projections", {"float32": (4, 16), "float16": (1, 2), "bfloat16": (1, 2)}),
    "nn.functional.binary_cross_entropy": ("cancels", {"float32": (8, 4)}),
    "nn.functional.cosine_similarity": ("cancels", {"float32": (4, 4)}),
    "nn.functional.cross_entropy": ("cancels", {"float32": (8, 16)}),
    "nn.functional.grid_sample": ("positions", {"float32": (16, 16)}),
    "nn.functional.instance_norm": ("rounded terms", {"bfloat16": (1, 2)}),
    "nn.functional.kl_div": ("cancels", {"float32": (4, 4)}),
    "nn.functional.layer_norm": ("cancels", {"float32": (4, 32)}),
    "nn.functional.nll_loss": ("cancels", {"float32": (8, 4)}),
    "nn.functional.prelu": ("rounded terms", {"float16": (1, 2), "bfloat16": (1, 2)}),
    "nn.functional.scaled_dot_product_attention": ("amplifies", {"float32": (16, 32)}),
    "nn.functional.softmin": ("softmax", {"float32": (2, 32), "float16": (1, 2), "bfloat16": (1, 4)}),
    "nn.functional.softmin[with_dtype]": ("softmax", {"float32": (2, 32), "float16": (1, 2), "bfloat16": (1, 4)}),
    "nn.functional.softplus": ("amplifies", {"float32": (8, 8)}),
    "pow": ("amplifies", {"float32": (2, 16)}),
    "softmax": ("softmax", {"float32": (4, 32), "float16": (1, 4), "bfloat16": (1, 4)}),
    "softmax[with_dtype]": ("softmax", {"float32": (4, 32), "float16": (1, 4), "bfloat16": (1, 4)}),
    "std_mean": ("cancels", {"float32": (16, 4)}),
    "std_mean[unbiased]": ("cancels", {"float32": (4, 4)}),
    "var_mean": ("cancels", {"float32": (16, 4)}),
    "var_mean[unbiased]": ("cancels", {"float32": (4, 4)}),
}

# A gradient that is 0 in exact arithmetic, or nearly, because the function does not change along the input (a vector of
# one element is always normalised to ±1): nothing is left to be relative to. Its error is relative to the weights u.
VANISHING = frozenset(
    (
        "nn.functional.batch_norm",
        "nn.functional.cosine_similarity",
        "nn.functional.layer_norm",
        "nn.functional.normalize",
        "nn.functional.rms_norm",
    )
)

# Which of equal elements comes first is PyTorch's secret; rounding makes elements equal. Such samples are left out.
TIES = frozenset(("argsort", "kthvalue", "mode", "msort", "sort", "topk"))

# Types that a function refuses by name, as PyTorch does.
REFUSED = {"quantile": ("float16", "bfloat16")}

# Entries of the database none of whose samples for gradients applies to tinyseg (`docs/parity.md` says why).
NO_SAMPLES = frozenset(
    (
        "nn.functional.interpolate[linear]",
        "nn.functional.interpolate[trilinear]",
        "nn.functional.multi_head_attention_forward",
        "norm[nuc]",
    )
)
