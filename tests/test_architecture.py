"""The rules of the house that a program can check: who imports whom, how long things are, what is documented."""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted(
    p for p in [*ROOT.glob("tinyseg/**/*.py"), *ROOT.glob("kernels/**/*.py")] if "tinyseg/kernels" not in str(p)
)
LONGEST_FILE, LONGEST_FUNCTION = 500, 50

# Each layer may import itself and those before it. A file that is named stands in the layer of its name.
LAYERS = [
    {"errors", "kernels", "spelling", "backends"},
    {"devices", "random", "anomaly", "cuda"},
    {"engine", "casting", "hooks", "backward", "gradcheck", "recompute", "autograd"},
    {"ops", "creation", "exchange", "dtypes", "linalg"},
    {"operators"},
    {"nn", "torchfile", "weights"},
    {"optim", "amp", "data", "utils"},
    {"models", "detection", "diffusion"},
    {"train"},
    {"cli", "__main__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def name_of(path):
    return str(path.relative_to(ROOT))


def part_of(path):
    """The layer's name of a file: the folder or module right below tinyseg/, or kernels."""
    parts = path.relative_to(ROOT).parts
    return "kernels" if parts[0] == "kernels" else parts[1].removesuffix(".py")


def imports_of(path):
    """(line, absolute module name, whether it is imported when the file is) of every import."""
    tree = ast.parse(path.read_text())
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    package = (["tinyseg", *parts] if parts[0] == "kernels" else parts)[:-1]
    inner = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, id(node) not in inner) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}", id(node) not in inner


def functions_of(path):
    return [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_there_is_something_to_check():
    assert len(FILES) > 40
    assert {"engine", "ops", "kernels"} <= {part_of(p) for p in FILES}
    assert "tinyseg.kernels.conv2d" in {m for _, m, _ in imports_of(ROOT / "tinyseg/ops/conv.py")}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_one_way(path):
    part = part_of(path)
    if part == "__init__":  # tinyseg's face imports all it offers
        return
    assert part in RANK, f"{part} stands in no layer: add it to LAYERS"
    for line, module, at_import in imports_of(path):
        names = module.split(".")
        if names[0] == "tinyseg" and len(names) > 1 and names[1] in RANK and at_import:
            assert RANK[names[1]] <= RANK[part], f"{name_of(path)}:{line} imports {module}, which stands above it"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_forbidden_imports(path):
    for line, module, at_import in imports_of(path):
        place = f"{name_of(path)}:{line} imports {module}"
        top = module.split(".")[0]
        assert top not in ("torch", "torchvision", "tests", "benchmarks"), place
        if top in ("cupy", "cupyx"):
            assert part_of(path) in ("devices", "kernels"), place
            assert not at_import or path.name == "cuda.py", place
        if top in ("matplotlib", "scipy"):
            assert not at_import or path.name.startswith("cpu"), f"{place} when it is itself imported"
        if top == "numba" and part_of(path) not in ("kernels", "data"):
            assert not at_import, f"{place} when it is itself imported"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_number_of_threads_comes_from_one_place(path):
    """numba's own number belongs to a Python thread: a plan made by it would not fit what the launch uses."""
    used = re.search(r"numba\.[sg]et_num_threads", path.read_text())
    assert not used or name_of(path) == "kernels/jit.py", f"{name_of(path)}: take it from kernels/jit.py"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_short(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST_FILE, f"{name_of(path)} has {lines} lines"
    for f in functions_of(path):
        length = (f.end_lineno or f.lineno) - f.lineno + 1
        assert length <= LONGEST_FUNCTION, f"{name_of(path)}:{f.lineno} {f.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_is_public_is_documented(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{name_of(path)} has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name_of(path)}:{node.lineno} {node.name} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_left_undone(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError", line), (
            f"{name_of(path)}:{number}: {line}"
        )


def test_the_median_function_is_short():
    lengths = sorted((f.end_lineno or f.lineno) - f.lineno + 1 for p in FILES for f in functions_of(p))
    assert lengths[len(lengths) // 2] <= 10


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    return done.stdout.strip()


def test_import_is_fast_and_light():
    heavy = "numba", "matplotlib", "cupy", "scipy", "torch", "PIL", "typer", "rich", "safetensors", "threadpoolctl"
    loaded = run(f"import sys, tinyseg; print([m for m in {heavy} if m in sys.modules])")
    assert loaded == "[]"
    # Beside NumPy's own import in the same process, as the speed of a machine changes; numba would make it 2.6. The
    # median of seven: other programs, and a first run that compiles the sources, do not count.
    measure = """
from time import process_time as now
start = now(); import numpy; between = now(); import tinyseg; end = now()
print((end - between) / (between - start))
"""
    assert sorted(float(run(measure)) for _ in range(7))[3] < 2.2
