"""Normalisation."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import torch

from .case import apart, functional, given, normal, positive, row

LOOSE: dict[str, Any] = {"tolerance": 1e-4}  # a standard deviation below 1 amplifies rounding


def norm_rows() -> None:
    """Batch normalisation; the running statistics are outputs, so that their update is checked as well."""

    def training(m: ModuleType, x: Any, w: Any = None, b: Any = None, **kwargs: Any) -> Any:
        mean, var = x.new_zeros(x.shape[1]), x.new_ones(x.shape[1])
        y = m.nn.functional.batch_norm(x, mean, var, w, b, training=True, **kwargs)
        return y, mean, var

    def evaluating(m: ModuleType, x: Any, mean: Any, var: Any, w: Any = None, b: Any = None, **kwargs: Any) -> Any:
        return m.nn.functional.batch_norm(x, mean, var, w, b, training=False, eps=1e-3, **kwargs)

    for label, shape in {"images": (3, 2, 4, 3), "vectors": (5, 3), "sequences": (2, 3, 4)}.items():
        c = shape[1]
        row(f"batch_norm[{label}]", training, normal(*shape), normal(c), normal(c), tolerance=1e-4)
        row(f"batch_norm[{label}, no affine]", training, normal(*shape), tolerance=1e-4)
        row(f"batch_norm[{label}, eval]", evaluating, normal(*shape), normal(c), positive(c), normal(c), normal(c),
            differentiable=(0, 3, 4))  # fmt: skip
    row("batch_norm[eval, no affine]", evaluating, normal(2, 3, 2, 2), normal(3), positive(3), differentiable=(0,))
    row("batch_norm[momentum and eps]", lambda m, x, w, b: training(m, x, w, b, momentum=0.3, eps=0.1),
        normal(2, 2, 3, 3), normal(2), normal(2), tolerance=1e-4)  # fmt: skip
    row("batch_norm[no running]", lambda m, x: m.nn.functional.batch_norm(x, None, None, training=True),
        normal(2, 2, 3, 3), tolerance=1e-4)  # fmt: skip
    for label, varied in {"input only": (0,), "weight only": (1,), "bias only": (2,)}.items():
        row(f"batch_norm[{label}]", training, normal(2, 2, 3, 3), normal(2), normal(2), differentiable=varied,
            tolerance=1e-4)  # fmt: skip
    row("batch_norm[offset]", lambda m, x: training(m, x + 100.0), normal(2, 2, 4, 4), tolerance=2e-3)
    rectifying_rows(training, evaluating)
    row("batch_norm[large planes]", training, normal(2, 2, 9, 8), normal(2), normal(2), **LOOSE)
    row("batch_norm[empty batch]", training, normal(0, 3, 2), normal(3), normal(3))


def rectifying_rows(training: Any, evaluating: Any) -> None:
    """`batch_norm` with the ReLU in the same op, on planes and on vectors."""

    def rectified(norm: Any, m: ModuleType, *args: Any) -> Any:
        if m is torch:
            y = norm(m, *args)
            return (torch.relu(y[0]), *y[1:]) if isinstance(y, tuple) else torch.relu(y)
        return norm(m, *args, relu=True)

    for label, shape in {"images": (3, 2, 5, 4), "vectors": (6, 3), "one image": (1, 2, 5, 5)}.items():
        affine = positive(shape[1]), normal(shape[1])
        row(f"batch_norm[{label}, relu]", functools.partial(rectified, training), normal(*shape), *affine, **LOOSE)
        row(f"batch_norm[{label}, relu, eval]", functools.partial(rectified, evaluating), normal(*shape),
            normal(shape[1]), positive(shape[1]), *affine, differentiable=(0, 3, 4))  # fmt: skip
    row("batch_norm[relu, no affine]", functools.partial(rectified, training), normal(2, 2, 4, 4), **LOOSE)
    for label, varied in {"input only": (0,), "weight only": (1,), "bias only": (2,)}.items():
        row(f"batch_norm[relu, {label}]", functools.partial(rectified, training), normal(2, 2, 4, 4), normal(2),
            normal(2), differentiable=varied, **LOOSE)  # fmt: skip


def other_norm_rows() -> None:
    """Instance, group, layer and RMS norm over views, `normalize` over p and axes."""

    def tracking(m: ModuleType, x: Any, mean: Any, var: Any, w: Any = None, b: Any = None, **kwargs: Any) -> Any:
        mean, var = mean.clone(), var.clone()
        y = m.nn.functional.instance_norm(x, mean, var, w, b, **kwargs)
        return y, mean, var

    for label, shape in {"images": (3, 2, 4, 3), "sequences": (2, 3, 4), "one sample": (1, 3, 5)}.items():
        c = shape[1]
        functional("instance_norm", label, normal(*shape), options=LOOSE)
        row(f"instance_norm[{label}, affine]",
            lambda m, x, w, b: m.nn.functional.instance_norm(x, weight=w, bias=b, eps=1e-2),
            normal(*shape), normal(c), normal(c), tolerance=1e-4)  # fmt: skip
        row(f"instance_norm[{label}, running]", lambda *xs: tracking(*xs, momentum=0.3), normal(*shape), normal(c),
            positive(c), differentiable=(0,), tolerance=1e-4)  # fmt: skip
        row(f"instance_norm[{label}, eval]", lambda *xs: tracking(*xs, use_input_stats=False), normal(*shape),
            normal(c), positive(c), normal(c), normal(c), differentiable=(0, 3, 4))  # fmt: skip
    for groups in (1, 2, 4):
        functional("group_norm", f"{groups} groups", normal(2, 4, 3, 2), args=(groups,), options=LOOSE)
        row(f"group_norm[{groups} groups, affine]",
            lambda m, x, w, b, g=groups: m.nn.functional.group_norm(x, g, w, b, 1e-2),
            normal(2, 4, 3), normal(4), normal(4), tolerance=1e-4)  # fmt: skip
    functional("group_norm", "large planes", normal(2, 4, 9, 8), args=(2,), options=LOOSE)
    functional("group_norm", "vectors", normal(3, 6), args=(2,), options=LOOSE)
    functional("group_norm", "empty batch", normal(0, 4, 3), args=(2,))
    row("group_norm[weight only]", lambda m, x, w: m.nn.functional.group_norm(x, 2, w), normal(2, 4, 3), normal(4),
        differentiable=(1,), tolerance=1e-4)  # fmt: skip
    for name in ("layer_norm", "rms_norm"):
        functional(name, "last axis", normal(3, 4, 5), args=((5,),), options=LOOSE)
        functional(name, "two axes", normal(3, 4, 5), args=((4, 5),), options=LOOSE)
        functional(name, "all axes", normal(4, 5), args=((4, 5),), options=LOOSE)
        functional(name, "empty batch", normal(0, 5), args=((5,),))
        functional(name, "eps", normal(3, 5), args=((5,),), eps=0.3, options=LOOSE)
        row(f"{name}[weight]", lambda m, x, w, n=name: getattr(m.nn.functional, n)(x, (4, 5), w), normal(2, 4, 5),
            normal(4, 5), tolerance=1e-4)  # fmt: skip
    row("layer_norm[affine]", lambda m, x, w, b: m.nn.functional.layer_norm(x, (5,), w, b), normal(2, 3, 5), normal(5),
        normal(5), tolerance=1e-4)  # fmt: skip
    row("layer_norm[bias only]", lambda m, x, b: m.nn.functional.layer_norm(x, (5,), None, b), normal(3, 5), normal(5),
        tolerance=1e-4,  # PyTorch's second derivative fails for a bias without a weight
        reference=lambda x, b: torch.nn.functional.layer_norm(x, (5,)) + b)  # fmt: skip
    row("layer_norm[offset]", lambda m, x: m.nn.functional.layer_norm(x + 100.0, (16,)), normal(3, 16), tolerance=2e-3)
    functional("layer_norm", "long rows", normal(2, 4200), args=((4200,),), options=LOOSE)
    for p in (0, 0.5, 1, 2, 3, float("inf"), float("-inf")):
        functional("normalize", f"p {p}", apart(3, 4, 2), p=p)
    functional("normalize", "negative axis", normal(3, 4), dim=-1)
    functional("normalize", "two axes", normal(3, 4, 2), dim=(1, 2))
    functional("normalize", "large eps", normal(3, 4), eps=5.0)
    functional("normalize", "one axis", normal(4), dim=0)
    functional("normalize", "zeros", given([[0.0, 0.0], [3.0, 4.0]]), eps=1.0, options={"differentiable": ()})


norm_rows()
other_norm_rows()
