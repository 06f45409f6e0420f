"""What every test module shares: thread counts, hypothesis without deadlines or chance, seeded generators."""

from __future__ import annotations

import os

# Before NumPy, numba and PyTorch are imported: each xdist worker takes its share of the cores and no more. Numba keeps
# two threads at least, so that what depends on the thread count can be tested; its idle threads sleep.
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_share = max(1, (os.cpu_count() or 1) // _workers)
for _pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_pool, str(_share if _workers == 1 else 1))
os.environ.setdefault("NUMBA_NUM_THREADS", str(max(2, _share)))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a thread that spins takes the core of the one it waits for
os.environ.setdefault("MPLBACKEND", "agg")

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# The first example may wait for a kernel to compile: neither a deadline nor "too slow" means anything here.
settings.register_profile(
    "tinyseg", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tinyseg")


@pytest.fixture(autouse=True)
def _seeded():
    """Each test starts from the same random state, whichever ran before it on the same worker."""
    import numpy as np

    from tinyseg import random

    random.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (third-party code may still use it)
