"""Loss scaling for float16, whose numbers below 6e-8 are zero: many gradients are smaller.

    scaler = ts.amp.GradScaler()
    with ts.autocast("float16"):
        loss = F.cross_entropy(model(x), y)
    scaler.scale(loss).backward()   # gradients are 65536 times as large, and come through
    scaler.step(optimizer)          # divides them again; skips the step if one is not finite
    scaler.update()                 # a smaller scale after that, a larger one after 2000 good steps

bfloat16 has float32's range and needs none of this. **Source** Micikevicius et al. 2018, section 3.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .casting import autocast
from .engine import Tensor
from .errors import ArgumentError, CheckpointError, GraphError
from .optim import Optimizer

__all__ = ["GradScaler", "autocast"]


class GradScaler:
    """Multiplies the loss, and divides the gradients before the step: PyTorch's `torch.amp.GradScaler`.

    `enabled=False` makes every method pass its argument through. **Raises** ArgumentError for factors that cannot work.
    """

    def __init__(
        self,
        device: Any = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if not growth_factor > 1:
            raise ArgumentError(f"GradScaler: growth_factor must be above 1, got {growth_factor}")
        if not 0 < backoff_factor < 1:
            raise ArgumentError(f"GradScaler: backoff_factor must be between 0 and 1, got {backoff_factor}")
        if not init_scale > 0:
            raise ArgumentError(f"GradScaler: init_scale must be positive, got {init_scale}")
        self._scale, self._growth, self._backoff = float(init_scale), growth_factor, backoff_factor
        self._interval, self._good, self._enabled = growth_interval, 0, enabled
        self._finite: dict[int, bool] = {}  # of each optimiser whose gradients are divided already

    def scale(self, outputs: Any) -> Any:
        """The loss, or a list or tuple of them, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs.to(np.float32) * self._scale  # 65536 is infinite in float16
        return type(outputs)(map(self.scale, outputs))

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of an optimiser's parameters now, to clip them; `step` does it otherwise.

        **Raises** GraphError if they are divided already.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._finite:
            raise GraphError("unscale_: this optimiser's gradients are divided already; call update() after step()")
        finite: Any = True
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.data *= p.grad.data.dtype.type(1 / self._scale)
                    p.grad.bump()
                    finite = finite & np.isfinite(p.grad.data).all()
        self._finite[id(optimizer)] = bool(finite)  # waits for a GPU, once

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step()`, unless a gradient is infinite or NaN; divides the gradients if `unscale_` has not."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if id(optimizer) not in self._finite:
            self.unscale_(optimizer)
        return optimizer.step(*args, **kwargs) if self._finite[id(optimizer)] else None

    def update(self, new_scale: float | None = None) -> None:
        """The scale for the next step: smaller if a step was skipped, larger after `growth_interval` that were not."""
        if not self._enabled:
            return
        if not self._finite and new_scale is None:
            raise GraphError("update: no step was taken since the last update")
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not all(self._finite.values()):
            self._scale, self._good = self._scale * self._backoff, 0
        else:
            self._good += 1
            if self._good == self._interval:
                self._scale, self._good = self._scale * self._growth, 0
        self._finite.clear()

    def get_scale(self) -> float:
        """The scale in force; 1 if not enabled."""
        return self._scale if self._enabled else 1.0

    def is_enabled(self) -> bool:
        """Whether it scales at all."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must keep; empty if not enabled."""
        if not self._enabled:
            return {}
        names = "scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"
        return dict(zip(names, (self._scale, self._growth, self._backoff, self._interval, self._good), strict=True))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`. **Raises** CheckpointError if it is of a scaler that was not enabled."""
        if not self._enabled:
            return
        try:
            self._scale = float(state_dict["scale"])
            self._growth, self._backoff = float(state_dict["growth_factor"]), float(state_dict["backoff_factor"])
            self._interval, self._good = int(state_dict["growth_interval"]), int(state_dict["_growth_tracker"])
        except KeyError as missing:
            raise CheckpointError(f"GradScaler.load_state_dict: {missing} is missing; was it enabled?") from None
