"""Chairs: the data set that comes with the project, rendered on demand.

The recipe of Chair Segments (Pinto-Alva et al.: chairs composited over scenes) with geometry instead of photographs.
Read it in the order of the work: `kinds` builds a chair from `parts` and `backs`, which are `solids` with `materials`;
`furniture` and `room` surround it; `compose` arranges a scene and places camera and light; `raster` draws it with
`intersect` and `texture`; `captions` describes it; `dataset` makes samples of all that.
"""

from tinyseg.data.chairs.dataset import Chairs

__all__ = ["Chairs"]
