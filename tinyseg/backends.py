"""Switches of the kernels, under PyTorch's names: `ts.backends.allow_tf32 = True`.

TF32: tensor cores multiply float32 after rounding the factors to 10 bits of mantissa, some 5e-4 of each, and sum in
float32; about eight times as fast. One switch for convolutions and matrix products, off by default; PyTorch has two
(`backends.cuda.matmul.allow_tf32`, `backends.cudnn.allow_tf32`, on by default for convolutions): here they are one.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from . import kernels
from .errors import ArgumentError

__all__ = ["allow_tf32", "cuda", "cudnn", "get_float32_matmul_precision", "set_float32_matmul_precision"]

allow_tf32: bool


class _Switches(types.ModuleType):
    """A module whose `allow_tf32` is the kernels' setting."""

    @property
    def allow_tf32(self) -> bool:
        """Whether a GPU's tensor cores may multiply float32 in TF32."""
        return kernels.allow_tf32()

    @allow_tf32.setter
    def allow_tf32(self, value: Any) -> None:
        if not isinstance(value, bool):
            raise ArgumentError(f"backends: allow_tf32 must be True or False, got {value!r}")
        kernels.use(allow_tf32=value)


def set_float32_matmul_precision(precision: str) -> None:
    """PyTorch's name for the same switch: "highest" is float32, "high" and "medium" allow TF32."""
    if precision not in ("highest", "high", "medium"):
        raise ArgumentError(
            f"set_float32_matmul_precision: precision must be 'highest', 'high' or 'medium', got {precision!r}"
        )
    kernels.use(allow_tf32=precision != "highest")


def get_float32_matmul_precision() -> str:
    """ "high" where TF32 is allowed, else "highest"."""
    return "high" if kernels.allow_tf32() else "highest"


cuda, cudnn = _Switches("tinyseg.backends.cuda"), _Switches("tinyseg.backends.cudnn")
cuda.matmul = _Switches("tinyseg.backends.cuda.matmul")  # type: ignore[attr-defined]
sys.modules[__name__].__class__ = _Switches
