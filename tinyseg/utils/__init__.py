"""PyTorch's `torch.utils`, as far as it is here."""

from . import checkpoint, data

__all__ = ["checkpoint", "data"]
