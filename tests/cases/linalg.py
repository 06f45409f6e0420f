"""Matrix products and linear layers."""

from __future__ import annotations

from .case import functional, normal, row, top


def linalg_rows() -> None:
    """Products of vectors, matrices and batches."""
    shapes = {
        "vectors": ((3,), (3,)),
        "matrix vector": ((2, 3), (3,)),
        "vector matrix": ((2,), (2, 3)),
        "matrices": ((2, 3), (3, 4)),
        "batches": ((2, 2, 3), (2, 3, 4)),
        "batch matrix": ((2, 2, 3), (3, 4)),
        "matrix batch": ((2, 3), (2, 3, 4)),
        "broadcast": ((2, 1, 2, 3), (3, 3, 2)),
        "batch vector": ((2, 2, 3), (3,)),
        "vector batch": ((3,), (2, 3, 4)),
        "no rows": ((0, 3), (3, 4)),
        "nothing summed": ((2, 0), (0, 4)),
        "one": ((1, 1), (1, 1)),
    }
    for label, (a, b) in shapes.items():
        row(f"matmul[{label}]", lambda m, x, y: x @ y, normal(*a), normal(*b))
    row("matmul[gram]", lambda m, x: x @ x.T, normal(2, 3))
    top("matmul", "function", normal(3, 5), normal(5, 2))
    functional("linear", "bias", normal(4, 3), normal(2, 3), normal(2))
    functional("linear", "no bias", normal(4, 3), normal(2, 3))
    functional("linear", "one sample", normal(3), normal(2, 3), normal(2))
    functional("linear", "three axes", normal(2, 4, 3), normal(2, 3), normal(2))
    functional("linear", "empty batch", normal(0, 3), normal(2, 3), normal(2))
    functional("linear", "no features", normal(2, 0), normal(3, 0), normal(3))


linalg_rows()
