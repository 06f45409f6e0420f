"""Runs of the command line that are killed with SIGKILL, again and again, and resumed to their end.

    python -m tests.resume --runs 20

Every run must end with the bits of the run that nobody killed: model, optimiser, averages, random state, and the losses
of its log. Half of the kills wait for a checkpoint that is being written; what such a kill leaves behind is counted.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseg import Tensor
from tinyseg.train import Store, load_checkpoint

COMMAND = [sys.executable, "-c", "from tinyseg.cli import main; main()", "train", "unet"]
SETTINGS = {
    "size": 32, "samples": 60, "width": 4, "batch": 4, "steps": 24, "ema": 0.9, "seed": 3, "workers": 2,
    "augment": "strong", "checkpoint-every": 1, "evaluate-every": 12, "log-every": 5,
}  # fmt: skip
TIMED = {"seconds", "since", "images_per_second"}  # clocks are not expected to agree


@dataclass
class Kills:
    """How often a run was killed, and how often in the middle of writing a checkpoint."""

    total: int = 0
    while_writing: int = 0


def start(folder: pathlib.Path, threads: int) -> subprocess.Popen[bytes]:
    """Begin the run, or go on with it if the folder has a checkpoint."""
    fresh = [f"--{name}={value}" for name, value in {**SETTINGS, "threads": threads, "out": folder}.items()]
    arguments = ["--resume", str(folder)] if Store(folder).exists() else fresh
    return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(folder: pathlib.Path, threads: int) -> None:
    """Let the run go to its end."""
    process = start(folder, threads)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()


def killed(folder: pathlib.Path, threads: int, chance: random.Random, kills: Kills) -> bool:
    """Start the run and kill it; False if it ended first. Waits for a new checkpoint, so that every life gets on."""
    process = start(folder, threads)
    try:
        _wait(process, lambda: Store(folder).exists())
        before = stamp(folder)
        _wait(process, lambda: stamp(folder) != before)
        if chance.random() < 0.5:
            _wait(process, lambda: bool(list(folder.glob(".last*partial*"))))
        else:
            time.sleep(chance.uniform(0, 0.5))
    finally:
        process.kill()
        _, errors = process.communicate()
    if process.returncode == 0:
        return False
    assert process.returncode == -9, errors.decode()
    kills.total += 1
    kills.while_writing += bool(list(folder.glob(".*partial*")))
    return True


def stamp(folder: pathlib.Path) -> int:
    """When `last` was written."""
    try:
        return Store(folder).last.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _wait(process: subprocess.Popen[bytes], ready: Any) -> None:
    while process.poll() is None and not ready():
        time.sleep(0.0003)


def killed_and_resumed(folder: pathlib.Path, threads: int, seed: int, most: int = 4) -> Kills:
    """A whole run with up to `most` kills."""
    chance, kills = random.Random(seed), Kills()
    while kills.total < most and killed(folder, threads, chance, kills):
        pass
    finish(folder, threads)
    return kills


# --- Comparing ---


def difference(a: pathlib.Path, b: pathlib.Path) -> str:
    """The first thing in which two finished runs differ, or nothing."""
    for name in ("last", "best"):
        found = _differ(load_checkpoint(a / f"{name}.safetensors"), load_checkpoint(b / f"{name}.safetensors"), name)
        if found:
            return found
    return _differ(_log(a), _log(b), "log")


def _differ(a: Any, b: Any, where: str) -> str:
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f"{where}: {a.keys() ^ b.keys()}"
        return next(filter(None, (_differ(a[k], b[k], f"{where}.{k}") for k in a if k not in TIMED)), "")
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return f"{where}: {len(a)} and {len(b)} entries"
        return next(filter(None, (_differ(x, y, f"{where}[{i}]") for i, (x, y) in enumerate(zip(a, b)))), "")  # noqa: B905
    x, y = (np.asarray(v.data if isinstance(v, Tensor) else v) for v in (a, b))
    same = x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
    if x.dtype == object or x.dtype.kind == "U":
        same = a == b
    return "" if same else f"{where} differs: {str(a)[:60]!r} and {str(b)[:60]!r}"


def _log(folder: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def main() -> None:
    """The whole experiment, with a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home, kills, equal = pathlib.Path(name), Kills(), 0
        finish(home / "whole", given.threads)
        for seed in range(given.runs):
            folder = home / f"run{seed}"
            of_run = killed_and_resumed(folder, given.threads, seed)
            found = difference(home / "whole", folder)
            kills = Kills(kills.total + of_run.total, kills.while_writing + of_run.while_writing)
            equal += not found
            print(
                f"run {seed}: {of_run.total} kills, {of_run.while_writing} while writing: {found or 'equal'}",
                flush=True,
            )
    print(
        f"{equal} of {given.runs} runs equal; {kills.total} kills, {kills.while_writing} while a checkpoint was written"
    )
    sys.exit(equal != given.runs)


if __name__ == "__main__":
    main()
