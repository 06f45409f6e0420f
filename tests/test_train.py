"""The training loop, its losses and its checkpoints, against PyTorch and against arithmetic."""

from __future__ import annotations

import json
import math
import os
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as TF

import tinyseg as ts
from tinyseg import nn, optim
from tinyseg.data.loader import Batch, Loader, collate
from tinyseg.data.sample import Sample
from tinyseg.errors import AnomalyError, ArgumentError, CheckpointError, DataError
from tinyseg.train import Plan, Store, Trainer, load_checkpoint, read_log, save_checkpoint, segmentation_loss
from tinyseg.train.log import RunLog
from tinyseg.train.recipes import UNetRecipe, build_scheduler, check_memory
from tinyseg.train.sources import DataSpec


class Numbers:
    """Samples whose image and mask are functions of the index: the class is whether the first channel is positive."""

    def __init__(self, count: int = 12) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        image = np.random.default_rng(index).standard_normal((2, 4, 4), np.float32)
        return Sample(image, (image[0] > 0).astype(np.int64), name=str(index))


def trainer(folder=None, steps=10, loss=None, **settings) -> Trainer:
    ts.manual_seed(5)
    model = nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.Conv2d(4, 2, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loader = Loader(Numbers(), 4, shuffle=True, seed=1)
    plan = Plan(steps, **{"log_every": 3, "evaluate_every": 4, "checkpoint_every": 2, **settings})
    return Trainer(
        model,
        optimizer,
        loader,
        loss or segmentation_loss("ce"),
        plan,
        scheduler=scheduler,
        ema=optim.EMA(model, 0.9),
        evaluate=lambda m: {"mean_iou": float(np.mean([p.data.mean() for p in m.parameters()]))},
        folder=folder,
    )


def states_equal(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(states_equal(a[k], b[k]) for k in a if k not in ("seconds", "since"))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(states_equal, a, b))
    if isinstance(a, ts.Tensor):
        return a.data.dtype == b.data.dtype and a.data.tobytes() == b.data.tobytes()
    return a == b


# --- The loop ---


def test_loop_equals_the_same_loop_in_pytorch():
    ours = trainer(steps=7)
    for module in ours.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 1, bias=False), torch.nn.BatchNorm2d(4), torch.nn.Identity(), torch.nn.Conv2d(4, 2, 1)
    )
    ours.model.double()
    theirs.double().load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.model.state_dict().items()})
    ours.ema = optim.EMA(ours.model, 0.9)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7)
    object.__setattr__(ours.plan, "clip", 0.5)
    average = {k: v.clone() for k, v in theirs.state_dict().items()}
    for step in range(7):
        batch = list(ours.loader.epoch(step // 3))[step % 3]  # three batches an epoch
        optimizer.zero_grad()
        scores = theirs(torch.tensor(batch.images).double())
        TF.cross_entropy(scores, torch.tensor(batch.masks)).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        for name, p in theirs.named_parameters():
            average[name] = 0.9 * average[name] + 0.1 * p.detach()
    outcome = ours.run()
    assert outcome.finished
    assert (ours.at.step, ours.at.epoch, ours.at.batch) == (7, 2, 1)
    for name, p in ours.model.named_parameters():
        np.testing.assert_allclose(p.data, theirs.state_dict()[name].numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours.ema.shadow[name].data, average[name].numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("stop", [1, 2, 3, 5, 8])
def test_a_resumed_run_has_the_state_and_the_log_of_the_whole_one(tmp_path, stop):
    whole = trainer(tmp_path / "whole")
    whole.run()
    first = trainer(tmp_path / "parts")
    steps = iter(range(100))

    def stopping(model, batch):
        if next(steps) == stop:
            os.kill(os.getpid(), signal.SIGINT)  # the step is finished, the state saved
        return segmentation_loss("ce")(model, batch)

    first.loss = stopping
    outcome = first.run()
    assert not outcome.finished
    assert outcome.step == stop + 1
    ts.manual_seed(99)  # what comes between does not matter
    second = trainer(tmp_path / "parts")
    second.resume()
    assert second.run().finished
    assert states_equal(second.state(), whole.state())
    keep = [k for k in read_log(tmp_path / "whole" / "log.jsonl")[0] if k not in ("seconds", "images_per_second")]
    logs = [
        [{k: e.get(k) for k in [*keep, "mean_iou"]} for e in read_log(tmp_path / run / "log.jsonl")]
        for run in ("whole", "parts")
    ]
    assert logs[0] == logs[1]


def test_sigterm_stops_like_ctrl_c_and_the_handlers_come_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)

    def loss(model, batch):
        os.kill(os.getpid(), signal.SIGTERM)
        return segmentation_loss("ce")(model, batch)

    assert not trainer(tmp_path, loss=loss).run().finished
    assert signal.getsignal(signal.SIGTERM) is before
    assert load_checkpoint(tmp_path / "last.safetensors")["position"]["step"] == 1


def test_the_second_ctrl_c_stops_at_once(tmp_path):
    def loss(model, batch):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("unreachable")

    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path, loss=loss).run()


def test_log_has_the_mean_loss_of_its_steps_and_the_rates(tmp_path):
    seen = []

    def loss(model, batch):
        value = segmentation_loss("ce")(model, batch)
        seen.append(value.item())
        return value

    trainer(tmp_path, steps=7, loss=loss).run()
    lines = [e for e in read_log(tmp_path / "log.jsonl") if e["kind"] == "train"]
    assert [e["step"] for e in lines] == [3, 6, 7]
    expected = [np.mean(seen[:3]), np.mean(seen[3:6]), seen[6]]
    np.testing.assert_allclose([e["loss"] for e in lines], expected, rtol=1e-12)
    rates = [0.025 * (1 + math.cos(math.pi * (step - 1) / 7)) for step in (3, 6, 7)]
    np.testing.assert_allclose([e["lr"] for e in lines], rates, rtol=1e-9)
    assert [e["step"] for e in read_log(tmp_path / "log.jsonl") if e["kind"] == "evaluation"] == [4, 7]


def test_named_losses_are_added_and_logged(tmp_path):
    def loss(model, batch):
        scores = model(ts.tensor(batch.images))
        return {"square": (scores * scores).mean(), "sum": scores.mean()}

    trainer(tmp_path, steps=3, loss=loss).run()
    (line,) = [e for e in read_log(tmp_path / "log.jsonl") if e["kind"] == "train"]
    assert line["loss"] == pytest.approx(line["square"] + line["sum"], rel=1e-5)


def test_nan_loss_stops_with_step_and_hint_and_the_checkpoint_is_from_before(tmp_path):
    steps = iter(range(100))

    def loss(model, batch):
        value = segmentation_loss("ce")(model, batch)
        return value * float("nan") if next(steps) == 6 else value

    with pytest.raises(AnomalyError, match=r"loss is nan at step 7: lower the learning rate .*anomaly mode") as caught:
        trainer(tmp_path, loss=loss).run()
    assert "\n" not in str(caught.value)
    state = load_checkpoint(tmp_path / "last.safetensors")
    assert state["position"]["step"] == 6
    assert all(np.isfinite(t.data).all() for t in state["model"].values())


def test_infinite_gradient_stops_before_it_reaches_the_weights():
    run = trainer(loss=lambda model, batch: (model(ts.tensor(batch.images)) * 0).sum().abs() ** 0.5)
    before = {k: t.data.copy() for k, t in run.model.named_parameters()}
    with pytest.raises(AnomalyError, match="gradient norm is nan at step 1"):
        run.run()
    assert all((before[k] == t.data).all() for k, t in run.model.named_parameters())


def test_anomaly_mode_names_the_operation():
    def loss(model, batch):
        return (model(ts.tensor(batch.images)) * 0 - 1).log().mean()

    with pytest.raises(AnomalyError, match=r"Log.*NaN"):
        trainer(loss=loss, anomaly=True).run()


def test_best_is_the_checkpoint_with_the_highest_score(tmp_path):
    run = trainer(tmp_path, steps=12)
    scores = iter([0.2, 0.9, 0.5])
    run.evaluate = lambda model: {"mean_iou": next(scores)}
    run.run()
    assert load_checkpoint(tmp_path / "best.safetensors")["position"]["step"] == 8
    assert load_checkpoint(tmp_path / "last.safetensors")["position"]["best"] == 0.9
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_plan_out_of_range_is_refused():
    for wrong in (
        {"steps": 0},
        {"steps": 3, "log_every": -1},
        {"steps": 3, "clip": 0.0},
        {"steps": 3, "clip": math.nan},
    ):
        with pytest.raises(ArgumentError, match="Plan: "):
            Plan(**wrong)


@pytest.mark.parametrize("count", [8, 4])
def test_a_run_never_waits_for_batches_that_do_not_come(tmp_path, count):
    trainer(tmp_path, steps=2).run()  # stops before the last of three batches
    longer = trainer(tmp_path, steps=10)
    longer.loader = Loader(Numbers(count), 4)  # two batches, or one
    longer.resume()
    with pytest.raises(CheckpointError, match=rf"batch 2 of an epoch, but the data makes only {count // 4} batches"):
        longer.run()


def test_a_checkpoint_without_a_fingerprint_of_its_data_still_loads(tmp_path):
    from tinyseg.train import resume_unet, start_unet

    recipe = UNetRecipe(data=DataSpec(size=16, samples=4), width=2, batch=2, steps=1, workers=0, threads=1)
    start_unet(recipe, tmp_path).run()
    state = load_checkpoint(tmp_path / "last.safetensors")
    del state["config"]["files"]
    save_checkpoint(tmp_path / "last.safetensors", state)
    assert resume_unet(tmp_path).at.step == 1


def test_a_first_step_that_fails_leaves_the_folder_to_the_next_run(tmp_path):
    def loss(model, batch):
        raise DataError("no instance labels")

    with pytest.raises(DataError, match="no instance labels"):
        trainer(tmp_path, loss=loss).run()
    assert not Store(tmp_path).exists()
    assert trainer(tmp_path).run().finished


# --- Losses ---


def batch_of(shape=(3, 6, 5), classes=3, ignored=0.2, seed=0) -> Batch:
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(shape[0]):
        mask = rng.integers(0, classes, shape[1:])
        mask[rng.random(shape[1:]) < ignored] = 255
        instances = np.where(mask == 255, 0, mask).astype(np.int32)
        samples.append(Sample(rng.random((3, *shape[1:]), np.float32), mask, instances, name=f"s{i}"))
    return collate(samples)


def model_and_torch(outputs: int):
    ts.manual_seed(1)
    model = nn.Conv2d(3, outputs, 1).double()
    weight = {k: torch.tensor(v.numpy()) for k, v in model.state_dict().items()}
    return model, lambda images: TF.conv2d(torch.tensor(images).double(), weight["weight"], weight["bias"])


def torch_dice(scores, masks):
    counted = (masks != 255)[:, None].double()
    p = scores.softmax(1) * counted
    t = TF.one_hot(torch.where(masks == 255, 0, masks), scores.shape[1]).permute(0, 3, 1, 2) * counted
    return 1 - ((2 * (p * t).sum((0, 2, 3)) + 1e-6) / ((p + t).sum((0, 2, 3)) + 1e-6)).mean()


@pytest.mark.parametrize("weight", [None, (0.2, 1.0, 3.0)])
@pytest.mark.parametrize("name", ["ce", "dice", "ce+dice"])
def test_losses_equal_pytorch(name, weight):
    if name == "dice" and weight:
        with pytest.raises(ArgumentError, match="takes no class weights"):
            segmentation_loss(name, weight)
        return
    batch = batch_of()
    model, reference = model_and_torch(3)
    scores, masks = reference(batch.images), torch.tensor(batch.masks)
    w = None if weight is None else torch.tensor(weight).double()
    entropy = TF.cross_entropy(scores, masks, w, ignore_index=255)
    dice = torch_dice(scores, masks)
    expected = {"ce": entropy, "dice": dice, "ce+dice": entropy + dice}[name]
    assert segmentation_loss(name, weight)(model, batch).item() == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("weight", [None, (0.5, 4.0)])
def test_binary_loss_equals_pytorch_on_the_pixels_that_count(weight):
    batch = batch_of(classes=2)
    model, reference = model_and_torch(1)
    scores, masks = reference(batch.images)[:, 0], torch.tensor(batch.masks)
    counted = masks != 255
    target = masks[counted].double()
    w = None if weight is None else torch.where(target == 1, weight[1], weight[0]).double()
    losses = TF.binary_cross_entropy_with_logits(scores[counted], target, w, reduction="sum")
    expected = losses / (len(target) if w is None else w.sum())
    assert segmentation_loss("bce", weight)(model, batch).item() == pytest.approx(expected.item(), rel=1e-9)


def test_border_loss_weighs_the_gap_between_two_cells_most():
    mask = np.zeros((20, 20), np.int64)
    mask[4:16, 3:9], mask[4:16, 11:17] = 1, 1  # two cells, two pixels apart
    instances = mask.copy().astype(np.int32)
    instances[:, 10:] *= 2
    batch = collate([Sample(np.zeros((3, 20, 20), np.float32), mask, instances, name="cells")])
    wrong = np.full((1, 2, 20, 20), 0.0)

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = nn.Parameter(ts.tensor(wrong))

        def forward(self, images):
            return self.scores * 1.0

    model = Fixed()
    segmentation_loss("border")(model, batch).backward()
    pull = np.abs(model.scores.grad.numpy()[0, 0])
    assert pull[10, 9] > 5 * pull[0, 0]  # between the cells against far from them
    with pytest.raises(DataError, match="'plain' has no instance labels"):
        segmentation_loss("border")(model, collate([batch.samples[0].replace(instances=None, name="plain")]))


def test_masks_are_cropped_to_a_smaller_output():
    batch = batch_of((2, 9, 8))
    model, reference = model_and_torch(3)
    cropping = nn.Sequential(model)
    cropping.forward = lambda images: model(images)[:, :, 2:7, 1:7]
    expected = TF.cross_entropy(
        reference(batch.images)[:, :, 2:7, 1:7], torch.tensor(batch.masks)[:, 2:7, 1:7], ignore_index=255
    )
    assert segmentation_loss("ce")(cropping, batch).item() == pytest.approx(expected.item(), rel=1e-9)


def test_a_class_that_the_model_lacks_is_named_with_its_file():
    batch = batch_of(classes=4, ignored=0.0)
    with pytest.raises(DataError, match=r"mask of 's0' holds class 3, the model has classes 0 to 2"):
        segmentation_loss("ce")(model_and_torch(3)[0], batch)
    with pytest.raises(ArgumentError, match="expected one of ce, dice"):
        segmentation_loss("hinge")
    with pytest.raises(ArgumentError, match="bce: the model has 3 output channels"):
        segmentation_loss("bce")(model_and_torch(3)[0], batch)


# --- Checkpoints and logs ---


STATE = {
    "model": {"a.weight": ts.tensor(np.arange(6, dtype=np.float32).reshape(2, 3)), "n": ts.tensor(np.int64(3))},
    "optimizer": {"state": {0: {"m": ts.tensor([0.5])}, 7: {}}, "groups": [{"betas": (0.9, 0.999), "lr": 0.1 + 0.2}]},
    "random": {"state": {"state": 2**127 + 1, "inc": 3}, "name": "PCG64"},
    "position": {"best": None, "loss": math.inf, "sums": {}},
}


def test_a_state_comes_back_with_its_types_and_bits(tmp_path):
    save_checkpoint(tmp_path / "c.safetensors", STATE)
    back = load_checkpoint(tmp_path / "c.safetensors")
    assert states_equal(back, STATE)
    assert back["optimizer"]["groups"][0]["betas"] == (0.9, 0.999)
    assert list(back["optimizer"]["state"]) == [0, 7]


def test_every_truncation_and_damaged_byte_is_noticed(tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, STATE)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    cuts = [whole[:n] for n in rng.integers(0, len(whole), 30)]
    flips = []
    for place in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        flips.append(bytes(damaged))
    for content in cuts + flips:
        path.write_bytes(content)
        try:
            back, error = load_checkpoint(path), ""
        except CheckpointError as caught:
            back, error = {}, str(caught)
        # not all of the file is state: the header is padded with spaces
        assert states_equal(back, STATE) or (str(path) in error and "\n" not in error)


def test_a_file_of_weights_is_no_checkpoint(tmp_path):
    ts.save({"a": ts.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"w.safetensors is no checkpoint of a run"):
        load_checkpoint(tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"none.safetensors does not exist"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_a_corrupt_last_checkpoint_gives_way_to_the_previous_one(tmp_path):
    store = Store(tmp_path)
    for step in (1, 2):
        store.save({"step": step})
    store.last.write_bytes(store.last.read_bytes()[:-3])
    state, notice = store.load()
    assert state == {"step": 1}
    assert "last.safetensors" in notice
    assert "previous.safetensors" in notice
    store.previous.write_bytes(b"")
    with pytest.raises(CheckpointError, match="safetensors"):
        store.load()
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        Store(tmp_path / "nowhere").load()


def test_a_failed_save_leaves_both_checkpoints(tmp_path, monkeypatch):
    store = Store(tmp_path)
    for step in (1, 2):
        store.save({"step": step})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        store.save({"step": 3})
    assert store.load() == ({"step": 2}, "")
    assert load_checkpoint(store.previous) == {"step": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.safetensors", "previous.safetensors"]


def test_checkpoints_can_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o027)
    try:
        for step in (1, 2):
            Store(tmp_path).save({"step": step}, is_best=True)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


class Full:
    """A file on a full disk, which says so when it is closed, too."""

    def fail(self, *_):
        raise OSError(28, "No space left on device")

    write = flush = close = fail


def test_a_full_disk_is_told_with_the_name_of_the_log(tmp_path, monkeypatch):
    run = trainer(tmp_path)
    opened = run._open

    def on_a_full_disk():
        opened()
        run.log.close()
        run.log._file = Full()

    monkeypatch.setattr(run, "_open", on_a_full_disk)
    monkeypatch.setattr(RunLog, "sync", lambda log: None)
    with pytest.raises(DataError, match=r"log: .*log.jsonl: No space left on device: free space"):
        run.run()


def test_a_log_that_cannot_be_made_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DataError, match=r"log.jsonl: No space left on device"):
        RunLog(tmp_path / "log.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_another_models_checkpoint_is_refused(tmp_path):
    trainer(tmp_path, steps=2).run()
    other = trainer(tmp_path, steps=2)
    other.model = nn.Sequential(nn.Conv2d(2, 3, 1))
    with pytest.raises(CheckpointError, match=r"last.safetensors does not fit this run.*shape"):
        other.resume()
    bare = trainer(tmp_path, steps=2)
    bare.ema = None
    with pytest.raises(CheckpointError, match="differ in having ema"):
        bare.resume()


def test_the_log_is_cut_back_to_the_step_and_to_whole_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    for step in (1, 2, 3):
        log.write("train", step, loss=math.nan if step == 2 else 0.5)
    log.close()
    with open(path, "a") as file:
        file.write('{"kind": "train", "st')
    assert [e["step"] for e in read_log(path)] == [1, 2, 3]
    RunLog(path, step=2).close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"kind": "train", "step": 1, "loss": 0.5},
        {"kind": "train", "step": 2, "loss": None},
    ]


# --- Recipes ---


def test_learning_rates_rise_then_follow_the_schedule():
    parameter = [nn.Parameter(np.zeros(1))]

    def rates(schedule):
        recipe = UNetRecipe(schedule=schedule, warmup=0.1)
        optimizer = optim.SGD(parameter, lr=2.0)
        scheduler = build_scheduler(recipe, optimizer, 100)
        values = []
        for _ in range(100):
            values.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return values

    for schedule in ("cosine", "step", "constant"):
        np.testing.assert_allclose(rates(schedule)[:10], [2 * (0.01 + 0.099 * k) for k in range(10)], rtol=1e-9)
    cosine = [1 + math.cos(math.pi * k / 90) for k in range(90)]
    np.testing.assert_allclose(rates("cosine")[10:], cosine, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rates("step")[10:], [2.0] * 30 + [0.2] * 30 + [0.02] * 30, rtol=1e-9)
    assert rates("constant")[10:] == [2.0] * 90


def test_recipes_refuse_what_they_do_not_know_and_what_cannot_fit():
    for wrong in (
        {"loss": "hinge"},
        {"form": "3d"},
        {"optimizer": "lion"},
        {"epochs": 0.0},
        {"ema": 1.0},
        {"steps": -1},
    ):
        with pytest.raises(ArgumentError, match="train: "):
            UNetRecipe(**wrong)
    with pytest.raises(
        ArgumentError, match=r"batches of 65536 pictures of 4096x4096 .* lower --batch, --size or --width"
    ):
        check_memory(UNetRecipe(data=DataSpec(size=4096), batch=65536))
    recipe = UNetRecipe(data=DataSpec(kind="nuclei", root="/x"), class_weights=(1.0, 2.0))
    assert UNetRecipe.from_dict(recipe.as_dict()) == recipe
