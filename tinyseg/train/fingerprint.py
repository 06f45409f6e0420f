"""Whether a run's data is still what it was: a checksum of each file, kept in the checkpoints.

Sizes and times of files would be cheaper, but say too little (a mask painted anew may have as many bytes) and too much
(a copy of the folder has other times and the same bits). Reading every file once is what an epoch does anyway.
"""

from __future__ import annotations

import os
import pathlib
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from ..data.images import open_regular
from ..errors import DataError

__all__ = ["check_unchanged", "fingerprint"]

Checksums = npt.NDArray[np.int64]


def fingerprint(files: Sequence[pathlib.Path]) -> Checksums:
    """CRC-32 of the name and the content of each file, in the order given. **Shapes** (len(files),).

    **Raises** DataError for a file that cannot be read.
    """
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # zlib works without the GIL
        return np.array(list(pool.map(_checksum, files)), np.int64)


def _checksum(path: pathlib.Path) -> int:
    crc = zlib.crc32(path.name.encode(errors="surrogateescape"))
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc


def check_unchanged(root: str, files: Sequence[pathlib.Path], now: Checksums, before: Checksums) -> None:
    """Raise DataError naming `root` and what is new if the `files` no longer have the checksums of `before`."""
    if np.array_equal(now, before):
        return
    if len(now) != len(before):
        change = f"{len(before)} image and mask files then, {len(now)} now"
    else:
        changed = [path for path, same in zip(files, now == before, strict=True) if not same]
        change = f"{changed[0]} has another content or name ({len(changed)} of {len(files)} files have)"
    raise DataError(
        f"data: {root} is not what this run was started with: {change}: "
        "restore the files, or start a new run with another --out"
    )
