"""Einstein's summation, composed of permute, reshape, sum, mul and matmul, so that every derivative follows.

Every operand is a Tensor with one label per axis: a letter, or a negative number for an axis that `...` stands for.
Operands are contracted from left to right, two at a time, each time as one batched matrix product.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..engine import Tensor
from ..errors import ArgumentError, ShapeError
from .arrange import diagonal
from .checks import same_kind, tensor_arg, wide
from .linalg import matmul
from .reduce import sum
from .shape import permute, reshape

Label = Any  # a letter, or -1, -2, ... for the axes of an ellipsis, counted from its end


class Labelled(NamedTuple):
    """A Tensor and the labels of its axes, each once."""

    x: Tensor
    labels: list[Label]


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products by labels: `einsum("bij,bjk->bik", a, b)` is a batched matrix product.

    Labels that the output does not name are summed; a label twice in an operand takes its diagonal; `...` stands for
    the axes without a label, which broadcast. Without `->` the output has the labels that occur once, in alphabetical
    order. `einsum(a, [0, 1], b, [1, 2], [0, 2])` names the labels by numbers.
    """
    terms, output, listed = _read(equation, operands)
    if not listed or len(terms) != len(listed):
        raise ArgumentError(f"einsum: equation names {len(terms)} operands, but {len(listed)} came")
    xs = [tensor_arg("einsum", f"operands[{i}]", x) for i, x in enumerate(listed)]
    same_kind("einsum", **{f"operands[{i}]": x for i, x in enumerate(xs)})
    labels = [_labels(i, term, x) for i, (term, x) in enumerate(zip(terms, xs, strict=True))]
    wanted = _output_labels(output, labels)
    sizes = _sizes(labels, xs)
    if len(xs) > 2:  # a half type is rounded at the end alone
        xs = [wide(x) for x in xs]
    parts = [_without_repeats(x, of_x) for x, of_x in zip(xs, labels, strict=True)]
    done = parts[0]
    for i, part in enumerate(parts[1:], start=1):
        later = {label for p in parts[i + 1 :] for label in p.labels} | set(wanted)
        done = _contract(done, part, later, sizes)
    done = _summed(done, set(wanted))
    y = permute(done.x, [done.labels.index(label) for label in wanted]) if done.labels else done.x.clone()
    return y.to(listed[0].dtype)


# --- reading ---------------------------------------------------------------------------------------------------------


def _read(equation: Any, operands: tuple[Any, ...]) -> tuple[list[list[Label]], list[Label] | None, list[Any]]:
    """(labels of each operand, those of the output or None, operands); an ellipsis is still one label."""
    if isinstance(equation, str):
        if len(operands) == 1 and isinstance(operands[0], list | tuple):
            operands = tuple(operands[0])
        left, arrow, right = equation.partition("->")
        terms = [_letters(term, equation) for term in left.split(",")]
        return terms, _letters(right, equation) if arrow else None, list(operands)
    parts = [equation, *operands]
    output = parts.pop() if len(parts) % 2 else None
    return [_numbers(p) for p in parts[1::2]], None if output is None else _numbers(output), parts[::2]


def _letters(term: str, equation: str) -> list[Label]:
    found: list[Label] = list(term.replace(" ", "").replace("...", "\0"))
    for k, label in enumerate(found):
        if label == "\0":
            found[k] = Ellipsis
        elif not (label.isascii() and label.isalpha()):
            raise ArgumentError(
                f"einsum: equation {equation!r} holds {label!r}; labels are letters, ',', '->' and '...'"
            )
    return _one_ellipsis(found)


def _numbers(sublist: Any) -> list[Label]:
    """Letters for 0 to 51, in PyTorch's order: A to Z, then a to z."""
    found: list[Label] = []
    for n in sublist if isinstance(sublist, Sequence) else [sublist]:
        if n is not Ellipsis and not (isinstance(n, int) and 0 <= n < 52):
            raise ArgumentError(f"einsum: a sublist of labels holds integers from 0 to 51 and ..., got {n!r}")
        found.append(n if n is Ellipsis else chr(ord("A") + n) if n < 26 else chr(ord("a") + n - 26))
    return _one_ellipsis(found)


def _one_ellipsis(labels: list[Label]) -> list[Label]:
    if labels.count(Ellipsis) > 1:
        raise ArgumentError("einsum: equation holds two ellipses ('...') for one operand or for the output")
    return labels


