# Two commands do everything: `make demo` and `make test`. Both make .venv when it is not there.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Python compiles a module when it is first imported; compiling all of them here takes a minute.
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt
DEMO   := demo
STUDIES := zakharov digits
STEP   := $(wildcard ecd_tune/optim/fused/*.[ch]) ecd_tune/optim/fused/compile.py
NEEDED := $(VENV)/.python pyproject.toml constraints.txt hatch_build.py $(STEP)

# Where Python keeps no bytecode, each of hundreds of processes compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test unit test-integrations test-slow cluster-test faults bench gpu lint install docs \
	site figures reports clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(VENV)/.core ## Install, run the Zakharov study of all optimizers, print and write its report
	rm -rf $(DEMO)
	mkdir -p $(DEMO)
	$(BIN)/ecd-tune run zakharov --workers 2 --storage sqlite:///$(DEMO)/ecd_tune.db --out $(DEMO)/report

test: install ## ruff, mypy, import-linter, pytest without integrations, whole commands and slow tests
	$(MAKE) --no-print-directory --jobs 2 lint unit

unit: $(VENV)/.compiled # mypy uses one core, and tests wait for servers: side by side both end sooner
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not slow" --ignore tests/integrations --ignore tests/acceptance

test-integrations: $(VENV)/.compiled ## Real training libraries, distributed runs, whole commands; CI runs them too
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not slow" tests/integrations tests/acceptance

test-slow: install ## The tests that take minutes
	$(BIN)/python -m pytest -m slow --ignore tests/cluster

cluster-test: install ## A real Slurm, a Ray cluster, PgBouncer and replicas (docs/scale.md; 8 minutes)
	$(BIN)/python -m pytest tests/cluster -m slow --timeout 1200

faults: install ## Kills, restores, locks, outages and damaged files under real workers (about 40 minutes)
	$(BIN)/python -m pytest tests/integration/faults -m slow --timeout 3600

bench: install ## Speed beside its peers, the short form, into docs/results/bench.md (about 6 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks --out docs/results/bench.md

gpu: install ## The kernels on a CUDA device: their tests, and a step beside AdamW's (about 4 minutes)
	$(BIN)/python -m benchmarks.gpu

lint: install ## Style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(VENV)/.dev ## Make .venv with all that the tests need

docs: install ## Make the pages and figures that are made from the code (about three minutes)
	$(BIN)/python docs/figures.py docs/figures
	$(BIN)/ecd-tune tasks --markdown > docs/tasks.md
	$(BIN)/ecd-tune claims --markdown --results docs/results/theory > docs/claims.md

site: install ## Build the documentation into site/, without network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

figures: install ## Run the demo and take the README's picture of its report
	$(MAKE) demo
	$(BIN)/python docs/picture.py $(DEMO)/report/report.html docs/report.png

reports: install ## Run STUDIES, demo and digits, and write docs/results/reports (about five minutes)
	PATH="$(abspath $(BIN)):$$PATH" sh docs/results/reports/make.sh $(STUDIES)

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.core: $(NEEDED)
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(NEEDED)
	$(PIP) --editable '.[dev,dev-integrations]'
	touch $(VENV)/.core $@

$(VENV)/.compiled: $(VENV)/.dev # once, and not in each of the processes that start together
	-$(BIN)/python -m pytest --collect-only --quiet >$(VENV)/collected
	touch $@

clean: ## Remove .venv, the demo and caches
	rm -rf $(VENV) $(DEMO) site ecd_tune/optim/fused/*.so reports .mypy_cache .ruff_cache .pytest_cache .hypothesis
