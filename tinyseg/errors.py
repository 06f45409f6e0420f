"""The errors that tinyseg raises on purpose: each names the function, the argument, what came, what was expected.

Every class is also the built-in error that a PyTorch user would catch (`ShapeError` is a `ValueError`).
"""

from __future__ import annotations

__all__ = [
    "AnomalyError",
    "ArgumentError",
    "BoundsError",
    "CheckpointError",
    "DTypeError",
    "DataError",
    "DeviceError",
    "ExportError",
    "GraphError",
    "ShapeError",
    "TinysegError",
]


class TinysegError(Exception):
    """Base of all errors below: `except TinysegError` catches what tinyseg can explain and nothing else."""


class ShapeError(TinysegError, ValueError):
    """Shapes that do not fit the operation or each other."""


class ArgumentError(TinysegError, ValueError):
    """An argument outside its range, or one that is not supported and would otherwise be ignored."""


class BoundsError(TinysegError, IndexError):
    """An index outside its axis or data set."""


class DTypeError(TinysegError, TypeError):
    """Element types that do not fit the operation or each other."""


class DeviceError(TinysegError, RuntimeError):
    """Arrays on different devices, or a device that this machine or operation does not have."""


class ExportError(TinysegError, RuntimeError, BufferError):
    """An array that cannot be handed to, or taken from, another library."""


class GraphError(TinysegError, RuntimeError):
    """A graph that cannot be walked: released, changed in place, or without a gradient to give."""


class AnomalyError(TinysegError, ArithmeticError):
    """A NaN or infinity, with the operation that produced the first one."""


class DataError(TinysegError, ValueError):
    """A file or folder that cannot be used as data; the message names it and the remedy."""


class CheckpointError(TinysegError, RuntimeError):
    """A checkpoint that is missing, corrupt, half-written, or of another model."""
