# Cutwater: every verb a developer needs. `make help` lists them.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test check format lint types contracts cover golden conformance bench clean

help: ## List these verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: .venv/.local ## Set up what is missing, then serve on http://127.0.0.1:8787
	@$(BIN)/cutwater serve

test: .venv/.dev .venv-ministack/.ready ## Set up what is missing, then run every test that needs no AWS account
	@$(BIN)/python -m pytest -q -n 2

check: lint types contracts cover ## What CI runs: lint, types, import contracts, tests with coverage

format: .venv/.dev ## Rewrite the code in the project's format
	@$(BIN)/ruff check -q --fix . && $(BIN)/ruff format -q .

lint: .venv/.dev ## Check style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/.dev ## Check types
	@$(BIN)/mypy

contracts: .venv/.dev ## Check who may import whom
	@$(BIN)/lint-imports

cover: .venv/.dev .venv-ministack/.ready ## Run the tests and hold branch coverage at 95 %
	@$(BIN)/coverage erase && $(BIN)/coverage run -m pytest -q
	@$(BIN)/coverage combine -q && $(BIN)/coverage report

golden: .venv/.dev ## Rewrite the golden fixtures; `git diff` is the review
	@$(BIN)/python -m tests.golden

conformance: .venv/.dev ## Measure every recording against every client; writes docs/conformance.md
	@$(BIN)/python -m tests.conformance

bench: .venv/.dev ## CPU of the hot path against a bare aiohttp pass-through
	@$(BIN)/python bench/hot_path.py

clean: ## Remove the environment and all that tools have written
	@rm -rf .venv .venv-ministack .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build .cutwater

.venv/.%: pyproject.toml scripts/setup.py
	@$(PYTHON) scripts/setup.py $*

.venv-ministack/.ready: scripts/setup.py
	@$(PYTHON) scripts/setup.py ministack
