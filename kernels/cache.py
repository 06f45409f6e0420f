"""Where compiled kernels are kept between runs: `$TINYSEG_CACHE` or `~/.cache/tinyseg`."""

from __future__ import annotations

import os
import pathlib

__all__ = ["folder"]


def folder(kind: str) -> pathlib.Path:
    """The folder of one kind of compiled code: "numba", "emulator", "nvrtc". It need not exist yet."""
    base = os.environ.get("TINYSEG_CACHE") or pathlib.Path.home() / ".cache" / "tinyseg"
    return pathlib.Path(base) / kind
