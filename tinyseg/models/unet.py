"""U-Net: the form in common use (padded, batch-normalised, any size) and the one of the 2015 paper (valid, mirrored).

Both halve the image `width` -> 16·`width` channels down and come back up; at each step up the map of the same scale
from the way down is joined to it, so that the output knows both what is there and exactly where.

**Source** Ronneberger, Fischer & Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015; the key
names and parameter counts of `UNet` are those of the widely used PyTorch implementation by milesial.
"""

from __future__ import annotations

import numpy as np

from .. import nn
from ..engine import Tensor
from ..errors import ArgumentError, ShapeError
from ..nn import functional as F
from ..ops.shape import cat

__all__ = ["UNet", "UNet2015", "weight_map"]


class DoubleConv(nn.Module):
    """(3x3 convolution, batch norm, ReLU) twice; the bias is batch norm's."""

    def __init__(self, in_channels: int, out_channels: int, mid_channels: int | None = None) -> None:
        super().__init__()
        mid = mid_channels or out_channels
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, mid, 3, padding=1, bias=False),
            nn.BatchNorm2d(mid),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.double_conv(x)


class Down(nn.Module):
    """Half the size, then DoubleConv."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.maxpool_conv(x)


class Up(nn.Module):
    """Twice the size, padded to the skip's, joined to it, then DoubleConv."""

    def __init__(self, in_channels: int, out_channels: int, bilinear: bool) -> None:
        super().__init__()
        self.up: nn.Module
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(in_channels, out_channels, in_channels // 2)
        else:
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
            self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)
        rows, columns = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]  # 1 where pooling dropped an odd row
        if rows or columns:
            x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return self.conv(cat([skip, x], 1))


