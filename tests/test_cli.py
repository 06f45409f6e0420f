"""The command line: what it makes; every mistake is one line that names file and remedy, and exit code 2."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import tinyseg as ts
from tinyseg.cli import run
from tinyseg.data.images import read_mask
from tinyseg.train import DataSpec, UNetRecipe, load_checkpoint, read_log

TINY = ["--size", "32", "--samples", "24", "--width", "2", "--batch", "4", "--threads", "1", "--workers", "1"]


@pytest.fixture(autouse=True)
def _all_threads_again():
    before = ts.get_num_threads()
    yield
    ts.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of four steps that every test may read."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert run(["train", "unet", "--out", str(folder), "--steps", "4", "--ema", "0.5", *TINY]) == 0
    return folder


def failed(capsys, *arguments) -> str:
    """The one line that a command ends with; its exit code is 2."""
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    error = capsys.readouterr().err.strip()
    assert code == 2, error
    assert error.startswith("tinyseg: error: ")
    assert "\n" not in error
    return error


def picture(path: pathlib.Path, array: np.ndarray) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.astype(np.uint8)).save(path)
    return path


def size_of(path: pathlib.Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def folder_of(root: pathlib.Path, masks=None, count=10, size=(32, 32)) -> pathlib.Path:
    """An image folder: squares on noise, with their masks."""
    rng = np.random.default_rng(0)
    for i in range(count):
        mask = np.zeros(size, np.uint8)
        mask[8:20, 4 + i : 20 + i] = 1
        noise = rng.integers(0, 80, (*size, 3))
        picture(root / "images" / f"{i}.png", noise + 150 * mask[..., None])
        picture(root / "masks" / f"{i}.png", mask if masks is None else masks(i, mask))
    return root


# --- What commands make ---


def test_train_writes_its_files(trained):
    names = {path.name for path in trained.iterdir()}
    assert names == {f"{n}.safetensors" for n in ("last", "previous", "best")} | {
        "log.jsonl",
        "curves.png",
        "sheet.png",
    }
    assert load_checkpoint(trained / "last.safetensors")["position"]["step"] == 4
    assert read_log(trained / "log.jsonl")[-1]["kind"] == "evaluation"


def test_evaluate_prints_the_scores_of_the_log(trained, capsys, tmp_path):
    sheet = tmp_path / "new" / "sheet.png"
    assert run(["evaluate", str(trained / "last.safetensors"), "--out", str(sheet), "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    logged = read_log(trained / "log.jsonl")[-1]
    assert f"{logged['mean_iou']:.4f}" in shown
    assert f"{logged['pixel_accuracy']:.4f}" in shown
    assert "chair" in shown
    assert size_of(sheet)[0] > 1000


def test_predict_any_size_and_colour(trained, capsys, tmp_path):
    rng = np.random.default_rng(0)
    files = [
        picture(tmp_path / "odd.png", rng.integers(0, 255, (37, 61, 3))),
        picture(tmp_path / "grey.png", rng.integers(0, 255, (40, 33))),
        picture(tmp_path / "tiny.png", rng.integers(0, 255, (5, 9, 3))),
        picture(tmp_path / "wide.png", rng.integers(0, 255, (20, 600, 3))),
    ]
    out = tmp_path / "out"
    assert run(["predict", *map(str, files), "--weights", str(trained), "--out", str(out), "--threads", "1"]) == 0
    assert "grey.png: grey, converted: the model was trained on colour" in capsys.readouterr().out
    for file in files:
        size = size_of(file)
        mask = read_mask(out / f"{file.stem}_mask.png")
        assert mask.shape == size[::-1]
        assert set(np.unique(mask)) <= {0, 1}
        assert size_of(out / f"{file.stem}_overlay.png") == size


def test_preview_shows_a_folder_and_its_mapping(capsys, tmp_path):
    root = folder_of(tmp_path / "data", masks=lambda i, mask: mask * 255)
    sheet = tmp_path / "sheet.png"
    arguments = ["--data", "folder", "--root", str(root), "--out", str(sheet), "--augment", "strong", "--size", "32"]
    assert run(["data", "preview", *arguments]) == 0
    assert "255 -> class 1" in capsys.readouterr().out
    assert size_of(sheet)[1] > 100


def test_preview_counts_both_parts_and_refuses_what_it_cannot_draw(capsys, tmp_path):
    root, sheet = folder_of(tmp_path / "data", count=6), tmp_path / "sheet.png"
    arguments = ["data", "preview", "--data", "folder", "--root", str(root), "--fraction", "0.2", "--out", str(sheet)]
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert "6 images of 3 channels" in shown
    assert "5 to train, 1 to validate" in shown
    assert "--start is 5, expected 0 to 4 (5 images to train)" in failed(capsys, *arguments, "--start", 5)
    error = failed(capsys, "data", "preview", "--count", 400, "--size", 4096, "--out", sheet)
    assert "--count 400 of 4096x4096" in error
    assert "lower --count or --size" in error


def test_pictures_are_png(capsys, trained, tmp_path):
    text = tmp_path / "st.txt"
    assert f"{text} is no name of a picture" in failed(capsys, "data", "preview", "--out", text)
    assert f"{text} is no name of a picture" in failed(capsys, "evaluate", trained, "--out", text)
    assert not text.exists()


def test_version(capsys):
    from tinyseg import __version__

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"tinyseg {__version__}\n"


def test_a_short_run_is_evaluated_once_and_a_finished_one_says_how_to_go_on(capsys, tmp_path):
    out = str(tmp_path / "run")
    assert run(["train", "unet", "--out", out, "--steps", "12", *TINY]) == 0
    assert [e["step"] for e in read_log(tmp_path / "run" / "log.jsonl") if e["kind"] == "evaluation"] == [12]
    capsys.readouterr()
    assert run(["train", "unet", "--resume", out]) == 0
    assert "ended at step 12" in capsys.readouterr().out
    error = failed(capsys, "train", "unet", "--resume", out, "--steps", 20)
    assert "--steps cannot change in a run that goes on, its learning rate follows the number of steps" in error


@pytest.mark.parametrize(
    "extra", [["--form", "2015", "--size", "20"], ["--loss", "bce", "--size", "32"], ["--bilinear", "--size", "24"]]
)
def test_other_forms_train_on_a_folder_and_predict(tmp_path, extra):
    root = folder_of(tmp_path / "data")
    arguments = ["--data", "folder", "--root", root, "--out", tmp_path / "run", "--steps", "2"]
    arguments += ["--width", "2", "--batch", "2", "--threads", "1", "--fraction", "0.25", *extra]
    assert run(["train", "unet", *map(str, arguments)]) == 0
    predict = ["--weights", tmp_path / "run", "--out", tmp_path / "out", "--threads", "1"]
    assert run(["predict", str(root / "images" / "0.png"), *map(str, predict)]) == 0
    assert read_mask(tmp_path / "out" / "0_mask.png").shape == (32, 32)


def test_info_names_what_matters(capsys):
    assert run(["info"]) == 0
    shown = capsys.readouterr().out
    for word in ("numpy", "BLAS", "threads", "GPU", "kernel cache"):
        assert word in shown


def test_demo_goes_on_where_it_was(tmp_path, capsys, monkeypatch):
    from tinyseg.cli import demo
    from tinyseg.train import recipes

    small = DataSpec(size=32, samples=16)
    tiny = dataclasses.replace(recipes.DEMO, data=small, width=2, batch=4, steps=2, workers=0, evaluate_every=2)
    monkeypatch.setattr(recipes, "DEMO", tiny)
    monkeypatch.setattr(demo, "UNSEEN", 10)
    for _ in range(2):  # the second time there is nothing to train
        assert run(["demo", "--out", str(tmp_path / "demo"), "--threads", "1"]) == 0
        assert "mean IoU" in capsys.readouterr().out
    assert len(list((tmp_path / "demo" / "predictions").glob("*_overlay.png"))) == 3
    assert "holds a run of other settings" in failed(capsys, "demo", "--out", tmp_path / "demo", "--steps", "5")


def test_help_is_quick_and_needs_no_numba():
    heavy = "{'numba', 'scipy', 'matplotlib'}"
    code = f"import sys; from tinyseg.cli import run; run(['--help']); print(sorted({heavy} & {{*sys.modules}}))"
    best = min(_timed(code) for _ in range(3))
    assert best < 2.0


def _timed(code: str) -> float:
    before = time.perf_counter()
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.rstrip().endswith("[]")
    return time.perf_counter() - before


def test_defaults_of_the_command_are_those_of_the_recipe():
    import inspect

    from tinyseg.cli.train import unet

    shown = {name: p.default for name, p in inspect.signature(unet).parameters.items()}
    recipe, data = dataclasses.asdict(UNetRecipe()), dataclasses.asdict(DataSpec())
    for name in shown.keys() & recipe.keys() - {"data"}:
        assert shown[name] == recipe[name], name
    for name in shown.keys() & data.keys() - {"size"}:
        assert shown[name] == data[name], name
    assert (shown["scheduler"], shown["data"], shown["data_seed"]) == (recipe["schedule"], data["kind"], data["seed"])


# --- Stopping ---


def test_ctrl_c_saves_says_how_to_go_on_and_ends_with_130(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", "from tinyseg.cli import main; main()"]
    arguments = ["train", "unet", "--out", str(folder), "--steps", "5000", "--checkpoint-every", "1", *TINY]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log = folder / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 130, shown
    assert f"go on with: tinyseg train unet --resume {folder}" in shown
    step = int(re.search(r"stopped at step (\d+) of 5000, saved", shown)[1])
    assert load_checkpoint(folder / "last.safetensors")["position"]["step"] == step


# --- Mistakes ---


def test_unknown_options_and_values(capsys, tmp_path):
    out = ["--out", tmp_path / "run"]
    assert "No such option: --bacth" in failed(capsys, "train", "unet", "--bacth", 3)
    assert "--batch" in failed(capsys, "train", "unet", "--batch", 0, *out)
    assert "needs a size of 16 k + 4" in failed(capsys, "train", "unet", "--form", "2015", "--size", 64, *out)
    assert "expected one of ce, dice" in failed(capsys, "train", "unet", "--loss", "hinge", *out)
    assert "expected one of chairs" in failed(capsys, "train", "unet", "--data", "tables", *out)
    assert "expected one of none, flip, strong" in failed(capsys, "train", "unet", "--augment", "much", *out, *TINY)
    assert "width even" in failed(capsys, "train", "unet", "--width", 3, "--size", 32, *out)
    assert "needs a folder: give it with --root" in failed(capsys, "data", "preview", "--data", "nuclei")
    assert "No such command 'frobnicate'" in failed(capsys, "frobnicate")
    assert "set_num_threads: n must be 1 to" in failed(capsys, "train", "unet", *TINY, *out, "--threads", 1000)
    assert not (tmp_path / "run").exists()


def test_options_that_do_not_fit_leave_no_folder(capsys, tmp_path):
    def train(*extra):
        return failed(capsys, "train", "unet", "--out", tmp_path / "run", "--steps", 3, *TINY, *extra)

    once = ["--class-weight", 1]
    assert "--class-weight was given 1 x, the data has 2 classes (background, chair)" in train(*once)
    assert "--class-weight is nan, 1, expected numbers of at least 0" in train("--class-weight", "nan", *once)
    assert "--loss dice takes no --class-weight" in train("--loss", "dice", *once, *once)
    assert "size is 1, expected at least 16" in train("--size", 1)
    assert "give --size 32 or --batch 2" in train("--size", 16, "--batch", 1)
    three = folder_of(tmp_path / "three", masks=lambda i, mask: mask + (mask > 0) * (i % 2))
    folder = ["--data", "folder", "--root", three]
    assert "--loss bce is for 2 classes, the data has 3" in train("--loss", "bce", *folder)
    assert "--loss border needs instance labels" in train("--loss", "border", *folder)
    assert not (tmp_path / "run").exists()


def test_absurd_sizes(capsys, tmp_path):
    error = failed(capsys, "train", "unet", "--batch", 60000, "--size", 4096, "--out", tmp_path / "run")
    assert "lower --batch, --size or --width" in error
    assert "--size" in failed(capsys, "train", "unet", "--size", 10**9)
    assert not (tmp_path / "run").exists()


def test_memory_and_disk_errors_are_explained(capsys, monkeypatch, tmp_path):
    from tinyseg.train import sources

    def raising(error):
        def open_(spec):
            raise error

        monkeypatch.setitem(sources.SOURCES, "chairs", open_)
        return failed(capsys, "data", "preview")

    assert "out of memory (7 TiB): lower --batch" in raising(MemoryError("7 TiB"))
    error = raising(OSError(28, "No space left on device", "/data/x"))
    assert "/data/x: No space left on device: free some space" in error
    assert "where you may write" in raising(PermissionError(13, "Permission denied", "/data/x"))


def test_images_that_are_missing_truncated_or_no_images(capsys, trained, tmp_path):
    good = picture(tmp_path / "good.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3)))
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:2000])
    text = tmp_path / "text.png"
    text.write_text("no picture")
    for path in (tmp_path / "none.png", cut, text):
        assert str(path) in failed(capsys, "predict", path, "--weights", trained, "--out", tmp_path / "out")
    error = failed(
        capsys, "predict", good, tmp_path / "b" / "good.png", "--weights", trained, "--out", tmp_path / "out"
    )
    assert "both write good_mask.png" in error


def test_a_decompression_bomb_is_refused(capsys, trained, tmp_path, monkeypatch):
    path = picture(tmp_path / "bomb.png", np.zeros((100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    error = failed(capsys, "predict", path, "--weights", trained, "--out", tmp_path / "out")
    assert "bomb.png" in error
    assert "decompression bomb" in error


def test_folders_that_do_not_fit(capsys, tmp_path):
    def train(root, *extra):
        return failed(capsys, "train", "unet", "--data", "folder", "--root", root, "--out", tmp_path / "run", *extra)

    (tmp_path / "empty" / "images").mkdir(parents=True)
    (tmp_path / "empty" / "masks").mkdir()
    assert f"{tmp_path / 'empty'}" in train(tmp_path / "empty")
    sized = folder_of(tmp_path / "sized", masks=lambda i, mask: mask[:-1] if i == 2 else mask)
    error = train(sized)
    assert "2.png" in error
    assert "make both the same size" in error
    error = train(folder_of(tmp_path / "classes", masks=lambda i, mask: mask + (mask > 0) * (i % 2)), "--classes", 2)
    assert str(tmp_path / "classes" / "masks") in error
    coded = folder_of(tmp_path / "coded", masks=lambda i, mask: mask * 7)
    assert "7" in train(coded, "--classes", 5)
    outside = picture(tmp_path / "secret.png", np.zeros((32, 32)))
    linked = folder_of(tmp_path / "linked")
    (linked / "masks" / "3.png").unlink()
    (linked / "masks" / "3.png").symlink_to(outside)
    assert "outside" in train(linked)
    assert not (tmp_path / "run").exists()


def test_a_mask_value_that_appears_later(capsys, tmp_path):
    root = folder_of(tmp_path / "train_val" / "train", count=4).parent
    folder_of(root / "val", masks=lambda i, mask: mask * 9)
    error = failed(capsys, "train", "unet", "--data", "folder", "--root", root, "--out", tmp_path / "run", *TINY)
    assert "val" in error
    assert "9" in error


def test_checkpoints_that_cannot_be_used(capsys, trained, tmp_path):
    import tinyseg as ts

    def evaluate(path):
        return failed(capsys, "evaluate", path)

    whole = (trained / "last.safetensors").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "noise.safetensors").write_bytes(bytes(1000))
    ts.save({"a": ts.zeros(3)}, tmp_path / "weights.safetensors")
    for name in ("half", "noise", "weights", "none"):
        assert f"{name}.safetensors" in evaluate(tmp_path / f"{name}.safetensors")
    assert "no checkpoint" in failed(capsys, "train", "unet", "--resume", tmp_path / "nowhere")
    nuclei = folder_of(tmp_path / "three", masks=lambda i, mask: mask + (mask > 0) * (i % 2))
    error = failed(capsys, "evaluate", trained, "--data", "folder", "--root", nuclei, "--fraction", 0.5)
    assert "2 classes" in error
    assert "the data has 3 and 3" in error


@pytest.mark.parametrize("part", ["images", "masks"])
def test_pipes_are_not_waited_for(capsys, trained, tmp_path, part):
    root = folder_of(tmp_path / "data", count=3)
    (root / part / "2.png").unlink()
    os.mkfifo(root / part / "2.png")
    error = failed(capsys, "data", "preview", "--data", "folder", "--root", root)
    assert f"{part}/2.png is not a regular file" in error
    error = failed(capsys, "predict", root / part / "2.png", "--weights", trained, "--out", tmp_path / "out")
    assert f"{part}/2.png is not a regular file" in error
    os.mkfifo(tmp_path / "last.safetensors")
    assert "last.safetensors is not a regular file" in failed(capsys, "evaluate", tmp_path / "last.safetensors")
    assert "last.safetensors is not a regular file" in failed(capsys, "train", "unet", "--resume", tmp_path)


def test_linked_folders_and_what_is_missing(capsys, tmp_path):
    def preview(root, *extra):
        return failed(capsys, "data", "preview", "--data", "folder", "--root", root, *extra)

    root, other = folder_of(tmp_path / "data"), folder_of(tmp_path / "other")
    (root / "masks").rename(tmp_path / "elsewhere")
    (root / "masks").symlink_to(tmp_path / "elsewhere")
    assert f"{root / 'masks'} links to {tmp_path / 'elsewhere'}, outside {root}: copy it" in preview(root)
    (other / "masks").rename(other / "more")
    (other / "masks").symlink_to("more")
    sheet = str(tmp_path / "s.png")
    assert run(["data", "preview", "--data", "folder", "--root", str(other), "--out", sheet]) == 0
    assert f"data: {tmp_path / 'none'} does not exist: give --root a folder" in preview(tmp_path / "none")
    assert "give --masks a folder" in preview(other / "images", "--masks", sheet)
    black = folder_of(tmp_path / "black", masks=lambda i, mask: mask * 0)
    assert "every pixel of every mask is 0" in preview(black)


@pytest.mark.parametrize(("count", "remedy"), [(1, "add images"), (2, "--fraction 0.5"), (4, "--fraction 0.25")])
def test_a_fraction_that_leaves_nothing_says_which_would_do(capsys, tmp_path, count, remedy):
    root = folder_of(tmp_path / "data", count=count)
    arguments = ["data", "preview", "--data", "folder", "--root", root, "--out", tmp_path / "sheet.png"]
    error = failed(capsys, *arguments)
    assert f"data: {root} has {count} images" in error
    assert remedy in error
    if remedy.startswith("--"):
        assert run([*map(str, arguments), *remedy.split()]) == 0


def test_a_damaged_checkpoint_says_what_else_there_is(capsys, trained, tmp_path):
    whole = (trained / "last.safetensors").read_bytes()
    half = tmp_path / "best.safetensors"
    half.write_bytes(whole[: len(whole) // 2])
    error = failed(capsys, "evaluate", half)
    assert f"checkpoint: {half} is not a complete safetensors file" in error
    assert error.endswith("use another copy of it, or train again")
    (tmp_path / "previous.safetensors").write_bytes(whole)
    assert failed(capsys, "evaluate", half).endswith(f": use {tmp_path / 'previous.safetensors'}")
    error = failed(capsys, "train", "unet", "--resume", half)
    assert f"checkpoint: {half} is a file: --resume takes the run's folder" in error


def test_a_checkpoint_of_another_model_is_named(capsys, trained, tmp_path):
    from tinyseg.train import save_checkpoint

    state = load_checkpoint(trained / "last.safetensors")
    state["config"]["settings"]["width"] = 4
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, state)
    assert "last.safetensors" in failed(capsys, "evaluate", path)
    assert "shape" in failed(capsys, "train", "unet", "--resume", tmp_path)
    state["config"]["recipe"] = "vae"
    save_checkpoint(path, state)
    assert "a run of 'vae', expected 'unet'" in failed(capsys, "evaluate", path)


def test_a_run_is_neither_overwritten_nor_changed(capsys, trained):
    before = (trained / "last.safetensors").read_bytes()
    assert f"resume it with --resume {trained}" in failed(capsys, "train", "unet", "--out", trained, *TINY)
    assert "--lr, --width cannot change" in failed(
        capsys, "train", "unet", "--resume", trained, "--lr", 1, "--width", 8
    )
    assert (trained / "last.safetensors").read_bytes() == before


def test_a_full_disk_leaves_the_checkpoint_before(capsys, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    saves = iter(range(100))

    real = os.fsync

    def full(descriptor):
        if next(saves) > 12:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    error = failed(capsys, "train", "unet", "--out", folder, "--steps", 50, "--checkpoint-every", 1, *TINY)
    assert "No space left on device" in error
    assert "safetensors" in error
    monkeypatch.undo()
    assert load_checkpoint(folder / "last.safetensors")["position"]["step"] > 0


def test_a_folder_where_one_may_not_write(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    error = failed(capsys, "train", "unet", "--out", tmp_path / "file" / "run", *TINY)
    assert str(tmp_path / "file") in error


def test_debug_shows_where_an_error_came_from(monkeypatch):
    from tinyseg.errors import ArgumentError

    monkeypatch.setenv("TINYSEG_DEBUG", "1")
    with pytest.raises(ArgumentError, match="expected one of"):
        run(["train", "unet", "--loss", "hinge"])


def changed_after_a_run(tmp_path, capsys, change, *extra) -> str:
    """What is said when a run on a folder of six images goes on after `change(folder)`."""
    root, out = folder_of(tmp_path / "data", count=6), tmp_path / "run"
    arguments = ["--data", "folder", "--root", root, "--out", out, "--fraction", 0.4, "--steps", 3, *extra]
    assert run(["train", "unet", *map(str, arguments), "--width", "2", "--size", "32", "--threads", "1"]) == 0
    change(root)
    return failed(capsys, "train", "unet", "--resume", out)


def test_a_run_whose_data_changed_does_not_go_on(capsys, tmp_path):
    def shrink(root):
        for part in ("images", "masks"):
            (root / part / "5.png").unlink()

    error = changed_after_a_run(tmp_path / "fewer", capsys, shrink, "--batch", 2)
    assert f"data: {tmp_path / 'fewer' / 'data'} is not what this run was started with" in error
    assert "12 image and mask files then, 10 now: restore the files" in error

    def repaint(root):  # as many bytes as before
        path = root / "masks" / "2.png"
        path.write_bytes((root / "masks" / "3.png").read_bytes()[: path.stat().st_size])

    error = changed_after_a_run(tmp_path / "repainted", capsys, repaint, "--batch", 1)
    assert "masks/2.png has another content or name (1 of 12 files have)" in error


def test_a_copy_of_the_data_goes_on(tmp_path):
    root, out = folder_of(tmp_path / "data", count=6), tmp_path / "run"
    arguments = ["--data", "folder", "--root", root, "--out", out, "--fraction", 0.4, "--steps", 3, "--batch", 2]
    assert run(["train", "unet", *map(str, arguments), "--width", "2", "--size", "32", "--threads", "1"]) == 0
    for path in root.rglob("*.png"):
        os.utime(path, (1, 1))
    assert run(["train", "unet", "--resume", str(out)]) == 0
