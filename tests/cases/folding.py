"""Windows as columns and back, channels as pixels and back."""

from __future__ import annotations

from typing import Any

from .case import functional, normal


def fold_rows() -> None:
    """Unfold and fold over geometry, unbatched and empty."""
    geometries: dict[str, dict[str, Any]] = {
        "plain": {"kernel_size": 2},
        "pair": {"kernel_size": (3, 2)},
        "stride": {"kernel_size": 2, "stride": (2, 3)},
        "apart": {"kernel_size": 2, "stride": 3},
        "padding": {"kernel_size": 3, "padding": (1, 2)},
        "dilation": {"kernel_size": 2, "dilation": (2, 3)},
        "everything": {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 2), "stride": (2, 1)},
        "the whole plane": {"kernel_size": (6, 5)},
    }
    for label, kwargs in geometries.items():
        functional("unfold", label, normal(2, 3, 6, 5), **kwargs)
        window, stride, padding, dilation = (
            value if isinstance(value := kwargs.get(name, default), tuple) else (value, value)
            for name, default in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1))
        )
        axes = zip((6, 5), window, stride, padding, dilation, strict=True)
        rows, columns = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
        shape = (2, 3 * window[0] * window[1], rows * columns)
        functional("fold", label, normal(*shape), output_size=(6, 5), **kwargs)
    functional("unfold", "unbatched", normal(3, 6, 5), args=((2, 3),))
    functional("unfold", "empty batch", normal(0, 3, 6, 5), args=(2,))
    functional("unfold", "positional", normal(1, 2, 6, 5), args=(2, 2, 1, 3))
    functional("fold", "unbatched", normal(8, 6), args=((3, 4), 2))
    functional("fold", "empty batch", normal(0, 8, 6), args=((3, 4), 2))
    functional("fold", "positional", normal(1, 8, 12), args=((6, 5), 2, 1, 1, 2))


def shuffle_rows() -> None:
    """Pixel and channel shuffles. PyTorch gives empty batches the wrong shape; the properties cover ours."""
    functional("pixel_shuffle", "2", normal(2, 8, 3, 2), args=(2,))
    functional("pixel_shuffle", "3", normal(9, 2, 3), args=(3,))
    functional("pixel_shuffle", "more axes", normal(2, 3, 4, 1, 2), args=(2,))
    functional("pixel_shuffle", "1", normal(1, 2, 3, 3), args=(1,))
    functional("pixel_unshuffle", "2", normal(2, 3, 4, 6), args=(2,))
    functional("pixel_unshuffle", "3", normal(1, 6, 3), args=(3,))
    functional("pixel_unshuffle", "more axes", normal(2, 2, 3, 2, 4), args=(2,))
    functional("channel_shuffle", "2", normal(2, 6, 3, 2), args=(2,))
    functional("channel_shuffle", "3, three axes", normal(2, 6, 5), args=(3,))
    functional("channel_shuffle", "1", normal(1, 4, 2, 2), args=(1,))


fold_rows()
shuffle_rows()
