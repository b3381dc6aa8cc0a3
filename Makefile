# `make` alone lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := lithoscope encoder infra trainer ingest_worker search_ui tests benchmarks

# The stack: make up OVERLAYS="upload gpu" PROFILES=monitoring WORKERS=3
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
OVERLAYS ?=
PROFILES ?=
WORKERS ?= 1
# Options of the demonstration: make demo DEMO=--no-ui
DEMO ?=
STACK = $(COMPOSE) -f docker-compose.yml $(OVERLAYS:%=-f infra/compose/compose.%.yml) \
	$(PROFILES:%=--profile %)

# make backup BACKUP=backups/2026-01-31 VOLUMES="objects runs"
BACKUP ?= backups/$(shell date +%Y-%m-%d)
VOLUMES ?=
COPIES = BACKUP=$(abspath $(BACKUP)) $(COMPOSE) -f docker-compose.yml \
	-f infra/compose/compose.backup.yml run --rm backup

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint types tests format bench constraints clean \
	env build up down logs ps scale backup restore stack stack-down

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP)  ## Create the environment in .venv with pinned versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: venv  ## Make synthetic rocks, train on them, index them, and search in a browser
	$(BIN)/lithoscope demo $(DEMO)

test: venv lint types tests  ## Environment, lint, types and tests with branch coverage

lint: venv  ## Check style and formatting
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: venv  ## Check types (mypy --strict)
	$(BIN)/mypy

tests: venv  ## Run the tests with branch coverage, in as many processes as there are CPUs (to 4)
	$(BIN)/pytest --cov --cov-report=term -n logical --maxprocesses 4 --no-loadscope-reorder

format: venv  ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: venv  ## Print the benchmarks: ours against named peers
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/search.py

constraints: venv  ## Pin the versions that are installed now
	{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -viE '^(nvidia-|cuda-)'; } > constraints.new
	mv constraints.new constraints.txt

env:  ## Write strong secrets for the stack to .env; those that it has already stay
	@$(PYTHON) -m infra.native_stack.secrets_file .env

build:  ## Build the stack's image
	$(STACK) build

up:  ## Start the stack (OVERLAYS="gpu upload local", PROFILES=monitoring, WORKERS=1)
	$(STACK) up -d --scale worker=$(WORKERS)

down:  ## End the stack; what it stored is kept
	$(STACK) down

logs:  ## Follow the logs of the stack (SERVICES="worker dispatcher"; all)
	$(STACK) logs --follow --tail 100 $(SERVICES)

ps:  ## Tell how the stack's services are
	$(STACK) ps

scale:  ## Run so many workers from now on: make scale WORKERS=3
	$(STACK) up -d --no-deps --no-recreate --scale worker=$(WORKERS) worker

backup: stopped  ## Copy the stopped stack's volumes to BACKUP (backups/<today>), or VOLUMES="objects runs"
	mkdir -p -m 0700 $(BACKUP)
	$(COPIES) save $(VOLUMES)

restore: stopped  ## Replace the stopped stack's volumes by those of a backup: BACKUP=backups/2026-01-31
	@test -d $(BACKUP) || { echo "there is no $(BACKUP): name a backup, make restore BACKUP=DIR"; exit 2; }
	$(COPIES) load $(VOLUMES)

.PHONY: stopped
stopped:
	@ids=$$($(STACK) ps -q) || exit 2; test -z "$$ids" || \
		{ echo "the stack is up: end it first with make down"; exit 2; }

stack: venv env  ## Start the stack without Docker, as processes of this machine (WORKERS=1)
	$(BIN)/lithoscope stack up --workers $(WORKERS)

stack-down:  ## End the stack without Docker; what it stored is kept
	$(BIN)/lithoscope stack down

clean:  ## Remove the environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .coverage
