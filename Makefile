# Needs Python >= 3.11 with pip and venv, and make. Installs everything into .venv, nothing elsewhere.
PYTHON ?= python3
ROBOT  ?= franka-fr3
ENV_ID ?= User/PegInsert-sim-v0
SEED   ?= 0
ARGS   ?=

# Installed files are compiled at their first import, and kept: half the time of compiling all of them now.
export PYTHONDONTWRITEBYTECODE :=

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check --no-compile --prefer-binary
# Test processes share the cores: more threads in each would only wait for each other.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help train test check lint types layers tests benchmarks format clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST))
	@echo "variables of train: ROBOT=$(ROBOT) ENV_ID=$(ENV_ID) SEED=$(SEED) ARGS='$(ARGS)'"

train: .venv/.train  ## set up, then train peg insertion and evaluate it; again: go on where it was cut off
	$(BIN)/python -m baselines.rlpd --env-id $(ENV_ID) --robot $(ROBOT) --seed $(SEED) $(ARGS)

test: .venv/.dev  ## set up, then run all tests
	$(PYTEST) -n auto --maxprocesses 8 $(ARGS)

check: lint types layers tests benchmarks  ## all gates, as CI runs them

lint: .venv/.dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev  ## basedpyright
	$(BIN)/basedpyright

layers: .venv/.dev  ## who may import whom
	$(BIN)/lint-imports --no-cache --no-logo

tests: test

benchmarks: .venv/.dev  ## run each benchmark once, untimed
	$(PYTEST) benchmarks --benchmark-disable

format: .venv/.dev  ## let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove .venv and caches; runs/ stays
	rm -rf .venv .ruff_cache .hypothesis build *.egg-info

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "user-gym needs Python >= 3.11, found: `$(PYTHON) --version 2>&1`. Choose another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.train: pyproject.toml | .venv/.made
	$(INSTALL) -e '.[train]'
	@touch $@

# Holds all of train's packages, so train need not install again. openpi-client says numpy < 2 and runs with 2: tests speak to it.
.venv/.dev: pyproject.toml | .venv/.made
	$(INSTALL) -e '.[dev,train,sb3,openpi,vendors]'
	$(INSTALL) --no-deps 'openpi-client==0.1.2'
	@touch .venv/.train $@
