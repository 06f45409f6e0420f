"""The loader: order and augmentation depend on (seed, epoch, index) alone, and threads come and go cleanly."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyseg.data.loader import Loader, Subset, split
from tinyseg.data.sample import Sample
from tinyseg.errors import ArgumentError, DataError, ShapeError
from tinyseg.random import generator


class Numbers:
    """Sample k is a 1x2x2 image full of k; it counts how often each was asked for, and can be slow or broken."""

    classes, channels = ("even", "odd"), 1

    def __init__(self, length=10, delay=0.0, broken=None):
        self.length, self.delay, self.broken, self.asked = length, delay, broken, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.asked.append(index)
        time.sleep(self.delay)
        if index == self.broken:
            raise DataError(f"sample {index} is broken")
        return Sample(np.full((1, 2, 2), index, np.float32), np.full((2, 2), index % 2), name=f"n{index}")


def noise(sample, rng):
    return sample.replace(image=sample.image + rng.random((1, 2, 2)).astype(np.float32))


def indices(batches):
    return [[int(sample.name[1:]) for sample in batch.samples] for batch in batches]


def bits(batches):
    return [(batch.images.tobytes(), batch.masks.tobytes()) for batch in batches]


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("tinyseg-loader")]


# --- What is in a batch ---


def test_a_batch_is_its_samples_side_by_side():
    batch = list(Loader(Numbers(), 4))[1]
    assert (batch.images.shape, batch.images.dtype) == ((4, 1, 2, 2), np.float32)
    assert (batch.masks.shape, batch.masks.dtype) == ((4, 2, 2), np.int64)
    assert batch.images.flags.c_contiguous
    assert batch.images[:, 0, 0, 0].tolist() == [4, 5, 6, 7]
    assert batch.masks[:, 0, 0].tolist() == [0, 1, 0, 1]
    assert len(batch) == 4


def test_wider_types_are_brought_to_the_batchs():
    sample = Sample(np.ones((1, 2, 2)), np.ones((2, 2), np.uint8))
    (batch,) = Loader([sample, sample], 2)
    assert (batch.images.dtype, batch.masks.dtype) == (np.float32, np.int64)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(1, 20), st.integers(1, 7), st.booleans(), st.booleans(), st.integers(0, 3))
def test_every_sample_comes_once_in_full_batches(length, size, shuffle, drop_last, workers):
    if drop_last and length < size:
        return
    loader = Loader(Numbers(length), size, shuffle, workers=workers, drop_last=drop_last)
    batches = indices(loader.epoch(3))
    seen = [index for batch in batches for index in batch]
    sizes = [size] * (length // size) + ([length % size] if length % size and not drop_last else [])
    assert [len(batch) for batch in batches] == sizes
    assert len(loader) == len(sizes)
    assert len(set(seen)) == len(seen)
    if not shuffle:
        assert seen == list(range(len(seen)))


# --- Order and randomness ---


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_same_bits_whatever_the_number_of_workers_and_wherever_it_starts(workers):
    def epoch(start=0, workers=workers, prefetch=2):
        loader = Loader(Numbers(23, delay=0.0005), 4, True, 7, workers, prefetch, noise)
        return bits(loader.epoch(2, start))

    whole = epoch(workers=0)
    assert len(whole) == 6
    for start in range(7):
        assert epoch(start) == whole[start:]
    assert epoch(prefetch=0) == whole


def test_starting_late_loads_nothing_of_what_came_before():
    data = Numbers(12)
    list(Loader(data, 4, workers=2).epoch(0, 2))
    assert sorted(data.asked) == [8, 9, 10, 11]


def test_epochs_and_seeds_differ_and_repeat():
    def epoch(seed, number):
        return bits(Loader(Numbers(50), 10, True, seed, transform=noise).epoch(number))

    assert epoch(0, 1) == epoch(0, 1)
    assert epoch(0, 1) != epoch(0, 2)
    assert epoch(0, 1) != epoch(1, 1)


def test_looping_goes_through_the_epochs():
    loader = Loader(Numbers(50), 10, True, transform=noise)
    loops = [bits(loader) for _ in range(3)]
    assert loops == [bits(loader.epoch(k)) for k in range(3)]
    assert loops[0] != loops[1]


def test_shuffling_and_augmentation_draw_from_streams_of_their_own():
    drawn = []

    def transform(sample, rng):
        drawn.append(rng.random())
        return sample

    loader = Loader(Numbers(40), 8, True, 5, transform=transform)
    list(loader.epoch(1))
    assert len(set(drawn)) == 40
    # The keys that a generated data set, or the program, may use for itself: SeedSequence pads them with zeros.
    assert not set(drawn) & {generator(5, 1, k).random() for k in range(40)}
    assert loader.order(1).tolist() != generator(5, 1).permutation(40).tolist()


def test_shuffled_orders_are_even():
    """Each index is as likely in each place: chi-squared over 2,000 epochs of 5, 16 degrees of freedom."""
    loader = Loader(Numbers(5), 1, True)
    counts = np.zeros((5, 5))
    for epoch in range(2000):
        counts[np.arange(5), loader.order(epoch)] += 1
    assert ((counts - 400) ** 2 / 400).sum() < 39.3  # the 99.9 % quantile


# --- Threads ---


def test_workers_load_side_by_side():
    meeting = threading.Barrier(3, timeout=30)  # broken, an error, unless three samples are loaded at a time

    class Met(Numbers):
        def __getitem__(self, index):
            meeting.wait()
            return super().__getitem__(index)

    assert len(list(Loader(Met(12), 1, workers=3))) == 12


def test_prefetching_is_bounded():
    data = Numbers(100)
    batches = Loader(data, 1, workers=2, prefetch=3).epoch(0)
    next(batches)
    time.sleep(0.1)
    assert len(data.asked) <= 2 + 3
    next(batches)
    time.sleep(0.1)
    assert len(data.asked) <= 2 + 3 + 1
    batches.close()
    assert not loader_threads()


def test_without_workers_nothing_is_made_ahead():
    data = Numbers(100)
    next(Loader(data, 4).epoch(0))
    assert data.asked == [0, 1, 2, 3]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_surfaces_where_its_batch_would_have_come(workers):
    batches = Loader(Numbers(20, broken=5), 2, workers=workers).epoch(0)
    assert indices([next(batches), next(batches)]) == [[0, 1], [2, 3]]
    with pytest.raises(DataError, match="sample 5 is broken"):
        next(batches)
    assert not loader_threads()


def test_leaving_the_loop_stops_the_workers_within_a_sample():
    data = Numbers(400, delay=0.02)
    begin = time.perf_counter()
    for _ in Loader(data, 20, workers=2, prefetch=4):
        break
    first = time.perf_counter() - begin
    assert not loader_threads()
    assert len(data.asked) < 60  # the first two batches and what was under way, not the six that were ordered
    assert first < 5


def test_an_exception_in_the_loop_stops_the_workers():
    def run():
        for _ in Loader(Numbers(100, delay=0.002), 4, workers=3):
            raise KeyError("of the caller")

    with pytest.raises(KeyError, match="of the caller"):
        run()
    deadline = time.monotonic() + 5
    while loader_threads() and time.monotonic() < deadline:  # the traceback holds the generator until it is dropped
        time.sleep(0.01)
    assert not loader_threads()


CTRL_C = """
import signal, sys, threading, time
sys.path.insert(0, "tests")
from test_data_loader import Numbers
from tinyseg.data.loader import Loader
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if it is so where the tests were started
threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
try:
    for batch in Loader(Numbers(10**6, delay=0.01), 50, workers=2):
        pass
