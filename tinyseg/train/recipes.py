"""Recipes: from a few settings to a run. A recipe is a value that is stored in every checkpoint, so that a run, or its
model alone, can be built again from the file.
"""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .. import optim, random
from ..data.loader import Loader
from ..devices import device
from ..errors import ArgumentError, CheckpointError
from ..models import UNet, UNet2015
from ..nn import Module
from .checkpoint import Store, load_checkpoint
from .display import Display, Quiet
from .fingerprint import check_unchanged, fingerprint
from .loop import Plan, Trainer
from .losses import LOSSES, segmentation_loss
from .precision import PRECISIONS, Precision
from .predict import evaluate, sheet
from .remember import Remembered
from .sources import Data, DataSpec, open_data, training_transform

__all__ = [
    "DEMO",
    "FORMS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Trained",
    "UNetRecipe",
    "load_trained",
    "resume_unet",
    "start_unet",
]

FORMS = ("padded", "2015")
OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop")
SCHEDULES = ("cosine", "constant", "step")


@dataclass(frozen=True)
class UNetRecipe:
    """A U-Net and how it is trained.

    `steps` counts; if it is 0, `epochs` does. `warmup` is the share of the steps in which the learning rate rises from
    a hundredth; then "cosine" lowers it to zero, "step" by ten after each third. `ema` is the decay of the averaged
    weights (0: none); `clip` the largest gradient norm (0: any). `*_every` counts in steps (0: ten times a run,
    but evaluations not more often than every 100 steps).
    `threads` compute (0: as many as `ts.get_num_threads` says; a run keeps the number it started with), `workers`
    prepare data; `remember` makes all samples once, before training, and keeps them in memory. `precision` is that of
    the products (precision.py).
    """

    data: DataSpec = field(default_factory=DataSpec)
    form: str = "padded"
    width: int = 32
    bilinear: bool = False
    steps: int = 0
    epochs: float = 5.0
    batch: int = 16
    loss: str = "ce+dice"
    class_weights: tuple[float, ...] = ()
    augment: str = "flip"
    remember: bool = False
    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    warmup: float = 0.05
    ema: float = 0.0
    clip: float = 1.0
    seed: int = 0
    workers: int = 1
    threads: int = 0
    device: str = "cpu"
    precision: str = "float32"
    evaluate_every: int = 0
    checkpoint_every: int = 0
    log_every: int = 10
    anomaly: bool = False

    def __post_init__(self) -> None:
        choices = {"form": FORMS, "loss": tuple(LOSSES), "optimizer": OPTIMIZERS, "schedule": SCHEDULES}
        choices["precision"] = PRECISIONS
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ArgumentError(f"train: {name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}")
        if self.steps < 0 or (self.steps == 0 and not self.epochs > 0):
            raise ArgumentError(f"train: steps is {self.steps} and epochs {self.epochs}, expected one of them above 0")
        if self.form == "2015" and (self.side < 20 or self.side % 16 != 4):
            raise ArgumentError(
                f"train: the 2015 form needs a size of 16 k + 4 such as 68, 132, 260, 388, got {self.side}"
            )
        if self.form == "padded" and self.side < 16:
            raise ArgumentError(f"train: size is {self.side}, expected at least 16 (it is halved four times)")
        for name in ("warmup", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ArgumentError(f"train: {name} is {getattr(self, name)}, expected 0 <= {name} < 1")

    @property
    def side(self) -> int:
        """The side of a training picture in pixels, before the 2015 form's mirrored border."""
        return self.data.size

    def as_dict(self) -> dict[str, Any]:
        """The settings, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> UNetRecipe:
        """The recipe of `as_dict`."""
        return cls(**{**settings, "data": DataSpec(**settings["data"])})


# The recipe of `tinyseg demo`, sized for two cores and five minutes.
DEMO = UNetRecipe(
    data=DataSpec(samples=8000),
    remember=True,
    width=8,
    steps=3600,
    batch=8,
    lr=4e-3,
    ema=0.99,
    workers=0,
    evaluate_every=1800,
)


# --- Runs ---


def start_unet(recipe: UNetRecipe, folder: str | os.PathLike[str] | None, display: Display | None = None) -> Trainer:
    """A new run. **Raises** CheckpointError if `folder` holds a run already; what data, model and plan raise."""
    if folder is not None and Store(folder).exists():
        raise CheckpointError(
            f"train: {folder} holds a run already: resume it with --resume {folder}, or choose another --out"
        )
    return _build(recipe, folder, display or Quiet())


def resume_unet(
    folder: str | os.PathLike[str], display: Display | None = None, changes: Mapping[str, Any] | None = None
) -> Trainer:
    """The run in a folder, as its newest good checkpoint has it; `changes` may set how it is run, not what is computed.

    **Raises** CheckpointError; DataError if the files of its data are no longer those it was started with.
    """
    state, _ = Store(folder).load()
    config = _config(state, folder)
    recipe = replace(UNetRecipe.from_dict(config["settings"]), **dict(changes or {}))
    trainer = _build(recipe, folder, display or Quiet(), config.get("files"))
    trainer.resume()
    return trainer


def _config(state: Mapping[str, Any], path: str | os.PathLike[str]) -> dict[str, Any]:
    config: dict[str, Any] = state.get("config", {})
    if config.get("recipe") != "unet":
        raise CheckpointError(
            f"checkpoint: {path} holds a run of {config.get('recipe')!r}, expected 'unet': use its own command"
        )
    return config


def _build(
    recipe: UNetRecipe, folder: str | os.PathLike[str] | None, display: Display, files_before: Any = None
) -> Trainer:
    """The run of a recipe; `files_before` is the fingerprint of the data in its checkpoint, if there is one."""
    from ..kernels import jit

    check_memory(recipe)
    if recipe.threads:
        jit.set_num_threads(recipe.threads)
    recipe = replace(recipe, threads=jit.get_num_threads())
    data = open_data(recipe.data)
    if data.description:
        display.message(data.description)
    check_fit(recipe, data)
    files = fingerprint(data.files)
    if files_before is not None:
        check_unchanged(recipe.data.root, data.files, files, files_before)
    random.manual_seed(recipe.seed)
    n_outputs = 1 if recipe.loss == "bce" else len(data.classes)
    model = build_model(recipe, data.channels, n_outputs)
    train = Remembered(data.train, display.message) if recipe.remember else data.train
    loader = Loader(
        train,
        min(recipe.batch, len(data.train)),
        shuffle=True,
        seed=recipe.seed,
        workers=recipe.workers,
        transform=training_transform(recipe.data, data, recipe.augment),
        drop_last=True,
    )
    steps = recipe.steps or max(1, round(recipe.epochs * len(loader)))
    optimizer = build_optimizer(recipe, model)
    classes = max(len(data.classes), 2)
    return Trainer(
        model,
        optimizer,
        loader,
        segmentation_loss(recipe.loss, recipe.class_weights or None),
        _plan(recipe, steps),
        scheduler=build_scheduler(recipe, optimizer, steps),
        ema=optim.EMA(model, recipe.ema, warmup=True) if recipe.ema else None,
        evaluate=lambda m: evaluate(m, data.val, classes, recipe.workers).summary(),
        draw=lambda m: sheet(m, data.val, n_classes=classes),
        precision=Precision(recipe.precision),
        folder=None if folder is None else pathlib.Path(folder),
        config={**_described(recipe, data, n_outputs), "files": files},
        display=display,
    )


def _described(recipe: UNetRecipe, data: Data, n_outputs: int) -> dict[str, Any]:
    model = {"channels": data.channels, "outputs": n_outputs, "classes": list(data.classes)}
    return {"recipe": "unet", "settings": recipe.as_dict(), **model}


def _plan(recipe: UNetRecipe, steps: int) -> Plan:
    tenth = max(1, math.ceil(steps / 10))
    return Plan(
        steps,
        clip=recipe.clip or math.inf,
        log_every=recipe.log_every,
        evaluate_every=recipe.evaluate_every or max(tenth, 100),
        checkpoint_every=recipe.checkpoint_every or tenth,
        anomaly=recipe.anomaly,
    )


def build_model(recipe: UNetRecipe, channels: int, n_outputs: int) -> Module:
    """The recipe's network, freshly initialised from the program's generator."""
    if recipe.form == "2015":
        model: Module = UNet2015(channels, n_outputs, recipe.width)
    else:
        model = UNet(channels, n_outputs, recipe.bilinear, recipe.width)
    return model if recipe.device == "cpu" else model.to(device=recipe.device)


def build_optimizer(recipe: UNetRecipe, model: Module) -> optim.Optimizer:
    """The recipe's optimiser; momentum 0.9 where it has one (0.99 for the 2015 form, as in the paper)."""
    settings: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    momentum = 0.99 if recipe.form == "2015" else 0.9
    parameters = model.parameters()
    if recipe.optimizer == "sgd":
        return optim.SGD(parameters, momentum=momentum, **settings)
    if recipe.optimizer == "rmsprop":
        return optim.RMSprop(parameters, momentum=momentum, **settings)
    kind = optim.Adam if recipe.optimizer == "adam" else optim.AdamW
    return kind(parameters, **settings)


def build_scheduler(recipe: UNetRecipe, optimizer: optim.Optimizer, steps: int) -> Any:
    """The recipe's learning rate over the steps: a linear warm-up, then the schedule."""
    rising = min(round(recipe.warmup * steps), steps - 1)
    rest = steps - rising

    def share(step: int) -> float:
        if step < rising:
            return 0.01 + 0.99 * step / rising
        done = min((step - rising) / rest, 1.0)
        if recipe.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        return 0.1 ** min(int(3 * done), 2) if recipe.schedule == "step" else 1.0

    return optim.LambdaLR(optimizer, share)


# --- What cannot work, said before anything is written ---


def check_fit(recipe: UNetRecipe, data: Data) -> None:
    """Refuse settings that do not fit the data or each other. **Raises** ArgumentError naming the option."""
    if recipe.precision == "tf32" and device(recipe.device).type == "cpu":
        raise ArgumentError("train: --precision tf32 is a GPU's: choose float32, or --device cuda")
    named = f"{len(data.classes)} classes ({', '.join(data.classes)})"
    if recipe.class_weights:
        _check_weights(recipe, len(data.classes), named)
    if recipe.loss == "bce" and len(data.classes) > 2:
        raise ArgumentError(f"train: --loss bce is for 2 classes, the data has {named}: choose --loss ce")
    if recipe.loss == "border" and data.train[0].instances is None:
        raise ArgumentError(
            f"train: --loss border needs instance labels, which data of kind {recipe.data.kind!r} has not: "
            "choose --loss ce"
        )
    if recipe.form == "padded" and recipe.side < 32 and min(recipe.batch, len(data.train)) == 1:
        raise ArgumentError(
            f"train: a batch of one picture of {recipe.side}x{recipe.side} leaves batch norm a single value to "
            "average: give --size 32 or --batch 2"
        )


def _check_weights(recipe: UNetRecipe, n_classes: int, named: str) -> None:
    weights = recipe.class_weights
    if recipe.loss in ("dice", "border"):
        raise ArgumentError(f"train: --loss {recipe.loss} takes no --class-weight: drop it or choose --loss ce")
    if len(weights) != n_classes:
        raise ArgumentError(
            f"train: --class-weight was given {len(weights)} x, the data has {named}: give it once for each class"
        )
    if not all(0 <= w < math.inf for w in weights) or not any(weights):
        given = ", ".join(f"{w:g}" for w in weights)
        raise ArgumentError(f"train: --class-weight is {given}, expected numbers of at least 0 and one above it")


# --- Memory ---


def check_memory(recipe: UNetRecipe) -> None:
    """Refuse sizes that this machine cannot hold, before it starts to swap. **Raises** ArgumentError.

    A U-Net keeps about 26 maps of the first level's size for its backward (each level down holds half as much), its
    optimiser four copies of about 7600 width² weights; the loader a few batches.
    """
    side = recipe.side + (184 if recipe.form == "2015" else 0)
    pixels = recipe.batch * side * side
    floats = 26 * pixels * recipe.width + 4 * 7600 * recipe.width**2
    floats += pixels * 4 * (recipe.workers + 3)
    kept = 4 * side * side * recipe.data.samples if recipe.remember and recipe.data.kind == "chairs" else 0
    needed, there = 4 * floats + kept, physical_memory()
    if there and needed > there:
        raise ArgumentError(
            f"train: batches of {recipe.batch} pictures of {side}x{side} at width {recipe.width} need about "
            f"{needed / 2**30:,.0f} GiB, this machine has {there / 2**30:.0f}: lower --batch, --size or --width"
        )


def physical_memory() -> int:
    """The machine's memory in bytes; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


# --- Trained models ---


@dataclass(frozen=True)
class Trained:
    """A model from a checkpoint, ready to use: evaluation mode, averaged weights where the run kept them."""

    model: Module
    recipe: UNetRecipe
    channels: int
    classes: tuple[str, ...]
    step: int
    path: pathlib.Path


def _load(model: Module, state: Mapping[str, Any]) -> None:
    model.load_state_dict(state["model"])
    if "ema" in state:
        average = optim.EMA(model)
        average.load_state_dict(state["ema"])
        average.swap()


def load_trained(path: str | os.PathLike[str]) -> Trained:
    """The model of a run's folder (its best checkpoint) or of one checkpoint. **Raises** CheckpointError."""
    given = pathlib.Path(path)
    chosen = Store(given).choose() if given.is_dir() else given
    state = load_checkpoint(chosen)
    config = _config(state, chosen)
    recipe = UNetRecipe.from_dict(config["settings"])
    model = build_model(recipe, config["channels"], config["outputs"])
    try:
        _load(model, state)
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint: {chosen} does not fit its own settings: {error}") from None
    step = int(state["position"]["step"])
    return Trained(model.eval(), recipe, config["channels"], tuple(config["classes"]), step, chosen)
