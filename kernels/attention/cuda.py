"""Attention on a GPU: the versions, from the plainest to the last, and the rule that chooses among them.

**The rule.** Tensor cores wherever they may be used: half types, and float32 in TF32 where `kernels.use` permits it.
Else a score costs the composed form some 16 bytes of memory traffic forward and 40 backward, and in one pass it costs
none; but our products are slower than cuBLAS's, and backward there are nine of them instead of five. So one pass is for
narrow heads. Wider ones have enough arithmetic for each score to outweigh what it costs in memory, and take one pass
only where the scores would not fit into the workspace.
"""

from __future__ import annotations

from typing import Any

from .. import chosen
from . import cuda_composed
from .cuda_flash import Flash

__all__ = ["ALGORITHMS", "forward", "grad"]

PLAIN, TENSOR = Flash(tensor=False), Flash(tensor=True)
ALGORITHMS: dict[str, Any] = {"composed": cuda_composed, "flash": PLAIN, "flash_tensor": TENSOR}
NARROW, NARROW_GRAD = 64, 32  # features of a head
Array = Any


def forward(q: Array, k: Array, v: Array, scale: float, causal: bool) -> tuple[Array, Array, Array]:
    """See the family's docstring."""
    return _version(q, k, v, NARROW).forward(q, k, v, scale, causal)


def grad(
    gy: Array, q: Array, k: Array, v: Array, top: Array, total: Array, scale: float, causal: bool
) -> tuple[Array, Array, Array]:
    """See the family's docstring."""
    return _version(q, k, v, NARROW_GRAD).grad(gy, q, k, v, top, total, scale, causal)


def _version(q: Array, k: Array, v: Array, narrow: int) -> Any:
    """The version that `kernels.use` has named, if it applies, or else the rule's."""
    named = ALGORITHMS.get(chosen("attention") or "")
    if named is not None and named.applies(q, v):
        return named
    if TENSOR.applies(q, v):
        return TENSOR
    large = cuda_composed.scores_bytes(q, k) > cuda_composed.WORKSPACE
    return PLAIN if PLAIN.applies(q, v) and (large or max(q.shape[2], v.shape[2]) <= narrow) else cuda_composed
