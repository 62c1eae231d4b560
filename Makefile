# Needs Python >= 3.11 with pip and venv, and make. Every target sets up what it needs; the second time it starts at once.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STORM := extend_pipeline_tests/chaos/test_chaos.py
# three workers for two cores: many tests wait for a clock, a lease or a process
WORKERS := 3
# the deep ones wait longer: kills, leases, a real Dagster
DEEP_WORKERS := 4
TEXTS := $(abspath $(VENV))/user_texts.jsonl
# prefixed, so that a shell's own settings for real accounts never reach the demo or the tests, and that the hundreds of
# processes of the tests find the code compiled
RUN := env -u PYTHONDONTWRITEBYTECODE -u EXTEND_PIPELINE_HOME -u EXTEND_PIPELINE_LEDGER_URL -u EXTEND_PIPELINE_MEDIA_URL

.DEFAULT_GOAL := help
.PHONY: help setup demo dev wheel test test-storm test-deep test-all texts check bench matrix chaos machine mutants format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --no-compile: Python compiles what is imported, and most of what lies in the packages never is
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "extend_pipeline needs Python 3.11 or newer; set PYTHON=")'
	@echo "setting up $(VENV) (about a minute, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(READY) ## the virtual environment .venv, with all that is needed; every other target does it too
	@echo "$(VENV) is ready: source $(BIN)/activate"

demo: $(READY) ## sandbox, Dagster and eleven videos: watch them grow, see what they cost; ends by itself
	@$(RUN) $(BIN)/extend-pipeline --home data/demo demo $(ARGS)

dev: $(READY) ## the same with the Dagster UI at http://127.0.0.1:3000, until Ctrl-C
	@$(RUN) $(BIN)/extend-pipeline --home data/demo dev $(ARGS)

wheel: $(READY) ## dist/*.whl, which pip installs where there is no checkout
	@$(BIN)/python -m hatchling build -t wheel

test: $(READY) ## every promise once, on SQLite and on a real PostgreSQL
	@$(RUN) $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not deep" $(ARGS)

test-storm: $(READY) ## the minute of kills and faults, alone: six processes and a sandbox must get something done in it
	@$(RUN) $(BIN)/python -m pytest -q -n 0 -m deep $(STORM)

test-deep: test-storm ## the slow kinds that make test leaves out: crash walks, faults, storm, state machine, demo
	@$(RUN) $(BIN)/python -m pytest -q -n $(DEEP_WORKERS) --dist load --maxschedchunk 1 -m deep --deselect $(STORM) $(ARGS)

test-all: test test-deep ## both

check: $(READY) ## lint, format, types, import rules, Dagster definitions, lock file
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(RUN) $(BIN)/dagster definitions validate -w workspace.yaml
	@! grep -nE 'https?://|--(extra-)?index-url' requirements.lock

texts: $(READY) ## write what people read, as the tests see it, into the golden file anew; ARGS names tests
	@rm -f $(TEXTS) && $(RUN) EXTEND_PIPELINE_WRITE_TEXTS=$(TEXTS) $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

bench: $(READY) ## what work costs, beside bare scripts and other engines (20 minutes); ARGS="--parts table --sizes 1000"
	@$(RUN) $(BIN)/python -m benchmarks.bench $(ARGS)

matrix: $(READY) ## every failpoint x every upstream fault x every provider, each a process that is killed (about an hour)
	@$(RUN) $(BIN)/python -m extend_pipeline_tests.faults.matrix --full $(ARGS)

chaos: $(READY) ## a minute of kills, stops and faults over six processes; ARGS="--seed N --ledger postgresql --seconds 60"
	@$(RUN) $(BIN)/python -m extend_pipeline_tests.chaos $(ARGS)

machine: $(READY) ## a long run of the state machine: ARGS="--examples N --steps M --seed S"
	@$(RUN) $(BIN)/python -m extend_pipeline_tests.machine $(ARGS)

mutants: $(READY) ## mistakes that cost money or a file, each found by the matrix
	@$(RUN) $(BIN)/python -m extend_pipeline_tests.faults.mutants $(ARGS)

format: $(READY) ## format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

lock: $(READY) ## resolve the dependencies again
	@$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --no-strip-extras --quiet -o requirements.lock

clean: ## remove the virtual environment and the demo's state
	@test ! -d data/demo || $(PYTHON) -c 'import fcntl, os; fcntl.flock(os.open("data/demo", 0), fcntl.LOCK_EX | fcntl.LOCK_NB)' \
		2>/dev/null || { echo "make demo or make dev runs in data/demo: end it first"; exit 1; }
	rm -rf $(VENV) data/demo/state
