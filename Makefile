# Everything a person types: make setup | demo | test | lint | bench | stress | docs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test lint bench stress docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "rim needs Python >= 3.11, found " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m benchmarks.demo

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

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
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) demo build dist site
