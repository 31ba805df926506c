# What a user types: make setup | demo | test | test-all | lint | bench | stress | docs
PYTHON ?= python3
EXTRAS ?= dev
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
PYTEST = $(BIN)/python -m pytest --numprocesses auto --dist loadfile

.PHONY: setup install-cpu install-cuda demo test test-slow test-all lint bench stress docs clean

setup: $(STAMP)

# PyTorch's own index has wheels without CUDA, 5 GB less; the wheels of the package registry have it.
install-cpu:
	$(MAKE) setup TORCH_INDEX=https://download.pytorch.org/whl/cpu

install-cuda: setup

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "rim needs Python >= 3.11, found " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(if $(TORCH_INDEX),$(INSTALL) --no-deps --index-url $(TORCH_INDEX) torch torchvision)
	$(INSTALL) --editable '.[$(EXTRAS)]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m benchmarks.demo

# The suite without what is marked slow: at most 6 minutes on two cores.
test: $(STAMP)
	$(PYTEST)

test-slow: $(STAMP)
	$(PYTEST) -m 'slow and not stress'

test-all: $(STAMP)
	$(PYTEST) -m 'not stress'

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

bench: $(STAMP)
	$(BIN)/python -m benchmarks.speed.search
	$(BIN)/python -m benchmarks.speed.proposals
	$(BIN)/python -m benchmarks.speed.capture
	$(BIN)/python -m benchmarks.speed.build --set generation.steps=20

stress: $(STAMP)
	$(BIN)/python -m pytest -m stress

docs: $(STAMP)
	$(BIN)/python -m docs.generate_settings
	$(BIN)/python -m docs.generate_examples
	$(BIN)/python -m docs.generate_architecture
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) demo build dist site
