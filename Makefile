# `make` alone lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := lithoscope encoder infra trainer ingest_worker search_ui tests benchmarks

.DEFAULT_GOAL := help
.PHONY: help env demo test lint types tests format bench constraints clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(STAMP)  ## Create the environment in .venv with pinned versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: env  ## Make synthetic rocks, train on them, index them, search for unseen ones
	$(BIN)/lithoscope demo

test: env lint types tests  ## Environment, lint, types and tests with branch coverage

lint: env  ## Check style and formatting
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: env  ## Check types (mypy --strict)
	$(BIN)/mypy

tests: env  ## Run the tests with branch coverage, in as many processes as there are CPUs (to 4)
	$(BIN)/pytest --cov --cov-report=term -n logical --maxprocesses 4 --no-loadscope-reorder

format: env  ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: env  ## Print the benchmarks: ours against named peers
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/search.py

constraints: env  ## Pin the versions that are installed now
	{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -viE '^(nvidia-|cuda-)'; } > constraints.new
	mv constraints.new constraints.txt

clean:  ## Remove the environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .coverage
