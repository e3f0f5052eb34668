# Everything here sets itself up: the first run makes .venv, later ones find it ready.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The JavaScript tests bring packages of their own. Without npm they are skipped, except in CI.
ifneq ($(wildcard tests/js/package.json),)
ifneq ($(CI)$(shell command -v npm),)
JS_READY := tests/js/node_modules/.package-lock.json
endif
endif

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench bench-quick chaos pictures clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile

demo: $(READY) ## the whole thing on this machine: page, worker, Flower, embedded Redis
	@exec "$(BIN)/python" -m deploy.demo

test: $(READY) $(JS_READY) ## every test; what needs a program that is not here is skipped
	@# three at a time: most tests wait for real servers most of the time
	"$(BIN)/python" -m pytest -n 3 --dist loadfile --no-loadscope-reorder
ifdef JS_READY
	npm --prefix tests/js test
endif

check: $(READY) $(JS_READY) ## format, lint, types
	"$(BIN)/ruff" format --check
	"$(BIN)/ruff" check
	"$(BIN)/mypy"
ifdef JS_READY
	npm --prefix tests/js run --silent check
endif

pictures: $(READY) ## the pictures of the docs, anew
	"$(BIN)/python" -m tests.browser.pictures

format: $(READY) ## put the code into the house's form
	"$(BIN)/ruff" format
	"$(BIN)/ruff" check --fix

bench: $(READY) ## measure Headway beside its peers, for docs/figures.md
	"$(BIN)/python" -m benchmarks --write docs/figures.md

bench-quick: $(READY) ## a first look at the same, in a minute or two
	"$(BIN)/python" -m benchmarks --quick latency streams own trouble

SECONDS ?= 600
chaos: $(READY) ## workers, Redis, web and viewers fail for SECONDS=600; a checker reads what every viewer was told
	@exec "$(BIN)/python" -m tests.chaos --seconds "$(SECONDS)" $(if $(SEED),--seed "$(SEED)")

clean: ## remove all that the targets above have made
	rm -rf "$(VENV)" build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache tests/js/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "Headway needs Python 3.11 or newer, and there is no $(PYTHON) here." \
	    "Install one, or name yours: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Headway needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1)." \
	    "Name a newer one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV) and installing into it; this takes a minute, once."
	@"$(PYTHON)" -m venv "$(VENV)"
	@"$(BIN)/python" -m pip install --quiet -c constraints.txt -e ".[demo,dev]"
	@touch "$@"

tests/js/node_modules/.package-lock.json: tests/js/package-lock.json
	npm --prefix tests/js ci --no-audit --no-fund
