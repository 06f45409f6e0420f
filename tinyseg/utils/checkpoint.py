"""PyTorch's `torch.utils.checkpoint`."""

from ..recompute import checkpoint

__all__ = ["checkpoint"]
