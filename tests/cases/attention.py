"""Attention, embedding, one_hot."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from .case import Draw, functional, given, integers, normal, row


def twice_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function in PyTorch without its fused attention, which has no second derivative."""

    def reference(*xs: torch.Tensor) -> Any:
        with sdpa_kernel(SDPBackend.MATH):
            return function(torch, *xs)

    return reference


def attention_rows() -> None:
    """Scaled dot-product attention over masks, scales and leading axes, self-attention among them."""
    q, k, v = normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 6)
    name = "scaled_dot_product_attention"

    def plain(m: ModuleType, q: Any, k: Any, v: Any) -> Any:
        return m.nn.functional.scaled_dot_product_attention(q, k, v)

    functional(name, "plain", q, k, v)
    functional(name, "scale", q, k, v, scale=0.3)
    functional(name, "causal", q, k, v, is_causal=True)
    functional(name, "causal, longer query", normal(1, 5, 3), normal(1, 3, 3), normal(1, 3, 2), is_causal=True)
    row(f"{name}[heads]", plain, normal(2, 2, 3, 4), normal(2, 2, 5, 4), normal(2, 2, 5, 4),
        reference=twice_differentiable(plain))  # fmt: skip
    functional(name, "leading axes broadcast", normal(3, 4), normal(2, 2, 5, 4), normal(2, 1, 5, 3))
    functional(name, "one place", normal(1, 3), normal(1, 3), normal(1, 3))
    functional(name, "empty batch", normal(0, 3, 4), normal(0, 5, 4), normal(0, 5, 2))

    def masked(m: ModuleType, q: Any, k: Any, v: Any, mask: Any) -> Any:
        return m.nn.functional.scaled_dot_product_attention(q, k, v, mask)

    def grouped(m: ModuleType, q: Any, k: Any, v: Any) -> Any:
        return m.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    row(f"{name}[fewer heads of key]", grouped, normal(1, 4, 3, 2), normal(1, 2, 5, 2), normal(1, 1, 5, 3),
        reference=twice_differentiable(grouped))  # fmt: skip
    row(f"{name}[as many heads]", grouped, normal(2, 3, 2), normal(2, 4, 2), normal(2, 4, 2),
        reference=twice_differentiable(grouped))  # fmt: skip

    keep = np.random.default_rng(5).random((2, 3, 5)) < 0.6
    keep[0, 1] = False  # this row may attend to nothing
    row(f"{name}[boolean mask]", masked, q, k, v, given(keep))
    row(f"{name}[mask of places]", masked, q, k, v, given([True, False, True, True, False]))
    row(f"{name}[mask of numbers]", masked, q, k, v, normal(3, 5))
    row(f"{name}[mask by batch]", masked, q, k, v, normal(2, 1, 5))
    row(f"{name}[mask of -inf]", masked, q, k, v, given(np.where(keep, 0.5, -np.inf)), differentiable=(0, 1, 2))
    row(f"{name}[far]", lambda m, q: m.nn.functional.scaled_dot_product_attention(q * 100.0, q, q), normal(4, 3),
        tolerance=1e-3)  # fmt: skip
    row(f"{name}[with itself]", lambda m, x: m.nn.functional.scaled_dot_product_attention(x, x, x), normal(2, 3, 4))


def heads_row(label: str, function: Callable[..., Any], *inputs: Draw) -> None:
    """Add a row of multi-head attention."""
    row(f"multi_head_attention_forward[{label}]", function, *inputs, reference=twice_differentiable(function),
        tolerance=1e-4)  # fmt: skip


