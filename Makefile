# `make demo` and `make test` are the two commands: each creates .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/demo

.PHONY: help demo picture test gates lint bench coverage clean
help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[test,dev]'
	touch $@ $(VENV)/.test $(VENV)/.installed

demo: $(VENV)/.installed  ## train a U-Net on generated chairs, evaluate it on 200 unseen ones, draw the results
	$(BIN)/tinyseg demo --out $(RUN)

picture: $(RUN)/evaluation.png  ## the README's picture, from the demo's (256 colours)
	$(BIN)/python -c "from PIL import Image; Image.open('$<').quantize(256, dither=0).save('docs/demo.png', optimize=True)"

test: $(VENV)/.test  ## run the test suite on all cores
	$(BIN)/python -m pytest -n auto

GATES := tests/test_nvrtc.py tests/test_launch_cupy.py tests/test_cases*.py tests/test_emul*.py tests/test_kernels_cuda_*.py tests/test_kernels_scatter.py tests/test_kernels_response.py
gates: $(VENV)/.test  ## what proves the CUDA kernels without a GPU: the tests to run when one has changed
	TINYSEG_TEST_DEVICES=emulated $(BIN)/python -m pytest -n auto $(GATES) --deselect tests/test_cases.py::test_gradcheck

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test  ## time the kernels beside PyTorch's
	$(BIN)/python -m benchmarks

coverage: $(VENV)/.test  ## line coverage, numba kernels counted with the JIT off
	$(BIN)/python -m tests.coverage

clean:  ## remove the environment, caches and runs
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
