"""Losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .case import Draw, apart, classes, functional, given, normal, positive, probabilities, row


def loss_rows() -> None:
    """Losses over weights, ignored targets, reductions, smoothing and shapes."""
    x = normal(2, 3, 2, 3)
    for reduction in ("mean", "sum", "none"):
        target = classes(3, 2, 2, 3, ignored=-100)
        functional("cross_entropy", reduction, x, target, reduction=reduction)
        functional("nll_loss", reduction, x, target, reduction=reduction)
        functional("mse_loss", reduction, normal(3, 4), normal(3, 4), reduction=reduction)
        functional("l1_loss", reduction, apart(3, 4), given(np.full((3, 4), 0.01)), reduction=reduction)
        functional("binary_cross_entropy_with_logits", reduction, normal(3, 4), probabilities(3, 4),
                   reduction=reduction)  # fmt: skip

    def weighted(name: str, **kwargs: Any) -> Callable[..., Any]:
        return lambda m, x, t, w: getattr(m.nn.functional, name)(x, t, weight=w, **kwargs)

    for name in ("cross_entropy", "nll_loss"):
        options: dict[str, Any] = {"differentiable": (0,)}
        for reduction in ("mean", "none"):
            row(f"{name}[weights, {reduction}]", weighted(name, reduction=reduction), x, classes(3, 2, 2, 3),
                positive(3), **options)  # fmt: skip
        row(f"{name}[weights, ignored]", weighted(name, ignore_index=255), x, classes(3, 2, 2, 3, ignored=255),
            positive(3), **options)  # fmt: skip
        functional(name, "a class ignored", x, classes(3, 2, 2, 3), ignore_index=1)
        functional(name, "one sample", normal(4), classes(4))
        functional(name, "rows", normal(5, 4), classes(4, 5))
    functional("cross_entropy", "far", given([[100.0, -100.0, 0.0], [300.0, 299.0, -5.0]]), given([1, 0]))
    functional("cross_entropy", "smoothing", x, classes(3, 2, 2, 3, ignored=-100), label_smoothing=0.2)
    functional("cross_entropy", "smoothing, none", x, classes(3, 2, 2, 3), label_smoothing=0.3, reduction="none")
    row("cross_entropy[smoothing, weights, ignored]", weighted("cross_entropy", label_smoothing=0.2, ignore_index=0),
        x, classes(3, 2, 2, 3), positive(3), differentiable=(0,))  # fmt: skip
    for reduction in ("mean", "sum", "none"):
        functional("cross_entropy", f"probabilities, {reduction}", x, probabilities(2, 3, 2, 3), reduction=reduction)
    functional("cross_entropy", "probabilities, one sample", normal(4), probabilities(4, axis=0))
    row("cross_entropy[probabilities, weights, smoothing]", weighted("cross_entropy", label_smoothing=0.1), x,
        probabilities(2, 3, 2, 3), positive(3), differentiable=(0, 1))  # fmt: skip

    def bce(**which: int) -> Callable[..., Any]:
        name = "binary_cross_entropy_with_logits"
        return lambda m, x, t, *e: getattr(m.nn.functional, name)(x, t, **{k: e[i] for k, i in which.items()})

    logits, hits = normal(4, 3), probabilities(4, 3)
    row("bce[weight]", bce(weight=0), logits, hits, positive(3), differentiable=(0, 1))
    row("bce[pos_weight]", bce(pos_weight=0), logits, hits, positive(3), differentiable=(0, 1))
    row("bce[both]", bce(weight=0, pos_weight=1), logits, hits, positive(4, 1), positive(3), differentiable=(0, 1))
    row("bce[far]", bce(), given([-100.0, 100.0, -100.0, 100.0]), given([0.0, 1.0, 1.0, 0.0]), differentiable=(0,))
    for label, kwargs in {"plain": {}, "no background": {"include_background": False}, "eps": {"eps": 0.5}}.items():
        dice_row(label, x, classes(3, 2, 2, 3, ignored=-100), **kwargs)
    dice_row("a class ignored", x, classes(3, 2, 2, 3), ignore_index=1)
    dice_row("one channel", normal(2, 1, 3, 3), classes(2, 2, 3, 3, ignored=255), ignore_index=255)
    dice_row("rows", normal(6, 3), classes(3, 6))


def pointwise_rows() -> None:
    """Distances and likelihoods element by element: every argument, reduction and shape that PyTorch takes."""
    x, near, far = apart(3, 4), given(np.full((3, 4), 0.01)), {"differentiable": (0, 1)}
    for reduction in ("mean", "sum", "none"):
        kwargs = {"reduction": reduction}
        functional("smooth_l1_loss", reduction, x, near, **kwargs)
        functional("huber_loss", reduction, x, near, **kwargs)
        functional("binary_cross_entropy", reduction, probabilities(3, 4), probabilities(3, 4, axis=0), **kwargs)
        functional("kl_div", reduction, normal(3, 4), probabilities(3, 4), **kwargs)
        functional("kl_div", f"{reduction}, logarithms", normal(3, 4), normal(3, 4), log_target=True, **kwargs)
        functional("gaussian_nll_loss", reduction, normal(3, 4), normal(3, 4), positive(3, 4), **kwargs)
        functional("poisson_nll_loss", reduction, normal(3, 4), positive(3, 4), **kwargs)
        for name in ("mse_loss", "l1_loss", "huber_loss"):
            row(f"{name}[weight, {reduction}]",
                lambda m, x, t, w, n=name, r=reduction: getattr(m.nn.functional, n)(x, t, weight=w, reduction=r),
                x, near, positive(3, 4))  # fmt: skip
    for beta in (0.0, 0.37, 5.0):
        functional("smooth_l1_loss", f"beta {beta}", x, near, beta=beta)
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits"):
        functional(name, "without axes", given(0.3), given(0.1))
        functional(name, "empty", normal(0, 4), normal(0, 4), reduction="sum")
        functional(name, "mean of nothing", normal(0, 4), normal(0, 4), options={"differentiable": ()})
        row(f"{name}[transposed]", lambda m, x, t, n=name: getattr(m.nn.functional, n)(x.mT, t.mT), x, near)
    functional("huber_loss", "delta", x, near, delta=0.37)
    functional("smooth_l1_loss", "0-d", given(0.3), given(0.1))
    row("binary_cross_entropy[weight]", lambda m, x, t, w: m.nn.functional.binary_cross_entropy(x, t, w),
        probabilities(3, 4), probabilities(3, 4), positive(4), differentiable=(0, 1))  # fmt: skip
    row("binary_cross_entropy[certain]", lambda m, x, t: m.nn.functional.binary_cross_entropy(x, t, reduction="none"),
        given([0.0, 1.0, 0.0, 1.0]), given([0.0, 1.0, 1.0, 0.0]), differentiable=())  # fmt: skip
    functional("kl_div", "batchmean", normal(3, 4), probabilities(3, 4), reduction="batchmean")
    functional("kl_div", "broadcasting", normal(3, 4), probabilities(4, axis=0), reduction="sum")
    functional("kl_div", "target 0", normal(3), given([0.0, 0.25, 0.75]), reduction="sum",
               options={"differentiable": (0,)})  # fmt: skip
    for label, shape in {"rows": (3,), "a column": (3, 1), "a row": (1, 4)}.items():
        functional("gaussian_nll_loss", f"var: {label}", normal(3, 4), normal(3, 4), positive(*shape))
    functional("gaussian_nll_loss", "full", normal(3, 4), normal(3, 4), positive(3, 4), full=True)
    functional("gaussian_nll_loss", "var: a number", normal(3, 4), normal(3, 4), args=(0.7,))
    functional("gaussian_nll_loss", "eps", normal(3, 4), normal(3, 4), positive(3, 4), eps=1.1, options=far | {
        "reference": lambda x, t, v: torch.nn.functional.gaussian_nll_loss(x, t, v, eps=1.1)})  # fmt: skip
    functional("poisson_nll_loss", "rates", positive(3, 4), positive(3, 4), log_input=False, eps=0.1)
    functional("poisson_nll_loss", "full", normal(3, 4), given(np.arange(12.0).reshape(3, 4) / 2 + 0.2), full=True)
    functional("poisson_nll_loss", "broadcasting", normal(3, 4), positive(4))


def distance_rows() -> None:
    """Cosine similarity and distances over axes and broadcasting."""
    functional("cosine_similarity", "rows", normal(3, 4), normal(3, 4))
    functional("cosine_similarity", "columns", normal(3, 4), normal(3, 4), dim=0)
    functional("cosine_similarity", "images", normal(2, 3, 4), normal(2, 3, 1))
    functional("cosine_similarity", "vectors", normal(4), normal(4), dim=-1)
    functional("cosine_similarity", "broadcasting", normal(2, 1, 4), normal(3, 4), dim=2)
    functional("cosine_similarity", "large eps", normal(3, 4), normal(3, 4), eps=3.0, options={"differentiable": ()})
    for p in (1.0, 2.0, 3.0):
        functional("pairwise_distance", f"p {p}", normal(3, 4), normal(3, 4), p=p)
    functional("pairwise_distance", "kept", normal(3, 4), normal(4), keepdim=True)
    signs = given([1, -1, -1, 1, -1])
    for reduction in ("mean", "sum", "none"):
        functional("cosine_embedding_loss", reduction, normal(5, 3), normal(5, 3), signs, reduction=reduction)
    functional("cosine_embedding_loss", "margin", normal(5, 3), normal(5, 3), signs, margin=0.3)
    functional("cosine_embedding_loss", "one pair", normal(3), normal(3), given(-1), margin=-1.5)


def focal_rows() -> None:
    """Both focal losses against their formulas: torchvision's, and a loop over pixels."""

    def sigmoid_reference(
        x: torch.Tensor, t: torch.Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
    ) -> torch.Tensor:
        p = torch.sigmoid(x)
        p_t = p * t + (1 - p) * (1 - t)
        loss = -(t * torch.log(p) + (1 - t) * torch.log(1 - p)) * (1 - p_t) ** gamma
        loss = (alpha * t + (1 - alpha) * (1 - t)) * loss if alpha >= 0 else loss
        return loss if reduction == "none" else getattr(loss, reduction)()

    def reference(
        x: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None = None,
        gamma: float = 2.0,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> torch.Tensor:
        pixels, total = x.reshape(*x.shape[:2], -1), 0.0
        losses = []
        for n, row_ in enumerate(target.reshape(x.shape[0], -1)):
            for s, t in enumerate(row_.tolist()):
                w = 0.0 if t == ignore_index else 1.0 if weight is None else float(weight[t])
                p = torch.softmax(pixels[n, :, s], 0)[0 if t == ignore_index else t]
                losses.append(-w * (1 - p) ** gamma * torch.log(p))
                total += w
        if reduction == "none":
            return torch.stack(losses).reshape(target.shape)
        return torch.stack(losses).sum() / (total if reduction == "mean" else 1.0)

    hits = given([[0.0, 1.0, 1.0], [1.0, 0.0, 0.3]])
    for label, kwargs in {
        "plain": {}, "mean": {"reduction": "mean"}, "sum": {"reduction": "sum"}, "no alpha": {"alpha": -1},
        "gamma 0": {"gamma": 0.0}, "gamma 1.5": {"gamma": 1.5, "alpha": 0.6},
    }.items():  # fmt: skip
        row(f"sigmoid_focal_loss[{label}]", lambda m, x, t, k=kwargs: m.nn.functional.sigmoid_focal_loss(x, t, **k),
            normal(2, 3), hits, reference=lambda x, t, k=kwargs: sigmoid_reference(x, t, **k))  # fmt: skip
    x, target = normal(2, 3, 2, 3), classes(3, 2, 2, 3, ignored=-100)
    for label, kwargs in {
        "mean": {}, "sum": {"reduction": "sum"}, "none": {"reduction": "none"}, "gamma 0": {"gamma": 0.0},
        "gamma 0.5": {"gamma": 0.5}, "gamma 3": {"gamma": 3}, "a class ignored": {"ignore_index": 1},
    }.items():  # fmt: skip
        row(f"focal_loss[{label}]", lambda m, x, t, k=kwargs: m.nn.functional.focal_loss(x, t, **k), x,
            classes(3, 2, 2, 3) if "class" in label else target,
            reference=lambda x, t, k=kwargs: reference(x, t, **k))  # fmt: skip
    row("focal_loss[weights]", lambda m, x, t, w: m.nn.functional.focal_loss(x, t, w), x, target, positive(3),
        differentiable=(0,), reference=reference)  # fmt: skip


def dice_row(label: str, x: Draw, target: Draw, **kwargs: Any) -> None:
    """Add a Dice row; its reference counts pixel by pixel what the formula says."""
    row(f"dice_loss[{label}]", lambda m, x, t: m.nn.functional.dice_loss(x, t, **kwargs), x, target,
        reference=lambda x, t: dice_reference(x, t, **kwargs))  # fmt: skip


def dice_reference(
    x: torch.Tensor, target: torch.Tensor, ignore_index: int = -100, include_background: bool = True, eps: float = 1e-6
) -> torch.Tensor:
    """1 - mean over classes of (2 Σ p t + ε) / (Σ p + Σ t + ε), over the pixels that are not ignored."""
    pixels = x.movedim(1, -1).reshape(-1, x.shape[1])
    classes_ = target.reshape(-1)
    pixels, classes_ = pixels[classes_ != ignore_index], classes_[classes_ != ignore_index]
    scores = []
    for c in range(x.shape[1]):
        if x.shape[1] == 1:
            p, t = torch.sigmoid(pixels[:, 0]), classes_ == 1
        else:
            p, t = torch.softmax(pixels, -1)[:, c], classes_ == c
        scores.append((2 * p[t].sum() + eps) / (p.sum() + t.sum() + eps))
    first = 0 if include_background or x.shape[1] == 1 else 1
    return 1 - torch.stack(scores[first:]).mean()


loss_rows()
pointwise_rows()
distance_rows()
focal_rows()
