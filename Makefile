# What a person types. Everything runs from .venv, made from hashed requirements; marker files make a second run quick.
# make PYTHON=python3.13 names another interpreter.

VENV := .venv
BIN := $(VENV)/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-strip-extras --no-header
RUNS := requirements/runtime.txt requirements/local.txt requirements/build.txt
PYTEST_ARGS ?=

.PHONY: demo test bench startup chaos chaos-long lint fmt pages lock senders clean
.DEFAULT_GOAL := test

demo: $(VENV)/.installed ## deliveries over real HTTP, a worker killed half-way, and a table of what became of each
	@$(BIN)/waybill demo

test: lint ## everything that must hold before a change is taken
	$(BIN)/coverage erase
	$(BIN)/pytest --cov --cov-branch --cov-report=term $(PYTEST_ARGS)

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

lint: $(VENV)/.installed-dev ## style, format, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

fmt: $(VENV)/.installed-dev ## mend what a tool can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

pages: $(VENV)/.installed-dev ## write what is made: reference pages, dashboards, alerts
	$(BIN)/python -m service.dev.pages
	$(BIN)/python -m service.dev.boards

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
