"""Pictures of predictions: masks in colours, overlays, and sheets of image, truth, prediction and error."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.images import write_atomically
from ..data.sample import IGNORE

__all__ = ["Row", "data_sheet", "error_picture", "overlay", "palette", "prediction_sheet", "write_mask"]

Picture = npt.NDArray[np.float32]
Mask = npt.NDArray[np.int64]

MISSED, EXTRA, WRONG = (0.16, 0.45, 1.0), (1.0, 0.27, 0.16), (1.0, 0.27, 0.9)
PAPER, INK = (255, 255, 255), (40, 40, 40)
GAP, LINE = 8, 20  # pixels


@dataclass(frozen=True)
class Row:
    """One image of a sheet. **Shapes** image (C, H, W) in [0, 1]; truth and prediction (H, W) classes, 255 ignored."""

    image: Picture
    truth: Mask
    prediction: Mask
    caption: str = ""


def palette() -> npt.NDArray[np.uint8]:
    """The colours of Pascal VOC for classes 0 to 255: three bits of the class a round, into the high bits of R, G, B.

    **Shapes** (256, 3). Black for 0, dark red for 1.
    """
    classes = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for round_ in range(8):
        for channel in range(3):
            colours[:, channel] |= ((classes >> (3 * round_ + channel)) & 1) << (7 - round_)
    return colours.astype(np.uint8)


def coloured(mask: Mask) -> Picture:
    """A mask in the palette's colours. **Shapes** (H, W) -> (3, H, W) in [0, 1]."""
    colours = palette()[mask].astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(colours.transpose(2, 0, 1))


def overlay(image: Picture, mask: Mask, alpha: float = 0.5) -> Picture:
    """The image with the mask's colours over it, except where it is background (0) or ignored (255)."""
    rgb = _rgb(image)
    shown = (mask != 0) & (mask != IGNORE)
    mixed: Picture = np.where(shown, (1 - alpha) * rgb + alpha * coloured(mask), rgb).astype(np.float32)
    return mixed


def error_picture(row: Row) -> Picture:
    """The image pale and grey; blue where a class was missed, red where there is none, pink for a mix-up."""
    picture = _pale(row.image)
    wrong = (row.truth != row.prediction) & (row.truth != IGNORE)
    kinds = ((row.prediction == 0, MISSED), (row.truth == 0, EXTRA), ((row.prediction != 0) & (row.truth != 0), WRONG))
    for where, colour in kinds:
        picture[:, wrong & where] = np.array(colour, np.float32)[:, None]
    return picture


def _pale(image: Picture) -> Picture:
    grey = 0.55 + 0.4 * image.mean(0, keepdims=True)
    return np.repeat(grey, 3, axis=0).astype(np.float32)


def write_mask(path: str | os.PathLike[str], mask: Mask) -> None:
    """Write a mask as a palette PNG: it holds the class numbers, and every viewer shows them in colours.

    **Raises** DataError if the file cannot be written.
    """
    from PIL import Image

    picture = Image.fromarray(mask.astype(np.uint8))
    picture.putpalette(palette().tobytes())  # 'L' becomes 'P', its values stay
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())


# --- Sheets ---


def prediction_sheet(rows: Sequence[Row], side: int = 176, across: int = 2) -> npt.NDArray[np.float32]:
    """Images with their truth, prediction and error side by side, `across` samples in a line of the sheet.

    `side` is the height of a picture in the sheet, in pixels. **Shapes** (3, H, W) in [0, 1].
    """
    titles = ("image", "truth", "prediction", "error: blue missed, red extra")
    cells = [[_scaled(picture, side) for picture in _judged(row)] for row in rows]
    return _sheet(cells, titles, [row.caption for row in rows], side, min(across, len(rows)))


def _judged(row: Row) -> tuple[Picture, ...]:
    truth, prediction = _stencil(row.image, row.truth), _stencil(row.image, row.prediction)
    return row.image, truth, prediction, error_picture(row)


def data_sheet(
    samples: Iterable[tuple[Picture, Mask, str]], side: int = 176, across: int = 4
) -> npt.NDArray[np.float32]:
    """Images of a data set beside their masks, with captions; one at a time is in memory. **Shapes** (3, H, W)."""
    cells, captions = [], []
    for image, mask, caption in samples:
        cells.append([_scaled(image, side), _scaled(_stencil(image, mask), side)])
        captions.append(caption)
    return _sheet(cells, ("image", "mask"), captions, side, min(across, len(cells)))


def _stencil(image: Picture, mask: Mask) -> Picture:
    """The mask on a pale grey image: its shape can be read whatever the colours of the image are."""
    return overlay(_pale(image), mask, alpha=0.8)


def _sheet(
    pictures: Sequence[Sequence[Any]], titles: Sequence[str], captions: Sequence[str], side: int, across: int
) -> npt.NDArray[np.float32]:
    from PIL import Image, ImageDraw

    width = max(picture.width for row in pictures for picture in row)  # of a column
    block = len(titles) * (width + GAP) + 2 * GAP
    lines = -(-len(pictures) // across)
    sheet = Image.new("RGB", (across * block + GAP, 2 * GAP + LINE + lines * (side + LINE + GAP)), PAPER)
    draw, font = ImageDraw.Draw(sheet), _font()
    for k in range(across):
        for i, title in enumerate(titles):
            draw.text((GAP + k * block + i * (width + GAP), GAP), title, INK, font)
    for n, row in enumerate(pictures):
        x, y = GAP + n % across * block, 2 * GAP + LINE + n // across * (side + LINE + GAP)
        for i, picture in enumerate(row):
            sheet.paste(picture, (x + i * (width + GAP), y))
        draw.text((x, y + side + 2), _fitting(draw, captions[n], block - 3 * GAP, font), (120, 120, 120), font)
    return np.asarray(sheet, np.float32).transpose(2, 0, 1) / np.float32(255)


def _scaled(picture: Picture, side: int) -> Any:
    """A Pillow image `side` pixels high: small ones in whole pixels, so that they stay sharp, large ones smoothed."""
    from PIL import Image

    pixels = np.rint(np.clip(_rgb(picture), 0, 1).transpose(1, 2, 0) * 255).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    width = max(1, min(round(image.width * side / image.height), 2 * side))
    how = Image.Resampling.NEAREST if image.height < side else Image.Resampling.LANCZOS
    return image.resize((width, side), how)


def _rgb(image: Picture) -> Picture:
    return np.repeat(image, 3, axis=0) if len(image) == 1 else image


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size=13)


def _fitting(draw: Any, text: str, width: int, font: Any) -> str:
    """The text, cut to `width` pixels."""
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "...", font=font) > width:
        text = text[:-1]
    return text + "..."