except KeyboardInterrupt:
    print("interrupted", sum(t.name.startswith("tinyseg-loader") for t in threading.enumerate()))
"""


def test_ctrl_c_ends_the_loop_and_the_threads():
    root = __file__.rpartition("/tests/")[0]
    result = subprocess.run([sys.executable, "-c", CTRL_C], cwd=root, capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.returncode) == ("interrupted 0\n", 0), result.stderr


def test_an_abandoned_iterator_does_not_keep_the_program_alive():
    code = "batches = Loader(Numbers(1000, delay=0.01), 2, workers=2).epoch(0); next(batches); print('done')"
    code = f"{CTRL_C.partition('threading.Timer')[0]}{code}"
    root = __file__.rpartition("/tests/")[0]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.returncode) == ("done\n", 0), result.stderr


# --- Mistakes ---


def test_samples_of_unequal_size_are_named():
    samples = [Sample(np.zeros((3, 4, size)), np.zeros((4, size)), name=f"s{size}") for size in (5, 6)]
    with pytest.raises(ShapeError) as caught:
        list(Loader(samples, 2))
    assert str(caught.value) == (
        "Loader: sample 's6' is (3, 4, 6) and 's5' (3, 4, 5) (C, H, W), expected one size in a batch: "
        "resize them (size=), crop them (RandomCrop), or use batch_size=1"
    )
    assert [batch.images.shape for batch in Loader(samples, 1)] == [(1, 3, 4, 5), (1, 3, 4, 6)]


def test_a_mask_that_does_not_fit_its_image():
    sample = Sample(np.zeros((3, 4, 5)), np.zeros((5, 4)), name="s")
    with pytest.raises(ShapeError, match=r"sample 's' has mask \(5, 4\), expected \(4, 5\) as its image \(3, 4, 5\)"):
        list(Loader([sample], 1))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected an integer of at least 1"),
        ({"batch_size": 2.0}, "batch_size is 2.0"),
        ({"workers": -1}, "workers is -1, expected an integer of at least 0"),
        ({"prefetch": -1}, "prefetch is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"batch_size": 11, "drop_last": True}, "10 samples make no full batch of 11, expected drop_last=False"),
    ],
)
def test_arguments_out_of_range(arguments, reason):
    with pytest.raises(ArgumentError, match=f"Loader: {reason}"):
        Loader(Numbers(), **{"batch_size": 4, **arguments})


def test_epochs_out_of_range_are_refused_at_once():
    loader = Loader(Numbers(), 4)
    with pytest.raises(ArgumentError, match="start is 4, expected 0 to 3, the number of batches"):
        loader.epoch(0, 4)
    with pytest.raises(ArgumentError, match="epoch is -1"):
        loader.epoch(-1)


def test_an_empty_data_set_is_refused():
    with pytest.raises(DataError, match="Loader: dataset is empty"):
        Loader([], 1)


# --- Parts of a data set ---


def test_subset():
    part = Subset(Numbers(), [7, 3])
    assert [sample.name for sample in part] == ["n7", "n3"]
    assert (len(part), part.classes, part.channels) == (2, ("even", "odd"), 1)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 5))
def test_split_parts_are_disjoint_and_complete(length, fraction, seed):
    count = round(length * fraction)
    if not 0 < count < length:
        return
    train, val = split(Numbers(length), fraction, seed)
    assert len(val) == count
    assert sorted(train.indices + val.indices) == list(range(length))
    assert split(Numbers(length), fraction, seed)[1].indices == val.indices


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.01, -1.0])
def test_split_with_an_empty_part(fraction):
    with pytest.raises(ArgumentError, match=r"split: fraction .* of 10 samples leaves a part empty"):
        split(Numbers(10), fraction)