class OutConv(nn.Module):
    """1x1 convolution to class scores."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class UNet(nn.Module):
    """The padded U-Net: scores of the input's size, for any height and width of at least 16 pixels.

    `bilinear` upsamples by interpolation (align_corners) instead of a transposed convolution, with half the channels
    at the bottom. `width` is the number of channels at full size: 64 gives 31,037,698 parameters for (3, 2), or
    17,263,042 bilinear; they grow with its square.

    **Shapes** (N, n_channels, H, W) -> (N, n_classes, H, W). **Raises** ShapeError.
    """

    def __init__(self, n_channels: int, n_classes: int, bilinear: bool = False, width: int = 64) -> None:
        super().__init__()
        if min(n_channels, n_classes) < 1 or width < 2 or width % 2:
            raise ArgumentError(
                "UNet: n_channels and n_classes must be positive and width even, "
                f"got {n_channels}, {n_classes} and {width}"
            )
        self.n_channels, self.n_classes, self.bilinear, self.width = n_channels, n_classes, bilinear, width
        c, factor = width, 2 if bilinear else 1
        self.inc = DoubleConv(n_channels, c)
        self.down1 = Down(c, 2 * c)
        self.down2 = Down(2 * c, 4 * c)
        self.down3 = Down(4 * c, 8 * c)
        self.down4 = Down(8 * c, 16 * c // factor)
        self.up1 = Up(16 * c, 8 * c // factor, bilinear)
        self.up2 = Up(8 * c, 4 * c // factor, bilinear)
        self.up3 = Up(4 * c, 2 * c // factor, bilinear)
        self.up4 = Up(2 * c, c, bilinear)
        self.outc = OutConv(c, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.n_channels or min(x.shape[2:]) < 16:
            raise ShapeError(
                f"UNet: input must be (N, {self.n_channels}, H, W) with H and W at least 16 (it is halved four times), "
                f"got shape {x.shape}"
            )
        x1 = self.inc(x)  # (N, width, H, W)
        x2 = self.down1(x1)  # (N, 2 width, H/2, W/2)
        x3 = self.down2(x2)
        x4 = self.down3(x3)
        x = self.down4(x4)  # (N, 16 width, H/16, W/16)
        x = self.up1(x, x4)
        x = self.up2(x, x3)
        x = self.up3(x, x2)
        x = self.up4(x, x1)
        return self.outc(x)


def _valid_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """(3x3 valid convolution, ReLU) twice: 4 pixels smaller each way."""
    convs = nn.Conv2d(in_channels, out_channels, 3), nn.Conv2d(out_channels, out_channels, 3)
    for conv in convs:
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # std sqrt(2 / N), N inputs of a unit
    return nn.Sequential(convs[0], nn.ReLU(inplace=True), convs[1], nn.ReLU(inplace=True))


class UNet2015(nn.Module):
    """The paper's own form: valid convolutions, so that every output pixel has seen real image only, no padding.

    An input of n pixels gives n - 184: 572 -> 388. n - 4 must halve evenly at each of the four poolings
    (`output_size` tells). Use `overlap_tile` with margin 92 for images of any size; the border is mirrored.
    31,030,658 parameters for (1, 2) at width 64.

    **Shapes** (N, in_channels, H, W) -> (N, n_classes, H - 184, W - 184). **Raises** ShapeError.
    """

    margin = 92

    def __init__(self, in_channels: int = 1, n_classes: int = 2, width: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        self.in_channels, self.n_classes, self.width = in_channels, n_classes, width
        widths = [width * 2**i for i in range(5)]
        before = [in_channels, *widths[:-1]]
        self.down = nn.ModuleList([_valid_block(a, b) for a, b in zip(before, widths, strict=True)])
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)  # at the end of the contracting path
        self.up = nn.ModuleList([nn.ConvTranspose2d(b, b // 2, 2, stride=2) for b in reversed(widths[1:])])
        self.conv = nn.ModuleList([_valid_block(b, b // 2) for b in reversed(widths[1:])])
        self.out = nn.Conv2d(width, n_classes, 1)

    @staticmethod
    def output_size(n: int) -> int | None:
        """Output pixels for `n` input pixels along one axis, or None if `n` does not fit."""
        sizes = [n]
        for _ in range(4):
            sizes.append(sizes[-1] - 4)
            if sizes[-1] < 2 or sizes[-1] % 2:
                return None
            sizes[-1] //= 2
        out = (sizes[-1] - 4) * 16 - 60  # four times: double, then lose 4
        return out if sizes[-1] > 4 and out > 0 else None

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.in_channels or None in [self.output_size(n) for n in x.shape[2:]]:
            raise ShapeError(
                f"UNet2015: input must be (N, {self.in_channels}, H, W) with sizes such as 188, 204, ..., 572 "
                f"(16 k + 12), got shape {x.shape}"
            )
        skips: list[Tensor] = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else self.pool(x))
            if i >= 3:
                x = self.dropout(x)
            skips.append(x)
        x = skips.pop()
        for up, block in zip(self.up, self.conv, strict=True):
            x = up(x)
            x = block(cat([_centre_crop(skips.pop(), x.shape[2], x.shape[3]), x], 1))
        return self.out(x)


def _centre_crop(x: Tensor, height: int, width: int) -> Tensor:
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]


def weight_map(labels: np.ndarray, w0: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    """Loss weight of each pixel: w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))² / 2σ²), high in the gaps between cells.

    d1 and d2 are the distances (pixels) to the nearest and second-nearest cell; w_c makes background and cells weigh
    the same in all. With fewer than two cells there is no gap and only w_c is left.

    **Shapes** labels (H, W), 0 = background, k = cell k; the map (H, W) float32. **Source** the paper, equation 2.
    """
    from scipy.ndimage import distance_transform_edt

    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ShapeError(f"weight_map: labels must be (H, W) integers, got shape {labels.shape} of {labels.dtype}")
    cells = labels != 0
    share = cells.mean() if labels.size else 0.0
    balance = np.where(cells, 0.5 / share, 0.5 / (1 - share)) if 0 < share < 1 else np.ones(labels.shape)
    numbers = np.unique(labels[cells])
    nearest = np.full((2, *labels.shape), np.inf)
    for number in numbers:
        distance = distance_transform_edt(labels != number)
        nearest[1] = np.minimum(nearest[1], np.maximum(nearest[0], distance))
        nearest[0] = np.minimum(nearest[0], distance)
    gap = w0 * np.exp(-(nearest.sum(axis=0) ** 2) / (2 * sigma**2))
    return (balance + gap).astype(np.float32)
