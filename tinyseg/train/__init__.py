"""Training: one loop for every model, with metrics, losses by name, checkpoints, logs and pictures."""

from .checkpoint import Store, load_checkpoint, save_checkpoint
from .log import RunLog, read_log
from .loop import Outcome, Plan, Position, Trainer
from .losses import segmentation_loss
from .metrics import ConfusionMatrix, Scores
from .predict import evaluate, predict
from .recipes import DEMO, Trained, UNetRecipe, load_trained, resume_unet, start_unet
from .sources import DataSpec, open_data

__all__ = [
    "DEMO",
    "ConfusionMatrix",
    "DataSpec",
    "Outcome",
    "Plan",
    "Position",
    "RunLog",
    "Scores",
    "Store",
    "Trained",
    "Trainer",
    "UNetRecipe",
    "evaluate",
    "load_checkpoint",
    "load_trained",
    "open_data",
    "predict",
    "read_log",
    "resume_unet",
    "save_checkpoint",
    "segmentation_loss",
    "start_unet",
]
