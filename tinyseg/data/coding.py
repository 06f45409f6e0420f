"""Which value of a mask is which class. Nothing in the files says it, so the set of all their values decides:

* 0 and 255 alone: a binary mask; 255 is class 1.
* 0 1 2 ... without a gap, with or without 255: class indices; 255 marks pixels to ignore.
* a gap after 0 and 1: class indices too (nobody paints in 0 and 1 to look at it), of which some are rare;
  the number of classes has to be given.
* anything else (0 128 255, or colours): each value is a class, greys in ascending order, then colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyseg.errors import ArgumentError, DataError

from .images import StrPath
from .sample import IGNORE

__all__ = ["MaskCoding", "code_name", "find_mapping", "mask_codes"]

COLOUR = 1 << 24  # a grey pixel's code is its value, a colour's is COLOUR + 0xRRGGBB
MAX_CLASSES = 255  # class 255 means "ignore"
LIKELY_CLASSES = 64  # more values than these, unannounced, are the soft edges of a JPEG or of antialiasing


def mask_codes(mask: npt.NDArray[Any], path: StrPath) -> npt.NDArray[np.int64]:
    """One integer a pixel for any mask: its value where grey, 2**24 + 0xRRGGBB where coloured.

    **Shapes** (H, W) or (H, W, 3) -> (H, W) int64.
    **Raises** DataError for values outside 0 .. 2**24 - 1.
    """
    if mask.ndim == 3:
        red, green, blue = mask.astype(np.int64).transpose(2, 0, 1)
        coloured = COLOUR + (red << 16) + (green << 8) + blue
        combined: npt.NDArray[np.int64] = np.where((red == green) & (green == blue), red, coloured)
        return combined
    codes = mask.astype(np.int64)
    if codes.min() < 0 or codes.max() >= COLOUR:
        values = f"{codes.min()} to {codes.max()}"
        raise DataError(f"data: {path} has values from {values}: save it with 8 or 16 bits a pixel")
    return codes


def code_name(code: int) -> str:
    """A code of `mask_codes` as people write it: 128, or #ff8000."""
    return str(code) if code < COLOUR else f"#{code - COLOUR:06x}"


def find_mapping(found: Mapping[int, StrPath], count: int | None = None) -> dict[int, int]:
    """The class of each code, by the rules at the top of this module; 255 is "ignore".

    `found` has the codes of all masks, each with a file that shows it; `count` is how many classes.
    **Raises** DataError naming a file if the codes do not make `count` classes, or if it has to be given.
    """
    codes = sorted(found)
    indices = [code for code in codes if code != IGNORE]
    if codes in ([0, IGNORE], [IGNORE]):
        codes = [0, IGNORE]
    elif indices[-1] < (len(indices) if count is None else min(count, MAX_CLASSES)):
        codes = list(range(count or len(indices)))
    if _unclear(codes, count):
        raise _unclear_codes(found, count)
    mapping = {code: k for k, code in enumerate(codes)}
    return mapping if set(found) <= set(mapping) else mapping | {IGNORE: IGNORE}


def _unclear(codes: list[int], count: int | None) -> bool:
    """Whether the codes are not one for each class, or are indices with a gap."""
    if count is not None:
        return len(codes) != count or count > MAX_CLASSES
    gap = codes[0] == 0 and codes[1:2] == [1] and codes[-1] != len(codes) - 1
    return not 2 <= len(codes) <= LIKELY_CLASSES or gap


def _unclear_codes(found: Mapping[int, StrPath], count: int | None) -> DataError:
    codes = sorted(found)
    if len(codes) == 1 and count is None:
        return DataError(
            f"data: every pixel of every mask is {code_name(codes[0])} ({found[codes[0]]} is one), expected 2 values "
            "at least: check that these are the masks, or give the number of classes"
        )
    shown = ", ".join(map(code_name, codes[:6])) + (", ..." if len(codes) > 6 else "")
    wanted = f"{count} classes" if count is not None else f"2 to {LIKELY_CLASSES}, numbered without a gap"
    return DataError(
        f"data: {len(codes)} different values ({shown}), expected {wanted}; {found[codes[-1]]} has "
        f"{code_name(codes[-1])}: give the number of classes, or save the masks as PNG without soft edges"
    )


class MaskCoding:
    """A mapping from codes to classes 0..count-1 or 255, applied to masks.

    **Raises** ArgumentError for a class outside that range.
    """

    def __init__(self, mapping: Mapping[int, int], count: int) -> None:
        wrong = [k for k in mapping.values() if k != IGNORE and not 0 <= k < count]
        if wrong or not mapping:
            came = f"class {wrong[0]}" if wrong else "nothing"
            raise ArgumentError(f"MaskCoding: mapping has {came}, expected classes 0 to {count - 1} or {IGNORE}")
        self.mapping = dict(sorted(mapping.items()))
        self._codes = np.array(list(self.mapping), np.int64)
        self._classes = np.array(list(self.mapping.values()), np.int64)

    def classes_of(self, codes: npt.NDArray[np.int64], path: StrPath) -> npt.NDArray[np.int64]:
        """The class of each pixel, (H, W) -> (H, W); DataError for a code without a class, naming `path`."""
        slots = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        unknown = codes[self._codes[slots] != codes]
        if unknown.size:
            self.check({int(unknown[0]): path})
        classes: npt.NDArray[np.int64] = self._classes[slots]
        return classes

    def check(self, found: Mapping[int, StrPath]) -> None:
        """Raise DataError for the first code that has no class, naming its file."""
        for code, path in sorted(found.items()):
            if code not in self.mapping:
                known = ", ".join(map(code_name, list(self.mapping)[:12]))
                raise DataError(
                    f"data: {path} has the unknown value {code_name(code)}, known are {known}: "
                    "correct the mask, or load the folder anew with the right number of classes"
                )
