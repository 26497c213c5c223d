# One command each: `make lab` opens the series, `make test` runs every test.
# On Windows without make, README.md gives the same steps as plain commands.

PYTHON ?= python3
VENV   ?= .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
RUN := $(BIN)/python -m
# Tests are shared out among the cores, a file or a notebook as a whole, long ones first;
# ARGS="-n 0" does without.
SHARED := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help lab test test-fast notebooks bench lint clean

help:
	@echo "make lab        open the notebooks in JupyterLab (ARGS=... is passed on to it)"
	@echo "make test       all tests: units, notebooks, browser"
	@echo "make test-fast  the quick unit tests only"
	@echo "make notebooks  run every notebook again and store its outputs"
	@echo "make bench      the benchmarks; writes the table in benchmarks/README.md"
	@echo "make lint       check style and formatting"
	@echo "make clean      remove .venv and what the tests leave behind"

lab: $(VENV)/ready-lab
	@$(RUN) llmlab fetch
	@$(RUN) llmlab lab $(ARGS)

test: $(VENV)/ready-test
	@$(RUN) llmlab fetch
	@$(RUN) pytest $(SHARED) $(ARGS) \
	  || { echo "make test: FAILED, the lines above say where"; exit 1; }

test-fast: $(VENV)/ready-test
	@$(RUN) llmlab fetch
	@$(RUN) pytest tests -m "not slow and not browser" $(SHARED) $(ARGS)

notebooks: $(VENV)/ready-test
	@$(RUN) llmlab fetch
	@$(BIN)/python notebooks/refresh.py $(ARGS)

bench: $(VENV)/ready-test $(VENV)/peers/llms_from_scratch
	@$(RUN) llmlab fetch
	@$(BIN)/python benchmarks $(ARGS)

# A library to compare with, without all that it asks for and that is not needed here (TensorFlow).
$(VENV)/peers/llms_from_scratch: | $(VENV)/ready-test
	@$(RUN) pip install --disable-pip-version-check --quiet --no-deps --target $(VENV)/peers llms-from-scratch==1.0.19

lint: $(VENV)/ready-test
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

clean:
	rm -rf $(VENV) artefacts .pytest_cache .ruff_cache .hypothesis

# What is installed is remembered by an empty file, so that a second call starts in seconds.
$(VENV)/bare:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("llmlab needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; install a newer one, or name it: make lab PYTHON=python3.12")'
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/ready-lab: pyproject.toml constraints.txt | $(VENV)/bare
	@echo "installing llmlab and what it needs (a few minutes, once)"
	@$(RUN) pip install --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/ready-test: pyproject.toml constraints.txt | $(VENV)/bare
	@echo "installing llmlab and what its tests need (a few minutes, once)"
	@$(RUN) pip install --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@ $(VENV)/ready-lab
