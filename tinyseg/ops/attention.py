"""Attention: one fused op where nothing but the order of places hides any, else matrix products and a softmax.

PyTorch's arguments and rules for masks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backward import differentiate
from ..casting import lowered
from ..creation import zeros
from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, DTypeError, ShapeError
from ..kernels import attention as kernel
from .activation import dropout, softmax
from .arrange import repeat_interleave
from .checks import check_broadcast, numbers, real, same_kind, tensor_arg
from .choice import masked_fill, where
from .halves import in_float32
from .linalg import MatMul, linear
from .pad import pad
from .reduce import mean
from .shape import broadcast_to, cat, chunk, permute, reshape, squeeze, unsqueeze


class Attention(Op):
    """y = softmax(scale · q kᵀ) v for q (B, L, E), k (B, S, E), v (B, S, V); if `causal`, place i sees places j <= i"""

    scale: float
    causal: bool
    saves = {"q": "q k v", "k": "q k v", "v": "q k v"}

    def forward(self, q: Array, k: Array, v: Array) -> Array:
        y, self.top, self.total = kernel.forward(q, k, v, self.scale, self.causal)
        return y

    def backward(self, gy: Tensor) -> tuple[Tensor, ...]:
        return AttentionGrad(self.scale, self.causal, self.top, self.total)(gy, *self.saved)


class AttentionGrad(Op):
    """(gq, gk, gv) of Attention in one pass; its own backward differentiates the composed form once more"""

    scale: float
    causal: bool
    top: Array
    total: Array
    outputs = ("gq", "gk", "gv")
    saves = {"gy": "gy q k v", "q": "gy q k v", "k": "gy q k v", "v": "gy q k v"}

    def forward(self, gy: Array, q: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
        return kernel.grad(gy, q, k, v, self.top, self.total, self.scale, self.causal)

    def backward(self, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        scale, causal = self.scale, self.causal

        @in_float32
        def composed(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor]:
            mask = _up_to_each(q, k) if causal else None
            return (MatMul()(_shares(q * scale, k, mask, spare=False), v),)

        def gradient(gy: Tensor, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor | None, ...]:
            return differentiate(composed, (q, k, v), (gy,))

        return differentiate(gradient, self.saved, cotangents)


@lowered
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale · query keyᵀ + mask) value, with scale 1/√E by default.

    In a boolean `attn_mask` True means "may attend"; one of query's type is added. `is_causal` lets place i attend to
    places up to i. A row that may attend to nothing gives zeros. `dropout_p` applies whenever it is above 0.

    **Shapes** query (..., L, E), key (..., S, E), value (..., S, V), leading axes broadcast; attn_mask broadcasts to
    (..., L, S); y (..., L, V). With `enable_gqa` key and value may have fewer heads, axis -3, than query: each serves
    a run of query's, in order. **Raises** ShapeError, DTypeError, ArgumentError.
    **Source** Vaswani et al. 2017, equation 1.
    """
    caller = "scaled_dot_product_attention"
    same_kind(caller, query=query, key=key, value=value)
    if enable_gqa:
        key, value = (_heads_repeated(caller, name, t, query) for name, t in (("key", key), ("value", value)))
    numbers(caller, dropout_p=dropout_p)
    if not 0 <= dropout_p <= 1:
        raise ArgumentError(f"{caller}: dropout_p must be between 0 and 1, got {dropout_p}")
    shape = _scores_shape(caller, query, key, value)
    if attn_mask is not None:
        if is_causal:
            raise ArgumentError(f"{caller}: attn_mask must be None where is_causal=True, got shape {attn_mask.shape}")
        _check_mask(caller, "attn_mask", attn_mask, query)
        if check_broadcast(caller, attn_mask.shape, shape) != shape:
            raise ShapeError(f"{caller}: attn_mask must broadcast to {shape}, got shape {attn_mask.shape}")
    factor = 1 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale
    if attn_mask is None and dropout_p == 0 and 0 not in (*shape, query.shape[-1], value.shape[-1]):
        return _fused(query, key, value, shape, factor, is_causal)
    return _composed(query, key, value, _up_to_each(query, key) if is_causal else attn_mask, factor, dropout_p)


@in_float32
def _composed(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, dropout_p: float) -> Tensor:
    """What `Attention` has no kernel for: masks, dropout, empty axes."""
    return MatMul()(dropout(_shares(q * scale, k, mask, spare=True), dropout_p), v)


def _fused(q: Tensor, k: Tensor, v: Tensor, scores: tuple[int, ...], scale: float, causal: bool) -> Tensor:
    """`Attention` with all leading axes in one."""
    lead, batch = scores[:-2], math.prod(scores[:-2])

    def flat(t: Tensor) -> Tensor:
        return reshape(broadcast_to(t, *lead, *t.shape[-2:]) if t.shape[:-2] != lead else t, batch, *t.shape[-2:])

    return reshape(Attention(scale, causal)(flat(q), flat(k), flat(v)), *scores[:-1], v.shape[-1])


