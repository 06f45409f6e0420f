"""PyTorch's `torch.autograd`: gradients as functions, and the contexts that say what is recorded."""

from __future__ import annotations

from .anomaly import detect_anomaly
from .backward import backward, grad
from .engine import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled

__all__ = [
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]
