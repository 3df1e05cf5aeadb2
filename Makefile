# What a person types. Everything runs from .venv, made from hashed requirements; marker files make a second run quick.
# make PYTHON=python3.13 names another interpreter.

VENV := .venv
BIN := $(VENV)/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-strip-extras --no-header
RUNS := requirements/runtime.txt requirements/local.txt requirements/build.txt
PYTEST := $(BIN)/pytest -n auto --dist worksteal
PYTEST_ARGS ?=
COVERAGE ?=

# Compiled modules are kept in any case: without them each process that a test starts compiles all it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo check test fast types bench startup chaos chaos-long lint style fmt pages lock senders clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## deliveries over real HTTP, a worker killed half-way, and a table of what became of each
	@$(BIN)/waybill demo

check: style ## the inner loop, about a minute: style, types, import contracts, and the fast tests
	@$(MAKE) --no-print-directory -j2 types fast

test: lint ## every check and every test; COVERAGE=1 measures coverage, PYTEST_ARGS='-k name' are for pytest
	$(if $(COVERAGE),$(BIN)/coverage erase)
	$(PYTEST) $(if $(COVERAGE),--cov --cov-branch --cov-report=term) $(PYTEST_ARGS)

fast: $(VENV)/.installed-dev ## the tests that start no process and wait for less than a second
	$(PYTEST) -m 'not slow' $(PYTEST_ARGS)

bench: $(VENV)/.installed-dev ## ratios against tuned rivals doing the same work
	@$(MAKE) --no-print-directory $(VENV)/share/bench/.installed || echo "*** FastAPI + Celery could not be installed" >&2
	$(BIN)/python -m tests.bench

startup: $(VENV)/.installed-dev ## CPU seconds of a command; ARGS="events list" takes another than --help
	$(BIN)/python -m tests.bench.startup $(ARGS)

chaos: $(VENV)/.installed-dev ## break everything once while events flow, and count what is lost; needs cc
	$(BIN)/python -m tests.chaos --self-check
	$(BIN)/python -m tests.chaos

chaos-long: $(VENV)/.installed-dev ## 50 rounds of random faults with 100,000 events; SEED=2 takes others
	$(BIN)/python -m tests.chaos --long --seed $(or $(SEED),1)

lint: style types ## style, types, import contracts

style: $(VENV)/.installed-dev ## ruff's rules and format, import contracts, names, and the prose meter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/python -m tests.lint.names
	$(BIN)/python -m tests.lint.prose

types: $(VENV)/.installed-dev ## pyright in strict mode
	$(BIN)/pyright

fmt: $(VENV)/.installed-dev ## mend what a tool can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

pages: $(VENV)/.installed-dev ## write what is made: reference pages, dashboards, alerts
	$(BIN)/python -m docs.generator
	$(BIN)/python -m helm.dashboards.generator

lock: $(VENV)/.installed-dev ## resolve the requirements again
	cd requirements && ../$(LOCK) ../pyproject.toml -o runtime.txt
	cd requirements && for name in local build dev chart bench workflows go oldpip; do ../$(LOCK) $$name.in -o $$name.txt || exit 1; done

senders: $(VENV)/.installed-dev ## the npm libraries that senders sign with; the tests call this themselves
	$(BIN)/python tests/senders/npm.py

clean: ## all that can be made again
	rm -rf $(VENV) tests/senders/node_modules tests/mock/node_modules tests/bench/bullmq/node_modules .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov bench-out
	find service workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: $(RUNS) pyproject.toml
	@requirements/install $(VENV) $(RUNS)
	@$(BIN)/pip --disable-pip-version-check --quiet install --no-build-isolation --no-deps --no-index --editable .
	@touch $@

$(VENV)/.installed-dev: requirements/dev.txt $(VENV)/.installed
	@requirements/install $(VENV) requirements/dev.txt
	@touch $@

$(VENV)/share/bench/.installed: requirements/bench.txt
	@requirements/install $(VENV)/share/bench requirements/bench.txt
	@touch $@
