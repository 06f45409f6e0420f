"""Embedding and multi-head attention."""

from __future__ import annotations

from typing import Any

from ..creation import empty
from ..engine import Tensor
from ..errors import ArgumentError, ShapeError
from . import functional as F
from . import init
from .conv import Linear
from .module import Module, Parameter

__all__ = ["Embedding", "MultiheadAttention"]


class Embedding(Module):
    """A learned row for each number: `functional.embedding`. `weight` is (num_embeddings, embedding_dim)."""

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ArgumentError(f"Embedding: padding_idx {padding_idx} is outside {num_embeddings} embeddings")
        if sparse:
            raise ArgumentError("Embedding: sparse=True is not supported; gradients are dense")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        if _weight is not None and _weight.shape != (num_embeddings, embedding_dim):
            raise ShapeError(f"Embedding: _weight must be {(num_embeddings, embedding_dim)}, got {_weight.shape}")
        made = empty(num_embeddings, embedding_dim, dtype=dtype, device=device) if _weight is None else _weight
        self.weight = Parameter(made, requires_grad=not _freeze)
        if _weight is None:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the rows from the standard normal distribution; that of `padding_idx` is 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            rows = self.weight.data.copy()
            rows[self.padding_idx] = 0
            self.weight.assign_(rows)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """An Embedding with the rows of `embeddings` (V, D), frozen by default."""
        if embeddings.ndim != 2:
            raise ShapeError(f"Embedding.from_pretrained: embeddings must be (V, D), got shape {embeddings.shape}")
        rows, width = embeddings.shape
        return cls(rows, width, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, embeddings, freeze)

    def forward(self, input: Tensor) -> Tensor:
        """Integers (*) to (*, embedding_dim)."""
        settings = (self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq)
        return F.embedding(input, self.weight, *settings)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        text += "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        text += "" if self.max_norm is None else f", max_norm={self.max_norm}"
        text += "" if self.norm_type == 2 else f", norm_type={self.norm_type}"
        return text + (f", scale_grad_by_freq={self.scale_grad_by_freq}" if self.scale_grad_by_freq else "")


class MultiheadAttention(Module):
    """`functional.multi_head_attention_forward` with PyTorch's parameters, under PyTorch's names.

    `in_proj_weight` (3E, E) and `in_proj_bias` (3E,) hold the maps of query, key and value one below the other; where
    kdim or vdim differ from embed_dim there are `q_proj_weight`, `k_proj_weight` and `v_proj_weight` instead.
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ArgumentError(
                f"MultiheadAttention: embed_dim must be a multiple of num_heads, got {embed_dim} and {num_heads}"
            )
        e = self.embed_dim = embed_dim
        self.kdim, self.vdim = kdim or e, vdim or e
        self.num_heads, self.head_dim, self.dropout = num_heads, e // num_heads, dropout
        self.batch_first, self.add_zero_attn = batch_first, add_zero_attn

        def made(wanted: bool, *shape: int) -> Parameter | None:
            return Parameter(empty(*shape, dtype=dtype, device=device)) if wanted else None

        packed = self.kdim == self.vdim == e
        self.q_proj_weight, self.k_proj_weight = made(not packed, e, e), made(not packed, e, self.kdim)
        self.v_proj_weight = made(not packed, e, self.vdim)
        self.in_proj_weight = made(packed, 3 * e, e)
        self.in_proj_bias = made(bias, 3 * e)
        self.out_proj = Linear(e, e, bias, device, dtype)
        self.bias_k, self.bias_v = made(add_bias_kv, 1, 1, e), made(add_bias_kv, 1, 1, e)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Xavier's initialisation; biases 0."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(y, weights) for (L, N, E), with `batch_first` (N, L, E), or (L, E); weights are None unless wanted."""
        swapped = self.batch_first and query.ndim == 3
        if swapped:
            same = query is key is value
            query = query.transpose(0, 1)
            key, value = (query, query) if same else (key.transpose(0, 1), value.transpose(0, 1))
        y, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias, self.bias_k,
            self.bias_v, self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias, self.training,
            key_padding_mask, need_weights, attn_mask, self.in_proj_weight is None, self.q_proj_weight,
            self.k_proj_weight, self.v_proj_weight, average_attn_weights=average_attn_weights, is_causal=is_causal,
        )  # fmt: skip
        return y.transpose(0, 1) if swapped else y, weights
