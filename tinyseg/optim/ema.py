"""An exponential moving average of a model's weights, which often predicts better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..engine import Tensor
from ..errors import ArgumentError, CheckpointError
from ..nn.module import Module, Parameter
from ..nn.state import as_array

__all__ = ["EMA"]


class EMA:
    """s ← d·s + (1 - d)·p for every parameter after every step; buffers are copied as they are.

    The average starts as a copy of the model. With `warmup`, d = min(decay, (1 + t) / (10 + t)) at update t (from 0),
    so that the random beginning is soon forgotten.

        ema = EMA(model, 0.999);  optimizer.step(); ema.update();  with ema.applied(): evaluate(model)
    """

    def __init__(self, model: Module, decay: float = 0.999, warmup: bool = False) -> None:
        if not 0 <= decay <= 1:
            raise ArgumentError(f"EMA: decay must be between 0 and 1, got {decay}")
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self._live = model.state_dict(keep_vars=True)
        self.shadow = {name: Tensor(t.data.copy()) for name, t in self._live.items()}

    def update(self) -> None:
        """Move the average towards the model, once per optimiser step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        for name, t in self._live.items():
            average = self.shadow[name]
            if isinstance(t, Parameter):
                average.data += (1 - decay) * (t.data - average.data)
                average.bump()
            else:
                average.assign_(t)
        self.updates += 1

    def swap(self) -> None:
        """Exchange the model's values and the average's; a second call undoes the first."""
        for name, t in self._live.items():
            value = t.data.copy()
            t.detach().assign_(self.shadow[name])
            self.shadow[name].assign_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model has the averaged weights; afterwards its own again, exactly."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state_dict(self) -> dict[str, Any]:
        """{"updates": int, "shadow": {name: Tensor}}, on the same memory."""
        return {"updates": self.updates, "shadow": dict(self.shadow)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy a saved average in. **Raises** CheckpointError if names or shapes differ; then nothing is changed."""
        arrays = {name: as_array("EMA", name, value) for name, value in state_dict["shadow"].items()}
        ours, theirs = ({k: v.shape for k, v in d.items()} for d in (self.shadow, arrays))
        if ours != theirs:
            differing = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
            raise CheckpointError(f"EMA.load_state_dict: the state is of another model; it differs in {differing}")
        for name, array in arrays.items():
            self.shadow[name].assign_(array)
        self.updates = int(state_dict["updates"])
