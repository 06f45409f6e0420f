"""The wheel, installed outside the checkout, imports and works: kernels travel through the link, markers are there."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]

SCRIPT = """
import pathlib, sys
import numpy as np
import tinyseg as ts
from tinyseg import nn
assert pathlib.Path(ts.__file__).is_relative_to(sys.argv[1]), ts.__file__
model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
adam = ts.optim.Adam(model.parameters(), lr=1e-2)
x, t = ts.tensor(np.random.default_rng(0).random((2, 3, 8, 8), np.float32)), ts.zeros(2, 8, 8, dtype=ts.int64)
losses = []
for _ in range(5):
    adam.zero_grad()
    loss = nn.functional.cross_entropy(model(x), t)
    loss.backward()
    adam.step()
    losses.append(loss.item())
assert losses[-1] < losses[0], losses
print("trained")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "tinyseg", "kernels", "pyproject.toml"]
    files = subprocess.run([*listed, "README.md", "LICENSE"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in files.stdout.split():  # a copy without build/ and egg-info, which a build here would leave behind
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to(os.readlink(ROOT / name))
        elif (ROOT / name).is_file():
            target.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(source)], check=True, capture_output=True, text=True)
    return next(folder.glob("tinyseg-*.whl"))


def test_wheel_holds_the_kernels_and_the_type_marker(wheel: pathlib.Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"tinyseg/py.typed", "tinyseg/engine.py", "tinyseg/kernels/conv2d/cpu.py"} <= names
    assert not any(name.startswith(("kernels/", "tests/")) for name in names)


def test_wheel_trains_outside_the_checkout(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(site)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "trained\n"
    info = subprocess.run(
        [sys.executable, "-m", "tinyseg", "info"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert info.returncode == 0, info.stderr
    assert "tinyseg" in info.stdout
