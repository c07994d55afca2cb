# Everything a contributor runs. Needs Python 3.11 or newer and a package registry.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Scoring harness and logged decisions, which may not be distributed with the project.
SHARED ?= ../shared

.PHONY: help demo demo-team test test-browser test-team test-ray test-newer-engine test-lowest test-full environments beside-crewai lint types check faults faults-smoke security fuzz fuzz-smoke bench-smoke bench bench-report bench-decisions bench-rivals bench-stores store-table clean

help: ## list what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | expand -t 16

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "whatworks needs Python 3.11 or newer; set PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[chroma,importers,lance,langchain,mcp,omendb,openai-agents,otel,plot,pydantic-ai,qdrant,s3,team,tui,ui]' --group dev
	@touch $@

demo: $(READY) ## set everything up and run the main job on real data
	$(BIN)/whatworks demo

demo-team: $(READY) ## two agents on two machines share what they learn, through a PostgreSQL of its own
	@scripts/install-postgres
	PYTHONPATH=$(CURDIR) $(BIN)/python examples/team.py

test: $(READY) ## set everything up and run the tests
	$(BIN)/python -m pytest -n auto -q --ignore tests/team --ignore tests/bulk

# The S3 server of the tests, apart: what it needs and what ChromaDB needs exclude each other.
S3 := $(VENV)-s3/.ready
$(S3):
	$(PYTHON) -m venv $(VENV)-s3
	$(VENV)-s3/bin/python -m pip install --quiet --disable-pip-version-check 'moto[server]>=5'
	@touch $@

test-team: $(READY) $(S3) ## run the tests of teams, which start a PostgreSQL and an S3 server of their own
	@scripts/install-postgres
	$(BIN)/python -m pytest -n auto -q tests/team

# A Python of its own: Ray takes 240 MB, and nothing else here needs it.
RAY := $(VENV)-ray/.ready
$(RAY): pyproject.toml
	$(PYTHON) -m venv $(VENV)-ray
	$(VENV)-ray/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(VENV)-ray/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[ray]' hypothesis psutil pytest pytest-timeout
	@touch $@

test-ray: $(RAY) ## run the tests of work in bulk, which start a Ray of their own
	$(VENV)-ray/bin/python -m pytest -q tests/bulk

# Its own run: the tests of the inspector need a browser, which is a package of the system.
test-browser: $(READY) ## try the inspector in Debian's chromium
	@scripts/install-browser
	$(BIN)/python -m pytest -q tests/browser

test-newer-engine: $(READY) ## run the tests of the evidence against DuckDB 2.0
	@test -d $(VENV)/duckdb2 || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(VENV)/duckdb2 'duckdb>=2,<2.1'
	PYTHONPATH=$(CURDIR)/$(VENV)/duckdb2 $(BIN)/python -m pytest -n auto -q tests/unit/evidence tests/unit/test_memory.py tests/unit/test_memory_edges.py

# Apart from the rest: the core with its oldest packages, and the extras with theirs.
test-lowest: $(READY) ## run the tests of the core and of the extras with the oldest packages they allow
	@scripts/test-lowest $(PYTHON) $(VENV)-lowest

test-full: $(READY) ## run the property, fault, store and exchange tests at full size; hours
	@scripts/install-postgres
	WHATWORKS_FULL=1 $(BIN)/python -m pytest -n auto -q --timeout 3600 tests/properties tests/faults tests/conformance tests/team/test_exchange.py

beside-crewai: $(READY) ## ask the package resolver whether CrewAI can be installed beside it
	@scripts/beside-crewai $(BIN)/python

lint: $(READY) ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## check types
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/mypy -p faults

check: ## everything that CI runs
	.ci/run

# The suites that need tools of the system say so where these are missing.
faults: $(READY) ## kill, crash and starve stores at full size, and say what was lost; about an hour
	@scripts/fault-tools
	$(BIN)/python -m faults full --write

faults-smoke: $(READY) ## the same small, in minutes
	@scripts/fault-tools
	$(BIN)/python -m faults smoke

security: $(READY) ## the suites of docs/security.md at full size; an hour or two
	$(BIN)/python -m faults full --only canaries poisoning hostile isolation tokens http mcp --write

# A Python of its own: the fuzzer is no package that anything else here needs.
FUZZ := $(VENV)-fuzz/.ready
$(FUZZ): pyproject.toml
	$(PYTHON) -m venv $(VENV)-fuzz
	$(VENV)-fuzz/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(VENV)-fuzz/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[importers]' 'atheris>=3,<4'
	@touch $@

environments: $(READY) $(S3) $(FUZZ) ## set up what tests of teams and fuzzing need apart, before they run

fuzz: $(READY) $(FUZZ) ## fuzz all importers by coverage, a million executions; about half an hour
	WHATWORKS_FUZZ=$(CURDIR)/$(VENV)-fuzz/bin/python $(BIN)/python -m faults full --only importers --write

fuzz-smoke: $(READY) $(FUZZ) ## the same small, in less than a minute
	WHATWORKS_FUZZ=$(CURDIR)/$(VENV)-fuzz/bin/python $(BIN)/python -m faults smoke --only importers

bench-smoke: $(READY) ## run every benchmark at a small size, and count what questions cost; two minutes
	$(BIN)/python -m benchmarks guard
	$(BIN)/python -m benchmarks smoke
	$(BIN)/python -m benchmarks.decisions smoke

# What we are compared with, apart from the rest: where pandas is installed, DuckDB loads it.
PEERS := $(VENV)-bench/.ready
$(PEERS): benchmarks/peers.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --editable . --requirement benchmarks/peers.txt
	@touch $@

bench: $(READY) $(PEERS) ## run every benchmark in full, beside its peers; hours, goes on where it was interrupted
	WHATWORKS_PEERS=$(VENV)-bench/bin/python $(BIN)/python -m benchmarks full

bench-report: $(READY) ## write docs/performance.md from the last results of each benchmark
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	$(BIN)/python -m benchmarks report

# Apart from the rest: where pandas is installed, DuckDB loads it, and the tests notice.
DECISIONS := $(VENV)-decisions/.ready
$(DECISIONS): pyproject.toml
	$(PYTHON) -m venv $(VENV)-decisions
	$(VENV)-decisions/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(VENV)-decisions/bin/python -m pip install --quiet --disable-pip-version-check --editable . --group decisions
	@touch $@

bench-decisions: $(DECISIONS) ## score predictions on the logged decisions in SHARED; about ten minutes
	$(VENV)-decisions/bin/python -m benchmarks.decisions full $(SHARED)

bench-rivals: $(DECISIONS) ## score other systems on them, into rivals.json; about five minutes
	$(VENV)-decisions/bin/python -m benchmarks.decisions rivals $(SHARED)

store-table: $(READY) ## write the table of vector stores into docs/stores.md
	$(BIN)/python -m benchmarks.store_table

bench-stores: $(READY) ## all vector stores side by side on real texts, fetched by apt; about an hour
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	$(BIN)/python -m benchmarks.stores full

clean: ## remove what make has made
	rm -rf $(VENV) $(VENV)-s3 $(VENV)-bench $(VENV)-decisions $(VENV)-fuzz $(VENV)-ray build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