def _up_to_each(query: Tensor, key: Tensor) -> Tensor:
    """The mask (L, S) that lets place i attend to places up to i."""
    xp = array_module(query.data)
    return Tensor(xp.tril(xp.ones((query.shape[-2], key.shape[-2]), np.bool_)))


def _heads_repeated(caller: str, name: str, t: Tensor, query: Tensor) -> Tensor:
    """Key or value with each head as often as query has heads for it."""
    if t.ndim < 3 or query.ndim < 3 or t.shape[-3] == 0 or query.shape[-3] % t.shape[-3]:
        raise ShapeError(
            f"{caller}: enable_gqa=True needs heads on axis -3, those of {name} dividing those of query, "
            f"got {t.shape} and {query.shape}"
        )
    times = query.shape[-3] // t.shape[-3]
    return t if times == 1 else repeat_interleave(t, times, -3)


def _scores_shape(caller: str, query: Tensor, key: Tensor, value: Tensor) -> tuple[int, ...]:
    for name, t in (("query", query), ("key", key), ("value", value)):
        if t.ndim < 2:
            raise ShapeError(f"{caller}: {name} must have at least two axes, got shape {t.shape}")
    real(caller, query=query)
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(f"{caller}: query {query.shape} and key {key.shape} differ in their last axis")
    if key.shape[-2] != value.shape[-2]:
        raise ShapeError(f"{caller}: key {key.shape} and value {value.shape} differ in length, axis -2")
    lead = check_broadcast(caller, query.shape[:-2], key.shape[:-2])
    return (*check_broadcast(caller, lead, value.shape[:-2]), query.shape[-2], key.shape[-2])


def _check_mask(caller: str, name: str, mask: Any, like: Tensor) -> Tensor:
    mask = tensor_arg(caller, name, mask)
    if mask.dtype not in (np.bool_, like.dtype):
        raise DTypeError(f"{caller}: {name} must be of type bool or {like.dtype}, got {mask.dtype}")
    return mask


def _shares(query: Tensor, key: Tensor, mask: Tensor | None, spare: bool) -> Tensor:
    """softmax(query keyᵀ + mask); a row that is masked throughout is 0 if `spare`, else NaN."""
    scores = MatMul(tb=True)(query, key)
    if mask is None:
        return softmax(scores, -1)
    scores = where(mask, scores, -math.inf) if mask.dtype == np.bool_ else scores + mask
    if not spare or scores.shape[-1] == 0:
        return softmax(scores, -1)
    dead = Tensor((scores.data == -math.inf).all(-1, keepdims=True))
    return where(dead, 0.0, softmax(where(dead, 0.0, scores), -1))


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: None = None,
    static_v: None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """(y, weights) of multi-head attention: H times attention over E/H features each, then one linear map.

    True in a boolean mask means "may not attend"; `is_causal` promises that attn_mask is the causal one.

    **Shapes** query (L, N, E), key (S, N, K), value (S, N, V), or all without N; attn_mask (L, S) or (N·H, L, S);
    key_padding_mask (N, S); y as query; weights (N, L, S), or (N, H, L, S) unless `average_attn_weights`.
    **Source** Vaswani et al. 2017, section 3.2.2.
    """
    caller = "multi_head_attention_forward"
    if static_k is not None or static_v is not None:
        raise ArgumentError(f"{caller}: static_k and static_v are not supported")
    _check_heads(caller, query, key, value, embed_dim_to_check, num_heads)
    if is_causal and attn_mask is None:
        raise ArgumentError(f"{caller}: is_causal=True is a hint about attn_mask, which must be given, got None")
    inputs = [t if t.ndim == 3 else unsqueeze(t, 1) for t in (query, key, value)]
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected(caller, inputs, in_proj_weight, separate, in_proj_bias)
    mask = _merged_masks(caller, q, k, num_heads, attn_mask, key_padding_mask)
    k, v, mask = _extended(caller, k, v, mask, bias_k, bias_v, add_zero_attn)
    return _attend(query, q, k, v, mask, num_heads, out_proj_weight, out_proj_bias,
                   dropout_p if training else 0.0, need_weights, average_attn_weights)  # fmt: skip


def _check_heads(caller: str, query: Tensor, key: Tensor, value: Tensor, embed_dim: int, num_heads: int) -> None:
    same_kind(caller, query=query, key=key, value=value)
    if query.ndim not in (2, 3) or {key.ndim, value.ndim} != {query.ndim}:
        raise ShapeError(
            f"{caller}: query, key and value must all be (length, N, features) or (length, features), "
            f"got {query.shape}, {key.shape} and {value.shape}"
        )
    if query.shape[-1] != embed_dim:
        raise ShapeError(f"{caller}: query must have {embed_dim} features, got shape {query.shape}")
    if num_heads < 1 or embed_dim % num_heads:
        raise ArgumentError(f"{caller}: num_heads {num_heads} does not divide the {embed_dim} features")
    if key.shape[:-1] != value.shape[:-1] or query.shape[1:-1] != key.shape[1:-1]:
        raise ShapeError(
            f"{caller}: key {key.shape} and value {value.shape} must agree in length, and with query {query.shape} in N"
        )


