# Two commands matter: `make demo` and `make test`. Both set up what they need in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tests share two cores with real servers; two workers keep both busy.
WORKERS ?= 2
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint format gen bench chaos sim wheel-check clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## Install everything into .venv (a second run is quick)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: setup ## Start three regions, run the main job on real documentation, stop everything
	$(BIN)/trunkline demo $(DEMO_ARGS)

test: setup ## Run the whole test suite, real backing servers included
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-fast: setup ## Run the unit tests alone
	$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

lint: setup ## Check formatting, lints, types, imports, contracts and generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code > /dev/null
	$(BIN)/buf breaking --against deploy/codegen/baseline.binpb
	deploy/codegen/check_drift.sh

format: setup ## Format code and contracts
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format --write

gen: setup ## Generate code from the contracts
	deploy/codegen/generate.sh

bench: setup ## Measure against bare gRPC in the same run, the map, choosing collections, and admission
	$(BIN)/python -m tests.bench.floor
	$(BIN)/python -m tests.bench.map
	$(BIN)/python -m tests.bench.routing
	$(BIN)/python -m tests.bench.admission

chaos: setup ## Kill, pause and slow a region, then etcd's members, then flood a region; minutes
	$(BIN)/python -m tests.chaos.failover
	$(BIN)/python -m tests.chaos.etcd
	$(BIN)/python -m tests.chaos.overload

sim: setup ## A day of 10,000 tenants in three regions under a virtual clock; minutes
	$(BIN)/python -m tests.sim.admission

wheel-check: setup ## Build the wheel and test it in environments of its own
	deploy/packaging/check_wheel.sh

clean: ## Remove the environment, caches and local stacks' files
	rm -rf $(VENV) .trunkline build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
