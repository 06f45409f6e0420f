"""One paper, one file."""

from .tiling import overlap_tile
from .unet import UNet, UNet2015, weight_map

__all__ = ["UNet", "UNet2015", "overlap_tile", "weight_map"]
