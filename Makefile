# Two commands: `make demo` and `make test`. Both can be repeated; what is there already is not done again.

PYTHON ?= python3
VENV   := $(CURDIR)/.venv
BIN    := $(VENV)/bin
STAMPS := $(CURDIR)/.make
# A test is one process on one core; `worksteal` lets the core that is done first take what is left.
PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist worksteal

# The AiiDA folder lies in the checkout, so that a user's own profiles are never touched.
export AIIDA_PATH := $(CURDIR)
export PATH := $(BIN):$(PATH)
export OMP_NUM_THREADS ?= 1

.PHONY: help env setup demo demo-check rehearsal test test-slow lint docs clean

help:
	@echo "make demo       environment, engines, profile, then a real small Na-V-P-O campaign and its report"
	@echo "make demo-check the demo, then the tests of what it has to show"
	@echo "make rehearsal  the same loop on an analytic stand-in potential, in about two minutes"
	@echo "make test       environment, then the tests"
	@echo "make test-slow   all tests, the slow ones and those on real pw.x included"
	@echo "make lint       style, types, import direction"
	@echo "make docs       the documentation, warnings as errors"
	@echo "make clean      stop the daemon and remove environment, profile and engines"

env: $(STAMPS)/env

$(STAMPS)/env: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "aiida-nvp needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	@mkdir -p $(STAMPS) && touch $@

setup: $(STAMPS)/env
	$(BIN)/aiida-nvp setup

demo: setup
	$(BIN)/aiida-nvp submit workchains/campaigns/demo.yaml --watch --reuse --report reports/demo.html

# What the demo has to show, asserted on the profile that it left.
demo-check: demo
	$(BIN)/python -m pytest --noconftest -m demo tests/integration/test_demo.py

rehearsal: setup
	$(BIN)/aiida-nvp submit workchains/campaigns/rehearsal.yaml --watch --reuse --report reports/rehearsal.html

test: $(STAMPS)/env
	$(PYTEST) -m "not slow and not demo"

test-slow: setup
	$(PYTEST) -m "slow and not demo"

lint: $(STAMPS)/env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMPS)/env
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

clean:
	-test -x $(BIN)/verdi && $(BIN)/verdi daemon stop
	rm -rf $(VENV) $(STAMPS) .aiida .engines docs/_build reports
