"""PyTorch's `torch.utils.data`: the names that mean the same here. In place of DataLoader there is `Loader`.

`Loader` goes by (seed, epoch, index) and yields a `Batch` of NumPy arrays; its arguments are its own.
"""

from ..data import Dataset, Loader, Subset

__all__ = ["Dataset", "Loader", "Subset"]
