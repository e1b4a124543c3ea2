# Two commands are enough: `make demo` and `make test`. Each sets up .venv by itself the first time.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV   := .venv
STAMP  := $(VENV)/.installed
BIN    := $(VENV)/bin
DATA   ?= $(wildcard ../shared/data)
PYTEST ?=
# Test files go to so many processes; WORKERS=0: all in one.
WORKERS ?= 2

.PHONY: help install demo test slow weekly fuzz kills nir lint docs clean

help:
	@echo "make demo   deploy, check, run and report two attention networks (build/demo/)"
	@echo "make test   run the tests; DATA=DIR names the folder of real data sets"
	@echo "make slow   those that start Lava, train nets or take long"
	@echo "make weekly those of the largest nets, once a week"
	@echo "make fuzz   N=10000 hostile files of every format, as a table; make kills N=200: verbs killed at random moments"
	@echo "make nir    N=300 random NIR nets against NIR's equations in plain numpy"
	@echo "make lint   style, types, layering"
	@echo "make docs   the site of docs/, strictly checked: build/site/index.html, which needs no server and no network"
	@echo "make clean  remove what was built; .venv stays"

install: $(STAMP)

# pip's own configuration (index, find-links) decides where versions come from, e.g. which build of torch.
# torch goes first and by its exact version, so that nothing else can choose another one.
$(STAMP): requirements.lock requirements-lava.lock pyproject.toml
	@python=""; for p in python3.11 python3.12 python3; do \
	  if $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$p; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "no Python >= 3.11 with venv found: install python3.11 and python3.11-venv" >&2; exit 2; \
	fi; \
	[ -x $(BIN)/python ] || { echo "setting up $(VENV) with $$python (some minutes, once)"; $$python -m venv $(VENV); }
	$(BIN)/python -m pip install -q -c requirements.lock torch==2.13.0
	$(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps --ignore-requires-python -r requirements-lava.lock
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/spikewright demo --out build/demo

test: $(STAMP)
	@mkdir -p build
	$(BIN)/python -m pytest -q -rs -n $(WORKERS) --dist loadfile -m "not slow" --junitxml=build/tests.xml $(if $(DATA),--data=$(DATA)) $(PYTEST)

slow: $(STAMP)
	@mkdir -p build
	$(BIN)/python -m pytest -q -rs -n $(WORKERS) --dist loadfile -m "slow and not weekly" --junitxml=build/slow.xml $(if $(DATA),--data=$(DATA)) $(PYTEST)

weekly: $(STAMP)
	@mkdir -p build
	$(BIN)/python -m pytest -q -rs -n $(WORKERS) --dist loadfile -m weekly --junitxml=build/weekly.xml $(if $(DATA),--data=$(DATA)) $(PYTEST)

fuzz: $(STAMP)
	PYTHONPATH=tests/support $(BIN)/python tests/fuzz/fuzz.py --cases $(or $(N),500) $(FUZZ)

nir: $(STAMP)
	PYTHONPATH=tests/support $(BIN)/python tests/support/nir_reference.py $(or $(N),300)

kills: $(STAMP)
	PYTHONPATH=tests/support $(BIN)/python tests/fuzz/kills.py --kills $(or $(N),200) $(KILLS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/families.py
	$(BIN)/python .ci/docstrings.py

docs: $(VENV)/.docs
	$(BIN)/python -m docs.site.tables --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --site-dir build/site
	$(BIN)/python -m docs.site.links build/site

$(VENV)/.docs: $(STAMP) requirements-docs.lock
	$(BIN)/python -m pip install -q -c requirements.lock -r requirements-docs.lock
	@touch $@

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
