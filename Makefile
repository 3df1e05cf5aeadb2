# Developer commands. All tools run from .venv, created from hashed requirements. Marker files skip repeated installs.
# PYTHON selects the interpreter: make PYTHON=python3.13 test

VENV := .venv
BIN := $(VENV)/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-strip-extras --no-header
RUNS := requirements/runtime.txt requirements/local.txt requirements/build.txt
PYTEST := $(BIN)/pytest -n auto --dist worksteal
PYTEST_ARGS ?=
COVERAGE ?=

# Install again if the Python of the environment was removed.
$(shell [ -x $(BIN)/python ] || rm -f $(VENV)/.installed $(VENV)/.installed-dev)

# Keep compiled modules. Otherwise each process of a test compiles all of its imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo check test all-tests docs fast types bench bench-baseline bench-compare startup chaos chaos-long lint style fmt pages api-examples screenshots transcripts board-pictures lock senders clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## send deliveries to real processes, kill a worker, and show each result
	@$(BIN)/waybill demo

check: ## run style, types, import contracts and the fast tests (about a minute)
	@$(MAKE) --no-print-directory -j3 --output-sync=target style types fast

test: ## run all checks and tests; PYTEST_ARGS='-k name' selects tests, COVERAGE=1 measures coverage
	@$(MAKE) --no-print-directory -j3 lint all-tests || { echo "*** a check or a test failed: see above" >&2; exit 1; }

# The first run compiles all modules once. Otherwise each of the pytest workers compiles them, for 5 s of processor time.
all-tests: $(VENV)/.installed-dev ## run all tests without the checks of lint
	$(if $(COVERAGE),$(BIN)/coverage erase)
	$(if $(wildcard tests/__pycache__/conftest.*-pytest-*.pyc),,$(BIN)/pytest --collect-only -qq >/dev/null || true)
	$(PYTEST) --durations=10 $(if $(COVERAGE),-p tests.plugins.worker_coverage) $(PYTEST_ARGS)
	$(if $(COVERAGE),$(BIN)/coverage combine --quiet && $(BIN)/coverage report)

# The import and the seeds of pytest-randomly take 5 s of processor time. make test shuffles the tests.
fast: $(VENV)/.installed-dev ## run the tests without the mark slow
	$(PYTEST) -m 'not slow' -p no:randomly $(PYTEST_ARGS)

bench: $(VENV)/.installed-dev ## compare with tuned arq, Celery and BullMQ
	@$(MAKE) --no-print-directory $(VENV)/share/bench/.installed || echo "*** FastAPI + Celery could not be installed" >&2
	$(BIN)/python -m tests.bench $(ARGS)

bench-baseline: ## run bench and save the results as the baseline; ARGS="--quick whole" selects rows
	@$(MAKE) --no-print-directory bench ARGS="--save $(ARGS)"

bench-compare: ## run bench and show the ratios to the baseline
	@$(MAKE) --no-print-directory bench ARGS="--compare $(ARGS)"

startup: $(VENV)/.installed-dev ## measure CPU seconds of a command; ARGS="events list" selects the command, default --help
	$(BIN)/python -m tests.bench.startup $(ARGS)

chaos: $(VENV)/.installed-dev ## inject every fault once and count lost events; needs cc
	$(BIN)/python -m tests.chaos --self-check
	$(BIN)/python -m tests.chaos

chaos-long: $(VENV)/.installed-dev ## inject 50 rounds of random faults with 100,000 events; SEED=2 selects others
	$(BIN)/python -m tests.chaos --long --seed $(or $(SEED),1)

lint: ## run style, types and import contracts
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j2) --output-sync=target style types

style: $(VENV)/.installed-dev ## run ruff, import contracts, name checks and the prose meter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/python -m tests.lint.names
	$(BIN)/python -m tests.lint.prose

types: $(VENV)/.installed-dev ## run pyright in strict mode on the files that changed and on their importers
	$(BIN)/python -m tests.lint.type_check

fmt: $(VENV)/.installed-dev ## format, and apply safe lint fixes
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/share/docs/.installed ## build the documentation as a searchable site in .venv/share/site
	$(VENV)/share/docs/bin/zensical build --strict --clean --config-file .zensical.toml

pages: $(VENV)/.installed-dev ## write the generated pages, dashboards and alerts
	$(BIN)/python -m docs.generator
	$(BIN)/python -m helm.dashboards.generator

api-examples: $(VENV)/.installed-dev ## record the examples of the admin API again
	$(BIN)/python -m tests.service.ingress.admin.api_examples

screenshots: $(VENV)/.installed-dev ## write the pictures of the console; needs chromium and chromium-driver
	$(BIN)/python -m tests.browser.screenshots

transcripts: $(VENV)/.installed-dev ## run the commands of the pages and write their outputs
	$(BIN)/python -m tests.docs.transcripts

board-pictures: $(VENV)/.installed-dev ## write the pictures of the dashboards; needs chromium, prometheus, VictoriaLogs
	$(BIN)/python -m tests.observability.boards $(ARGS)

lock: $(VENV)/.installed-dev ## resolve and lock the requirements
	cd requirements && ../$(LOCK) ../pyproject.toml -o runtime.txt
	cd requirements && for name in local build traces dev docs chart bench workflows go oldpip; do ../$(LOCK) $$name.in -o $$name.txt || exit 1; done

senders: $(VENV)/.installed-dev ## install the npm libraries of senders; the tests run this too
	$(BIN)/python -m tests.senders.npm

clean: ## remove all generated files
	rm -rf $(VENV) .cache tests/senders/node_modules tests/mock/node_modules tests/bench/bullmq/node_modules tests/observability/node_modules tests/observability/boards/node_modules .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov bench-out
	find service workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: $(RUNS) pyproject.toml
	@requirements/install $(VENV) $(RUNS)
	@$(BIN)/pip --disable-pip-version-check --quiet install --no-build-isolation --no-deps --no-index --editable .
	@touch $@

$(VENV)/.installed-dev: requirements/dev.txt $(VENV)/.installed
	@requirements/install $(VENV) requirements/dev.txt
	@touch $@

$(VENV)/share/docs/.installed: requirements/docs.txt
	@requirements/install $(VENV)/share/docs requirements/docs.txt
	@touch $@

$(VENV)/share/bench/.installed: requirements/bench.txt
	@requirements/install $(VENV)/share/bench requirements/bench.txt
	@touch $@
