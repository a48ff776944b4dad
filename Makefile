# Cutwater: every verb a developer needs. `make help` lists them.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test check format lint types contracts cover golden conformance bench clean
.PHONY: build deploy e2e sam-local build-ProxyFunction build-AdminFunction

help: ## List these verbs
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: .venv/.local ## Set up what is missing, then serve on http://127.0.0.1:8787
	@$(BIN)/cutwater serve

test: .venv/.dev .venv-ministack/.ready .venv-sam/.ready ## Set up what is missing, then run every test but those of `make e2e`
	@$(BIN)/python -m pytest -q -n 2 --ignore tests/e2e_aws

check: lint types contracts cover ## What CI runs: lint, types, import contracts, tests with coverage

format: .venv/.dev ## Rewrite the code in the project's format
	@$(BIN)/ruff check -q --fix . && $(BIN)/ruff format -q .

lint: .venv/.dev ## Check style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/.dev ## Check types
	@$(BIN)/mypy

contracts: .venv/.dev ## Check who may import whom
	@$(BIN)/lint-imports

cover: .venv/.dev .venv-ministack/.ready .venv-sam/.ready ## Run the tests and hold branch coverage at 95 %
	@$(BIN)/coverage erase && $(BIN)/coverage run -m pytest -q -n 2 --ignore tests/e2e_aws --ignore tests/faults --ignore tests/e2e
	@$(BIN)/coverage combine -q && $(BIN)/coverage report

golden: .venv/.dev ## Rewrite the golden fixtures; `git diff` is the review
	@$(BIN)/python -m tests.golden

conformance: .venv/.dev ## Measure every recording against every client; writes docs/conformance.md
	@$(BIN)/python -m tests.conformance

bench: .venv/.dev ## CPU of the hot path against a bare aiohttp pass-through
	@$(BIN)/python bench/hot_path.py

build: ## Build what Lambda runs, without Docker; prints its size and its hash
	@$(PYTHON) scripts/build_lambda.py build/lambda/bundle

# What `sam build` calls, with ARTIFACTS_DIR set.
build-ProxyFunction build-AdminFunction build-RealtimeConnectFunction build-RealtimeSessionFunction:
	@$(PYTHON) scripts/build_lambda.py "$(ARTIFACTS_DIR)"

deploy: .venv/.dev .venv-sam/.ready ## Build, deploy, prune old versions, ask the deployed URL: STACK=name GUIDED=1
	@$(BIN)/python scripts/deploy.py --stack "$(or $(STACK),cutwater)" $(if $(GUIDED),--guided) -- $(PARAMETERS)

e2e: .venv/.dev .venv-ministack/.ready .venv-sam/.ready ## The real template, built and deployed to an emulator of AWS, under the SDKs
	@CUTWATER_REQUIRE_EMULATORS=1 $(BIN)/python -m pytest -q tests/e2e_aws

sam-local: .venv-sam/.ready ## Serve the template on http://127.0.0.1:3000 (needs Docker; answers come whole)
	@$(PYTHON) scripts/sam_local.py

clean: ## Remove the environment and all that tools have written
	@rm -rf .venv .venv-ministack .venv-sam .aws-sam .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build .cutwater

.venv/.%: pyproject.toml scripts/setup.py
	@$(PYTHON) scripts/setup.py $*

.venv-ministack/.ready .venv-sam/.ready: .venv-%/.ready: scripts/setup.py
	@$(PYTHON) scripts/setup.py $*