def _projected(
    caller: str,
    inputs: list[Tensor],
    packed: Tensor | None,
    separate: tuple[Tensor | None, Tensor | None, Tensor | None] | None,
    bias: Tensor | None,
) -> list[Tensor]:
    """Query, key and value through their linear maps, whose weights come packed as (3E, E) or one by one."""
    if separate is None:
        if packed is None:
            raise ArgumentError(f"{caller}: in_proj_weight must be given unless use_separate_proj_weight, got None")
        if inputs[0] is inputs[1] is inputs[2]:  # self-attention: one product for the three
            return list(chunk(linear(inputs[0], packed, bias), 3, -1))
    weights = chunk(packed, 3) if separate is None and packed is not None else separate or ()
    biases = (None, None, None) if bias is None else chunk(bias, 3)
    return [
        linear(x, tensor_arg(caller, "a projection's weight", w), b)
        for x, w, b in zip(inputs, weights, biases, strict=True)
    ]


def _merged_masks(
    caller: str, q: Tensor, k: Tensor, heads: int, attn_mask: Tensor | None, key_padding_mask: Tensor | None
) -> Tensor | None:
    """Both masks as one of (1 or N, 1 or H, 1 or L, S) to be added to the scores; None without any."""
    (length, batch, _), source = q.shape, k.shape[0]
    merged = None
    if attn_mask is not None:
        if attn_mask.shape not in ((length, source), (batch * heads, length, source)):
            raise ShapeError(
                f"{caller}: attn_mask must be {(length, source)} or {(batch * heads, length, source)}, "
                f"got shape {attn_mask.shape}"
            )
        lead = (1, 1) if attn_mask.ndim == 2 else (batch, heads)
        merged = reshape(_additive(caller, "attn_mask", attn_mask, q), *lead, length, source)
    if key_padding_mask is not None:
        if key_padding_mask.shape not in ((batch, source), (source,)[: batch == 1]):
            raise ShapeError(
                f"{caller}: key_padding_mask must be {(batch, source)}, got shape {key_padding_mask.shape}"
            )
        padding = reshape(_additive(caller, "key_padding_mask", key_padding_mask, q), batch, 1, 1, source)
        merged = padding if merged is None else merged + padding
    return merged


def _additive(caller: str, name: str, mask: Tensor, like: Tensor) -> Tensor:
    """-inf where a boolean mask is True; a mask of numbers as it is."""
    if _check_mask(caller, name, mask, like).dtype != np.bool_:
        return mask
    return masked_fill(zeros(*mask.shape, dtype=like.dtype, device=like.device), mask, -math.inf)


def _extended(
    caller: str,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Key and value with one more learned place, and one of zeros, which no mask hides."""
    if (bias_k is None) != (bias_v is None):
        raise ArgumentError(f"{caller}: bias_k and bias_v must be given together")
    place = (1, *k.shape[1:])
    more_k, more_v = [k], [v]
    if bias_k is not None and bias_v is not None:
        more_k.append(broadcast_to(reshape(bias_k, 1, 1, -1), *place))
        more_v.append(broadcast_to(reshape(bias_v, 1, 1, -1), *place))
    if add_zero_attn:
        nothing = zeros(*place, dtype=k.dtype, device=k.device)
        more_k.append(nothing)
        more_v.append(nothing)
    if len(more_k) == 1:
        return k, v, mask
    return cat(more_k), cat(more_v), None if mask is None else pad(mask, (0, len(more_k) - 1))


@in_float32
def _attend(
    query: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    heads: int,
    out_weight: Tensor,
    out_bias: Tensor | None,
    dropout_p: float,
    need_weights: bool,
    average: bool,
) -> tuple[Tensor, Tensor | None]:
    (length, batch, features), size = q.shape, q.shape[2] // heads
    q, k, v = (permute(reshape(t, t.shape[0], batch, heads, size), 1, 2, 0, 3) for t in (q, k, v))  # (N, H, L, D)
    # PyTorch's two ways differ where a row may attend to nothing: NaN if the weights are wanted, else zeros
    if need_weights:
        weights = dropout(_shares(q * (1 / math.sqrt(size)), k, mask, spare=False), dropout_p)
        y = MatMul()(weights, v)
    else:
        y = scaled_dot_product_attention(q, k, v, mask, dropout_p)
    y = linear(reshape(permute(y, 2, 0, 1, 3), length, batch, features), out_weight, out_bias)
    y = y if query.ndim == 3 else squeeze(y, 1)
    if not need_weights:
        return y, None
    weights = mean(weights, 1) if average else weights
    return y, weights if query.ndim == 3 else squeeze(weights, 0)