def _labels(number: int, term: list[Label], x: Tensor) -> list[Label]:
    """One label for each axis: the ellipsis stands for what the letters leave."""
    extra = x.ndim - len([label for label in term if label is not Ellipsis])
    if extra < 0 or (extra > 0 and Ellipsis not in term):
        raise ShapeError(f"einsum: equation gives operands[{number}] {len(term)} labels, but its shape is {x.shape}")
    return [label for t in term for label in (range(-extra, 0) if t is Ellipsis else [t])]


def _output_labels(output: list[Label] | None, labels: list[list[Label]]) -> list[Label]:
    """The labels of the output, the axes of the ellipsis in their place: in front if it was not written."""
    counts = Counter(label for of_x in labels for label in of_x)
    stretched = sorted(label for label in counts if isinstance(label, int))
    if output is None:
        return stretched + sorted(label for label, n in counts.items() if n == 1 and isinstance(label, str))
    for label in output:
        if label is not Ellipsis and label not in counts:
            raise ArgumentError(f"einsum: equation names {label!r} in the output, but in no operand")
        if output.count(label) > 1:
            raise ArgumentError(f"einsum: equation names {label!r} twice in the output")
    return [label for t in output for label in (stretched if t is Ellipsis else [t])]


def _sizes(labels: list[list[Label]], xs: list[Tensor]) -> dict[Label, int]:
    """The size of each label; axes of size 1 stretch, as in PyTorch."""
    sizes: dict[Label, int] = {}
    for number, (of_x, x) in enumerate(zip(labels, xs, strict=True)):
        for label, n in zip(of_x, x.shape, strict=True):
            before = sizes.get(label, 1)
            if n != before and 1 not in (n, before):
                name = "..." if isinstance(label, int) else label
                raise ShapeError(f"einsum: label {name!r} has size {before}, but {n} in operands[{number}] {x.shape}")
            sizes[label] = n if before == 1 else before
    return sizes


# --- computing -------------------------------------------------------------------------------------------------------


def _without_repeats(x: Tensor, labels: list[Label]) -> Labelled:
    """A label that an operand names twice: its diagonal."""
    labels = list(labels)
    for label in [label for label, n in Counter(labels).items() if n > 1]:
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise ShapeError(f"einsum: label {label!r} stands for {x.shape[i]} and {x.shape[j]} in shape {x.shape}")
            x = diagonal(x, 0, i, j)  # on a new last axis
            labels = [other for k, other in enumerate(labels) if k not in (i, j)] + [label]
    return Labelled(x, labels)


def _summed(part: Labelled, kept: set[Label]) -> Labelled:
    """Summed over the labels that nobody needs any more."""
    dropped = [i for i, label in enumerate(part.labels) if label not in kept]
    if not dropped:
        return part
    return Labelled(sum(part.x, dropped).to(part.x.dtype), [label for label in part.labels if label in kept])


def _unstretched(part: Labelled, sizes: dict[Label, int]) -> Labelled:
    """Without the axes of size 1 that stretch: the other operand alone has them."""
    kept = [i for i, label in enumerate(part.labels) if not (part.x.shape[i] == 1 and sizes[label] != 1)]
    return Labelled(reshape(part.x, [part.x.shape[i] for i in kept]), [part.labels[i] for i in kept])


def _contract(a: Labelled, b: Labelled, later: set[Label], sizes: dict[Label, int]) -> Labelled:
    """The two operands as one: a matrix product over the labels of both that nobody needs `later`."""
    a, b = _unstretched(a, sizes), _unstretched(b, sizes)
    a, b = _summed(a, later | set(b.labels)), _summed(b, later | set(a.labels))
    both = [label for label in a.labels if label in b.labels]
    batch, inner = [label for label in both if label in later], [label for label in both if label not in later]
    rows = [label for label in a.labels if label not in both]
    columns = [label for label in b.labels if label not in both]
    left, right = _as_matrices(a, batch, rows, inner, sizes), _as_matrices(b, batch, inner, columns, sizes)
    product = matmul(left, right) if inner else left * right  # (batch, rows, 1) · (batch, 1, columns)
    labels = batch + rows + columns
    return Labelled(reshape(product, [sizes[label] for label in labels]), labels)


def _as_matrices(
    part: Labelled, batch: list[Label], rows: list[Label], columns: list[Label], sizes: dict[Label, int]
) -> Tensor:
    """The Tensor with its axes joined to (batch, rows, columns)."""
    x = permute(part.x, [part.labels.index(label) for label in batch + rows + columns]) if part.labels else part.x
    return reshape(x, [math.prod(sizes[label] for label in group) for group in (batch, rows, columns)])
