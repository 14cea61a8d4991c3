# Everything one does in a checkout. `make run` and `make test` set up what they need on a bare Debian machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TCLINT := $(VENV)/tclint/bin/tclint

.PHONY: help setup run test lint compat bench clean

help:
	@echo 'make run      show the main job: a legacy Tcl script receiving real mail, in stock tclsh and in tkinter'
	@echo 'make test     everything that must pass: tests, conformance, ruff, mypy, tclint'
	@echo 'make compat   the conformance suite alone, as a table'
	@echo 'make bench    the benchmark: ratios to the stock package'
	@echo 'make clean    remove what was made here'

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml tools/setup.sh
	PYTHON='$(PYTHON)' sh tools/setup.sh '$(VENV)'

run: setup
	$(BIN)/python -m demo

test: setup lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(TCLINT) -c tclint.toml tcl compat demo benchmarks

compat: setup
	$(BIN)/python -m compat

bench: setup
	$(BIN)/python -m benchmarks --out benchmarks/RESULTS.md

clean:
	rm -rf $(VENV) build dist *.egg-info tcl/interpreter
	find . -name __pycache__ -prune -exec rm -rf {} +
