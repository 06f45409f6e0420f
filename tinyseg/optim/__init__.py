"""Optimisers, learning-rate schedules, averages of weights, gradient clipping."""

from ..nn.utils import clip_grad_norm_
from . import lr_scheduler
from .adafactor import Adafactor
from .adam import Adam, AdamW
from .ema import EMA
from .lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
    warmup_cosine,
)
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD
