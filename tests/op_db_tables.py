"""What `tests.op_db` cannot find out by itself: the fixed reasons, the few names called otherwise, what still fails.

Nothing has to be added here for a new operator: it is found under PyTorch's name. A table changes where an operator
takes its arguments differently (`CALLED_OTHERWISE`), where its samples need a reason of their own (`PREDICATES`),
where we rightly accept what PyTorch refuses (`ACCEPTED`), or where a failure is known and awaits its fix (`KNOWN`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import tinyseg as ts

# Why a sample does not apply. The list is fixed; a predicate on the sample decides, never an error of ours.
REASONS = {
    "complex": "complex numbers, which tinyseg does not have",
    "sparse": "sparse tensors, which tinyseg does not have",
    "named tensors": "names in the place of axis numbers",
    "element type": "an element type that NumPy does not have (8-bit floats, quantised integers)",
    "device": "tensors on PyTorch's meta device or another one than the CPU",
    "1-D or 3-D": "one or three spatial axes, where tinyseg has the operator for images",
    "out=": "writing into a given tensor: nothing is changed in place",
    "memory layout": "memory_format, layout, strides or pinned memory: every Tensor is C-contiguous",
    "more than 64 axes": "NumPy's arrays have at most 64",
    "random result": "numbers drawn by another generator; shape and type are compared",
    "nothing to differentiate": "no input that takes a gradient",
    "not differentiable twice": "the norm of zeros, whose second derivative is NaN in PyTorch and 0 here",
    "outside the vocabulary": "a mode or form that is outside the project's vocabulary",
    "accepted here": "an error in PyTorch but a meaningful call here; the section below says why",
}

# --- samples ---------------------------------------------------------------------------------------------------------

Predicate = Callable[[Any], bool]


def _argument(sample: Any, place: int, name: str, default: Any) -> Any:
    return sample.kwargs.get(name, sample.args[place] if len(sample.args) > place else default)


def _always(sample: Any) -> bool:
    return True


def _drops(sample: Any) -> bool:
    """Whether dropout really draws."""
    return bool(_argument(sample, 1, "training", True)) and 0 < _argument(sample, 0, "p", 0.5) < 1


def _not_an_image(sample: Any) -> bool:
    return sample.input.ndim != 4


def _of_singular_values(sample: Any) -> bool:
    order, dim = _argument(sample, 0, "ord", None), _argument(sample, 1, "dim", None)
    matrix = len(dim) == 2 if isinstance(dim, tuple | list) else dim is None and sample.input.ndim != 1
    return order == "nuc" or (matrix and order in (2, -2))


_RANDOM = (
    "bernoulli", "empty", "empty_like", "multinomial", "new_empty", "normal", "rand_like", "randint", "randint_like",
    "randn", "randn_like", "uniform",
)  # fmt: skip

PREDICATES: dict[str, tuple[tuple[str, Predicate], ...]] = {
    **dict.fromkeys(_RANDOM, (("random result", _always),)),
    "norm": (("outside the vocabulary", lambda s: _argument(s, 0, "p", "fro") == "nuc"),),
    "linalg.norm": (("outside the vocabulary", _of_singular_values),),
    "linalg.matrix_norm": (("outside the vocabulary", _of_singular_values),),
    "zero_": (("outside the vocabulary", lambda s: s.input.requires_grad),),  # an assignment inside the graph
    "normal": (  # with a Tensor and two numbers it is Tensor.normal_
        ("outside the vocabulary", lambda s: isinstance(s.input, torch.Tensor) and len(s.args) == 2),
        ("random result", _always),
    ),
    "nn.functional.dropout": (("random result", _drops),),
    "nn.functional.dropout2d": (("random result", _drops),),
    "nn.functional.scaled_dot_product_attention": (("random result", lambda s: _argument(s, 3, "dropout_p", 0.0) > 0),),
    "nn.functional.multi_head_attention_forward": (("random result", lambda s: _argument(s, 9, "dropout_p", 0.0) > 0),),
    "nn.functional.embedding": (("sparse", lambda s: s.kwargs.get("sparse", False)),),
    "nn.functional.interpolate": (("1-D or 3-D", _not_an_image),),
    "nn.functional.grid_sample": (("1-D or 3-D", _not_an_image),),
    "nn.functional.upsample_nearest": (("1-D or 3-D", _not_an_image),),
    "nn.functional.upsample_bilinear": (("1-D or 3-D", _not_an_image),),
}

# Samples at points where a function is not differentiable twice: PyTorch has NaN there, and here it is 0.
NOT_TWICE: dict[str, Predicate] = {
    "linalg.norm": lambda s: not s.input.numel() or bool((s.input == 0).any()),
}

CALLED_OTHERWISE: dict[str, Callable[..., Any]] = {
    "where": lambda input, condition, other: ts.where(condition, input, other),
    "einsum": lambda operands, equation: ts.einsum(equation, *operands),
    "nn.functional.embedding": lambda weight, input, **how: ts.nn.functional.embedding(input, weight, **how),
}

# --- errors ----------------------------------------------------------------------------------------------------------

NUMBER = "a number may stand on either side of a Tensor"


def _number_beside_tensor(sample: Any) -> bool:
    values = (sample.input, *sample.args)
    return any(isinstance(v, torch.Tensor) for v in values) and any(isinstance(v, int | float) for v in values)


def _number_after_tensor(sample: Any) -> bool:
    return isinstance(sample.input, torch.Tensor) and isinstance(sample.args[0], int | float)


_TAKE_NUMBERS = (
    "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor",
    "__radd__", "__rmul__", "__rand__", "__ror__", "__rxor__",
)  # fmt: skip

# Errors of PyTorch that are limits which we rightly do not have: (which error inputs, why).
ACCEPTED: dict[str, tuple[Predicate, str]] = {
    **dict.fromkeys(_TAKE_NUMBERS, (_number_beside_tensor, NUMBER)),
    **dict.fromkeys(("clamp_min", "clamp_max"), (_number_after_tensor, "a bound may be a number, as it may in clamp")),
}

# Functions that speak under another name, which is theirs here as well.
SPEAKS_AS = {
    "__rmod__": "remainder",
    **dict.fromkeys(("view", "view_as", "reshape_as"), "reshape"),
    **dict.fromkeys(("expand", "expand_as"), "broadcast_to"),
    **dict.fromkeys(("hstack", "vstack", "dstack", "column_stack"), "cat"),
}

# Arguments under another name than the signature's: that of the function which speaks, or the shapes of all of them.
SPEAKS_OF = {
    "item": ("Tensor",),  # it has no argument but the Tensor itself
    **dict.fromkeys(("view", "view_as", "reshape_as"), ("shape",)),
    **dict.fromkeys(("nn.functional.gaussian_nll_loss", "nn.functional.poisson_nll_loss"), ("shapes",)),
}

# --- known failures: a check that passes must leave this table -------------------------------------------------------

# (the name of an entry, the check that fails): why.
KNOWN: dict[tuple[str, str], str] = {}
