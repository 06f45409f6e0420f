"""A run killed at any moment and resumed ends with the bits of the run that nobody killed."""

from __future__ import annotations

import pathlib

import pytest

from tests import resume


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    resume.finish(folder, threads=1)
    return folder


def test_killed_run_ends_with_the_bits_of_the_whole_one(whole, tmp_path):
    kills = resume.killed_and_resumed(tmp_path / "run", threads=1, seed=1, most=2)
    assert kills.total == 2
    assert resume.difference(whole, tmp_path / "run") == ""


def test_the_comparison_finds_a_single_bit(whole, tmp_path):
    from tinyseg.train import load_checkpoint, save_checkpoint

    for name in ("last", "best"):
        state = load_checkpoint(whole / f"{name}.safetensors")
        if name == "last":
            state["optimizer"]["state"][0]["exp_avg"].data.reshape(-1).view("uint32")[0] ^= 1
        save_checkpoint(tmp_path / f"{name}.safetensors", state)
    assert resume.difference(whole, tmp_path).startswith("last.optimizer.state.0.exp_avg")
