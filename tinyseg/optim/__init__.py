"""Optimisers, learning-rate schedules, averages of weights."""

from .adam import Adam, AdamW
from .optimizer import Optimizer
