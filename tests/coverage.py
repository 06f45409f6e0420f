"""Line coverage of tinyseg/ and kernels/: `python -m tests.coverage`.

Compiled code leaves no trace for the coverage tool, so the kernel tests run a second time as plain Python.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def run(*arguments: str, **environment: str) -> None:
    subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, env={**os.environ, **environment}, check=True)


def main() -> None:
    cov = ("--cov=tinyseg", "--cov-report=")
    run("pytest", "-n", "auto", *cov, COVERAGE_FILE=".coverage.compiled")
    kernels = sorted(str(p) for p in (ROOT / "tests").glob("test_kernels_*.py"))
    chairs = str(ROOT / "tests" / "test_chairs.py")
    plain = {"COVERAGE_FILE": ".coverage.plain", "NUMBA_DISABLE_JIT": "1"}
    run("pytest", *cov, *kernels, chairs, **plain)
    run("coverage", "combine", "--keep", ".coverage.compiled", ".coverage.plain")
    run("coverage", "report", "--skip-covered", "--sort=miss", "--fail-under=95")


if __name__ == "__main__":
    main()
