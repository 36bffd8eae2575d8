# Everything runs in .venv, which the first call makes; a second call skips what is done.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check

.PHONY: demo test test-slow bench lint docs clean

demo: .venv/.installed
	@echo "== searching for an update rule on real data (about two minutes)"
	@rm -rf runs/demo
	$(BIN)/rulesmith discover symbolic --preset demo --out runs/demo
	@echo "== exporting it, and training another network with the file alone"
	$(BIN)/rulesmith export runs/demo -o runs/demo/found.py
	$(BIN)/python benchmarks/try_export.py runs/demo/found.py

test: .venv/.tested lint
	@echo "== tests"
	$(BIN)/python -m pytest -q -n 2

# All of it takes some hours; a part, as in `make test-slow PARTS=tests/slow/test_kills.py`, less than one.
PARTS ?= tests
test-slow: .venv/.tested
	$(BIN)/python -m pytest -q -m slow --durations 20 $(PARTS)

bench: .venv/.installed
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/rl.py

lint: .venv/.tested
	@echo "== ruff and basedpyright"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

docs: .venv/.tested
	@echo "== building the site in build/site"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open build/site/index.html"

.venv/bin/python:
	@echo "== making .venv"
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml requirements.lock
	@echo "== installing rulesmith (from PyPI, at the locked versions)"
	$(PIP) --require-virtualenv -r requirements.lock
	$(PIP) --no-deps -e .
	@touch $@

# PyTorch for CPUs: on Linux its own index has it (or pip's --find-links); from PyPI would come gigabytes of CUDA.
TORCH := torch==2.13.0$(if $(filter Linux,$(shell uname)),+cpu)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.venv/.tested: .venv/.installed
	@echo "== installing what tests need"
	$(PIP) --retries 1 --constraint requirements.lock --extra-index-url $(TORCH_INDEX) $(TORCH)
	$(PIP) --constraint requirements.lock -e '.[test]'
	@touch $@

clean:
	rm -rf .venv runs build *.egg-info
