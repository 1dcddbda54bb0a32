# Every command a person needs. `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
RUN_READY := $(VENV)/.run-$(shell cksum < requirements.lock | cut -d' ' -f1)
DEV_READY := $(VENV)/.dev-$(shell cat requirements.lock requirements-dev.lock | cksum | cut -d' ' -f1)
ALONE := tests/acceptance/test_demo_runs.py tests/acceptance/test_subjects.py tests/acceptance/test_told.py tests/acceptance/test_alerts.py tests/acceptance/test_reports_in_demo.py tests/acceptance/test_pages_in_demo.py tests/acceptance/test_page_seen.py tests/faults/test_crash_loop.py tests/faults/test_nemesis.py tests/faults/test_own_pause.py tests/faults/test_runbook_killed.py
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help run setup test coverage nightly mutants matrix dashboards screenshots lint measure bench format lock clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

# Progress goes to stderr: with --json, stdout has the document and nothing else.
$(BIN)/python:
	@echo "making $(VENV) …" >&2
	@$(PYTHON) -m venv $(VENV) >&2

$(RUN_READY): | $(BIN)/python
	@echo "installing what sentinel and its demo need …" >&2
	@$(PIP) install --require-hashes --only-binary :all: -r requirements.lock >&2
	@$(PIP) install --no-deps --no-build-isolation --editable . >&2
	@$(BIN)/python -m compileall -q sentinel >&2 || true
	@touch $@

$(DEV_READY): $(RUN_READY)
	@echo "installing what the tests need …" >&2
	@$(PIP) install --require-hashes --only-binary :all: -r requirements-dev.lock >&2
	@touch $@

run: $(RUN_READY)  ## start the demo platform and watch it; options in ARGS="--for 60s --chaos crash-agent --json"
	@exec $(BIN)/sentinel demo $(ARGS)

# Python may have been told to write no byte code (containers): then each start would compile everything, for a second.
setup: $(DEV_READY)  ## make the environment with everything the tests need
	@$(BIN)/python -m compileall -q sentinel || true

# Each worker reads all tests: what they are made into is kept (also where Python was told to write no byte code), made by
# two at once before three make the same.
TESTS_READY := $(VENV)/.tests-ready
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
$(TESTS_READY): $(shell find tests -name '*.py') | $(DEV_READY)
	@$(PYTEST) --collect-only -qq tests/unit >/dev/null 2>&1 & \
	$(PYTEST) --collect-only -qq tests/acceptance tests/browser tests/faults tests/integration >/dev/null 2>&1; \
	wait; touch $@

# Many demos at once, and what kills and pauses, have the machine for themselves; what mostly waits for one demo runs by
# twos, all others by threes. A failure of a part does not hide the next; up to three that failed
# beside others are tried again alone, and named (tools/second_look.py). 5: the options in ARGS chose none of them.
OTHERS = $(addprefix --ignore=,$(ALONE)) $(ARGS)
test: setup $(TESTS_READY)  ## run all tests (options in ARGS)
	@failed=0; broken=0; \
	part() { $(PYTEST) "$$@" || case $$? in 1) failed=1;; 5) ;; *) broken=1;; esac; }; \
	part --cache-clear $(ALONE) $(ARGS); \
	part -n 2 --dist loadfile tests/acceptance tests/browser $(OTHERS); \
	part -n 3 --dist loadfile tests/faults tests/integration tests/unit $(OTHERS); \
	[ $$broken = 0 ] || exit 1; \
	[ $$failed = 0 ] || $(BIN)/python -m tools.second_look

# Also of child processes, each of which writes a file of its own.
coverage: setup  ## which lines and branches no test runs (TESTS=tests/unit for a part)
	@rm -rf var/coverage && mkdir -p var/coverage
	@failed=0; \
	$(BIN)/coverage run -m pytest -n 2 --dist loadfile $(or $(TESTS),tests/unit tests/integration) $(ARGS) || failed=1; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report && $(BIN)/coverage html --quiet || failed=1; \
	exit $$failed

nightly: setup  ## the long randomised runs, mutants, and every Python (SOUNDNESS_SEED=7: worlds of that night)
	@failed=0; \
	$(BIN)/python -m pytest -m nightly --timeout 7200 $(ARGS) || failed=1; \
	$(MAKE) --no-print-directory mutants ARGS= || failed=1; \
	$(MAKE) --no-print-directory matrix ARGS= || failed=1; \
	exit $$failed

mutants: setup  ## break guards of core and engine: does a unit test notice? (N=40 SEED=7)
	@$(BIN)/python -m tools.mutants $(if $(N),--count $(N)) $(if $(SEED),--seed $(SEED)) $(ARGS)

matrix: setup  ## unit and integration tests on Python 3.11 to 3.13 (ARGS="--version 3.12")
	@$(BIN)/python -m tools.matrix $(ARGS)

lint: setup  ## ruff, mypy strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

measure: | $(BIN)/python  ## is the house easy to read? figures beside their goals (ARGS="--worst --json")
	@$(BIN)/python -m tools.house $(ARGS)

format: setup  ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

dashboards: setup  ## write dashboards/*.json anew; ARGS=--pictures draws docs/dashboards too, from a demo under chaos
	@$(BIN)/python -m tools.grafana $(ARGS)

screenshots: setup  ## pictures of every page, from a demo under chaos; ARGS=--scenarios: of the open status page in each scenario
	@$(BIN)/python -m tools.screenshots $(ARGS)

bench: setup  ## figures, written to benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks $(ARGS)

lock: setup  ## resolve the two lock files anew, with hashes and without index addresses
	$(BIN)/python -m pip --quiet install uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra demo --extra build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra demo --extra build --extra dev --extra docker --extra systemd -c requirements.lock pyproject.toml -o requirements-dev.lock

clean:  ## remove the environment and all generated state
	rm -rf $(VENV) .venv-3.* var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
