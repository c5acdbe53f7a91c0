# The development workflow, executable. `make` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash

.DEFAULT_GOAL := help
.PHONY: help run test setup setup-dev browser lint types bench requirements clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/run-ready: requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; assert sys.version_info >= (3, 11), "Netra needs Python 3.11 or newer"'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q bot handlers faq storage panel  # a service may not write beside its program
	@touch $@

$(VENV)/test-ready: requirements-dev.txt $(VENV)/run-ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

setup: $(VENV)/run-ready ## Install what the program needs

setup-dev: $(VENV)/test-ready ## Install what the tests need as well

browser: ## Install Chromium for the browser tests where it is missing (Debian)
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq chromium >/dev/null)

run: $(VENV)/run-ready ## Set up what is missing and start everything on this machine
	@$(BIN)/netra run

test: $(VENV)/test-ready browser ## Set up what is missing and run every test
	$(BIN)/python -m pytest

lint: $(VENV)/test-ready ## Format and lint
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(VENV)/test-ready ## Check types strictly
	$(BIN)/mypy

bench: $(VENV)/test-ready ## Measure every goal in its short form and write the tables (bench/README.md has the long forms)
	@$(BIN)/python -m bench

requirements: ## Renew the pinned requirements (needs uv)
	uv pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make requirements' -o requirements.txt
	uv pip compile --quiet pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make requirements' -o requirements-dev.txt

clean: ## Remove what was built (never your data)
	rm -rf $(VENV) build *.egg-info
