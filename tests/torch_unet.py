"""The reference U-Net in PyTorch, written from the same published description, and weights carried between the two."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class DoubleConv(nn.Module):
    def __init__(self, cin: int, cout: int, mid: int | None = None) -> None:
        super().__init__()
        mid = mid or cout
        layers: list[nn.Module] = []
        for a, b in ((cin, mid), (mid, cout)):
            layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.double_conv = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(cin, cout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, cin: int, cout: int, bilinear: bool) -> None:
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        else:
            self.up = nn.ConvTranspose2d(cin, cin // 2, kernel_size=2, stride=2)
        self.conv = DoubleConv(cin, cout, cin // 2 if bilinear else None)

    def forward(self, low: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        low = self.up(low)
        dy, dx = skip.size(2) - low.size(2), skip.size(3) - low.size(3)
        low = F.pad(low, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat((skip, low), dim=1))


class OutConv(nn.Module):
    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class TorchUNet(nn.Module):
    def __init__(self, cin: int, classes: int, bilinear: bool = False, width: int = 64) -> None:
        super().__init__()
        f = 1 + bilinear
        self.inc = DoubleConv(cin, width)
        for i in range(1, 5):
            last = i == 4
            setattr(self, f"down{i}", Down(width << (i - 1), (width << i) // (f if last else 1)))
        for i in range(1, 5):
            last = i == 4
            setattr(self, f"up{i}", Up(width << (5 - i), (width << (4 - i)) // (1 if last else f), bilinear))
        self.outc = OutConv(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [self.inc(x)]
        for i in range(1, 5):
            maps.append(getattr(self, f"down{i}")(maps[-1]))
        y = maps.pop()
        for i in range(1, 5):
            y = getattr(self, f"up{i}")(y, maps.pop())
        return self.outc(y)


def smooth_torch(model: nn.Module) -> nn.Module:
    """SiLU for ReLU and average for max pooling: without kinks, rounding is not amplified."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(parent, name, nn.SiLU())
            elif isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(2))
    return model
