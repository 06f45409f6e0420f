"""Batches in an order, and with an augmentation, that depend on (seed, epoch, index) alone.

A batch is the same whichever thread makes it, however many there are, and wherever a run resumes. Workers are
threads: the generated chairs, Pillow and SciPy work without the GIL, and nothing is copied between processes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tinyseg.errors import ArgumentError, DataError, ShapeError
from tinyseg.random import generator

from .sample import Sample
from .transforms import Transform

__all__ = ["Batch", "Dataset", "Loader", "Subset", "split"]

# The last word of a generator's key. SeedSequence pads keys with zeros: (seed, epoch), (seed, epoch, 0) and
# (seed, epoch, 0, 0) are one stream. Without a word of their own, shuffling, augmentation and a generated data
# set with keys of the same form would draw the same numbers.
AUGMENT, SHUFFLE, SPLIT = 1, 2, 3


class Dataset(Protocol):
    """What a loader needs: a length and samples by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


@dataclass(frozen=True)
class Batch:
    """Samples side by side: images (N, C, H, W) float32, masks (N, H, W) int64, and the samples."""

    images: npt.NDArray[np.float32]
    masks: npt.NDArray[np.int64]
    samples: list[Sample]

    def __len__(self) -> int:
        return len(self.samples)


class Loader:
    """Batches of `batch_size` samples of a data set, epoch after epoch.

    `shuffle` draws a new order each epoch. `transform(sample, rng)` gets a generator that depends on (seed,
    epoch, index) alone. `workers` threads work ahead (0: none, each batch is made when asked for), each at
    one batch, and at most `prefetch` batches wait beside those. `drop_last` leaves out a last batch that is
    not full. `for batch in loader` goes through epoch 0, the next loop through epoch 1, ...; `epoch(n,
    start)` through any.

    **Raises** ArgumentError for counts out of range, or no full batch with `drop_last`; DataError for an
    empty data set; in the loop, ShapeError for samples of unequal size, and what the data set or the
    transform raises.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 0,
        prefetch: int = 2,
        transform: Transform | None = None,
        drop_last: bool = False,
    ) -> None:
        _at_least(1, batch_size=batch_size)
        _at_least(0, seed=seed, workers=workers, prefetch=prefetch)
        if len(dataset) == 0:
            raise DataError("Loader: dataset is empty, expected at least one sample: check its path")
        if drop_last and len(dataset) < batch_size:
            size = f"{len(dataset)} samples make no full batch of {batch_size}"
            raise ArgumentError(f"Loader: {size}, expected drop_last=False or a smaller batch_size")
        self.dataset, self.batch_size, self.shuffle, self.seed = dataset, batch_size, shuffle, seed
        self.workers, self.prefetch, self.transform, self.drop_last = workers, prefetch, transform, drop_last
        self._next_epoch = 0

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        self._next_epoch += 1
        return self.epoch(self._next_epoch - 1)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on, the same bits as in a run that started at 0.

        **Raises** ArgumentError unless 0 <= start <= len(loader).
        """
        _at_least(0, epoch=epoch, start=start)
        if start > len(self):
            raise ArgumentError(f"Loader.epoch: start is {start}, expected 0 to {len(self)}, the number of batches")
        batches = self._batches(epoch)[start:]
        return self._made_ahead(epoch, batches) if self.workers else self._made_here(epoch, batches)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """The indices of an epoch's samples in their order. **Shapes** (len(dataset),)."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return generator(self.seed, epoch, 0, SHUFFLE).permutation(len(self.dataset))

    def _batches(self, epoch: int) -> list[list[int]]:
        order = self.order(epoch).tolist()
        return [order[k * self.batch_size : (k + 1) * self.batch_size] for k in range(len(self))]

    def _made_here(self, epoch: int, batches: list[list[int]]) -> Iterator[Batch]:
        never = threading.Event()
        for indices in batches:
            yield self._batch(epoch, indices, never)

    def _made_ahead(self, epoch: int, batches: list[list[int]]) -> Iterator[Batch]:
        """Batches from threads, in order; however the loop ends, the threads do within one sample's time."""
        waiting: deque[Future[Batch]] = deque()
        stop = threading.Event()
        pool = ThreadPoolExecutor(self.workers, "tinyseg-loader")
        try:
            for indices in batches:
                waiting.append(pool.submit(self._batch, epoch, indices, stop))
                if len(waiting) >= self.workers + self.prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _batch(self, epoch: int, indices: list[int], stop: threading.Event) -> Batch:
        samples = []
        for index in indices:
            if stop.is_set():
                raise CancelledError  # nobody waits for this batch any more
            samples.append(self._sample(epoch, index))
        return collate(samples)

    def _sample(self, epoch: int, index: int) -> Sample:
        sample = self.dataset[index]
        if self.transform is None:
            return sample
        return self.transform(sample, generator(self.seed, epoch, index, AUGMENT))


def collate(samples: list[Sample]) -> Batch:
    """Stack samples of one size into a batch; ShapeError naming two samples that differ."""
    for sample in samples:
        _check_sizes(sample, samples[0])
    images = np.stack([sample.image for sample in samples]).astype(np.float32, copy=False)
    masks = np.stack([sample.mask for sample in samples]).astype(np.int64, copy=False)
    return Batch(images, masks, samples)


def _check_sizes(sample: Sample, first: Sample) -> None:
    image, mask = sample.image.shape, sample.mask.shape
    if image != first.image.shape:
        raise ShapeError(
            f"Loader: sample {sample.name!r} is {image} and {first.name!r} {first.image.shape} (C, H, W), "
            "expected one size in a batch: resize them (size=), crop them (RandomCrop), or use batch_size=1"
        )
    if image[1:] != mask:
        raise ShapeError(f"Loader: sample {sample.name!r} has mask {mask}, expected {image[1:]} as its image {image}")


def _at_least(least: int, **arguments: int) -> None:
    for name, value in arguments.items():
        if not isinstance(value, int | np.integer) or value < least:
            raise ArgumentError(f"Loader: {name} is {value!r}, expected an integer of at least {least}")


class Subset:
    """The samples of a data set at `indices`, in that order, with the whole's `classes` and `channels`."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, tuple(indices)
        self.classes: tuple[str, ...] = getattr(dataset, "classes", ())
        self.channels: int | None = getattr(dataset, "channels", None)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]


def split(dataset: Dataset, fraction: float = 0.1, seed: int = 0) -> tuple[Subset, Subset]:
    """Two disjoint parts of a data set, to train and to validate; the second is a random `fraction` of it.

    **Raises** ArgumentError if one of the parts would be empty.
    """
    count = round(len(dataset) * fraction)
    if not 0 < count < len(dataset):
        sizes = f"{len(dataset)} samples leaves a part empty"
        raise ArgumentError(f"split: fraction {fraction!r} of {sizes}, expected 0 < fraction < 1 and more samples")
    order = generator(seed, 0, 0, SPLIT).permutation(len(dataset))
    return Subset(dataset, sorted(order[count:].tolist())), Subset(dataset, sorted(order[:count].tolist()))