def heads_rows() -> None:
    """Multi-head attention: projections packed and separate, masks, learned and zero places, weights."""
    e, (length, source, batch, heads) = 4, (3, 5, 2, 2)
    q, k, v = normal(length, batch, e), normal(source, batch, e), normal(source, batch, e)
    weights = (normal(3 * e, e), normal(3 * e), normal(e, e), normal(e))

    def call(m: ModuleType, q: Any, k: Any, v: Any, w: Any, b: Any, ow: Any, ob: Any, *, bias_k: Any = None,
             bias_v: Any = None, zero: bool = False, **kwargs: Any) -> Any:  # fmt: skip
        y, shares = m.nn.functional.multi_head_attention_forward(
            q, k, v, e, heads, w, b, bias_k, bias_v, zero, 0.5, ow, ob, training=False, **kwargs
        )
        return y if shares is None else (y, shares)

    def add(label: str, *inputs: Draw, **kwargs: Any) -> None:
        heads_row(label, lambda m, *xs: call(m, *xs, **kwargs), *inputs)

    add("weights averaged", q, k, v, *weights)
    add("weights by head", q, k, v, *weights, average_attn_weights=False)
    add("weights not wanted", q, k, v, *weights, need_weights=False)
    add("unbatched", normal(length, e), normal(source, e), normal(source, e), *weights)
    add("a place of zeros", q, k, v, *weights, zero=True)
    for label, needed in {"": True, ", no weights": False}.items():
        hidden = np.random.default_rng(3).random((length, source)) < 0.4
        heads_row(f"masks{label}",
            lambda m, *xs, n=needed: call(m, *xs[:-2], attn_mask=xs[-2], key_padding_mask=xs[-1], need_weights=n),
            q, k, v, *weights, given(hidden), given([[False] * 4 + [True], [False] * 5]))  # fmt: skip
        heads_row(f"masks of numbers{label}",
            lambda m, *xs, n=needed: call(m, *xs[:-2], attn_mask=xs[-2], key_padding_mask=xs[-1], need_weights=n),
            q, k, v, *weights, normal(batch * heads, length, source), normal(batch, source))  # fmt: skip
        heads_row(f"learned and zero places{label}",
            lambda m, *xs, n=needed: call(m, *xs[:7], bias_k=xs[7], bias_v=xs[8], attn_mask=xs[9], zero=True,
                                          need_weights=n),
            q, k, v, *weights, normal(1, 1, e), normal(1, 1, e), given(hidden))  # fmt: skip
    heads_row("self-attention", lambda m, x, *w: call(m, x, x, x, *w), q, *weights)
    heads_row("no biases",
        lambda m, q, k, v, w, ow: call(m, q, k, v, w, None, ow, None), q, k, v, weights[0], weights[2])  # fmt: skip
    heads_row("separate",
        lambda m, q, k, v, wq, wk, wv, b, ow, ob: call(m, q, k, v, None, b, ow, ob, use_separate_proj_weight=True,
            q_proj_weight=wq, k_proj_weight=wk, v_proj_weight=wv),
        q, normal(source, batch, 3), normal(source, batch, 2), normal(e, e), normal(e, 3), normal(e, 2),
        *weights[1:])  # fmt: skip


def embedding_rows() -> None:
    """Rows by number, repeated ones too; one_hot with and without the number of classes."""

    def call(**kwargs: Any) -> Any:
        return lambda m, i, w: m.nn.functional.embedding(i, w, **kwargs)

    row("embedding[rows]", call(), integers(0, 5, 7), normal(5, 3))
    row("embedding[batches]", call(), integers(0, 3, 2, 4), normal(3, 2))
    row("embedding[one]", call(), given(2), normal(3, 2))
    row("embedding[none]", call(), given(np.zeros((0, 2), np.int64)), normal(3, 2), reference=lambda i, w: w[i])
    row("embedding[int32]", call(), given(np.array([1, 0, 1], np.int32)), normal(3, 2))
    # without its gradient here, which is none of the value's: tests/test_nn_attention.py has it
    row("embedding[padding]", call(padding_idx=1), given([[0, 1, 2], [1, 1, 2]]), normal(4, 3), differentiable=())
    row("embedding[padding from the end]", call(padding_idx=-1), given([3, 0, 3]), normal(4, 3), differentiable=())
    row("one_hot[classes]", lambda m, t: m.nn.functional.one_hot(t, 4), integers(0, 4, 2, 3))
    row("one_hot[largest]", lambda m, t: m.nn.functional.one_hot(t), given([[2, 0, 1]]))
    row("one_hot[0-d]", lambda m, t: m.nn.functional.one_hot(t, num_classes=3), given(1))
    row("one_hot[none]", lambda m, t: m.nn.functional.one_hot(t, 3), given(np.zeros((2, 0), np.int64)))
    row("one_hot[gather]", lambda m, t, x: (m.nn.functional.one_hot(t, 4) * x).sum(-1), integers(0, 4, 3), normal(3, 4))


attention_rows()
heads_rows()
embedding_rows()
