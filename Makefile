# Everything one does in a checkout. `make run` and `make test` set up what they need on a bare Debian machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .peers
TCLINT := $(VENV)/tclint/bin/tclint

.PHONY: help setup run test test-pythons lint compat fuzz fuzz-stock fuzz-core soak bench man clean

help:
	@echo 'make run      show the main job: a legacy Tcl script receiving real mail, in stock tclsh and in tkinter'
	@echo 'make test     everything that must pass: tests, conformance, ruff, mypy, tclint'
	@echo 'make test-pythons  the tests on every other Python from 3.11 on that is found here'
	@echo 'make compat   the conformance suite alone, as a table'
	@echo 'make fuzz     fuzz-stock: 100,000 random sessions compared with the stock package, some 20 minutes on two processors;'
	@echo '              then fuzz-core: 10,000,000 inputs for the core, some hours; INPUTS=100000 for less'
	@echo '              FOLDER=... keeps its corpus and its count there, and goes on from there when it was cut off'
	@echo 'make soak     clients of all sorts and faults against every driver, for an hour; ENDURE=60 for a minute'
	@echo 'make bench    the benchmark beside its peers, half an hour; BENCH="--work lockstep1,bulk --rounds 2" for less'
	@echo 'make man      the manual page of the Tcl package, from its source in man/'
	@echo 'make clean    remove what was made here'

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml tools/setup.sh tools/clients.sh tools/tcl9.sh
	PYTHON='$(PYTHON)' sh tools/setup.sh '$(VENV)'

run: setup
	$(BIN)/python -m demo

test: setup lint
	$(BIN)/python -m pytest -n auto --dist loadfile

test-pythons: setup
	sh tools/pythons.sh .venvs '$(BIN)/python'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(TCLINT) -c tclint.toml tcl compat demo benchmarks

compat: setup
	$(BIN)/python -m compat

# SEED=N plays the same sessions again; the default is the one whose result compat/README.md records.
SEED ?= 2027
INPUTS ?= 10000000
fuzz: fuzz-stock fuzz-core

fuzz-stock: setup
	$(BIN)/python -m compat.fuzz --seed $(SEED) --sessions 100000 -v

fuzz-core: setup
	$(BIN)/python -m fuzz --inputs $(INPUTS) $(if $(FOLDER),--folder '$(FOLDER)')

# SECONDS is a variable of some shells.
ENDURE ?= 3600
soak: setup
	$(BIN)/python -m soak --seconds $(ENDURE)

bench: setup $(PEERS)/ready
	$(BIN)/python -m compileall -q pysmtpd
	$(BIN)/python -m benchmarks --out benchmarks/RESULTS.md $(BENCH)

$(PEERS)/ready: tools/peers.sh
	PYTHON='$(PYTHON)' sh tools/peers.sh '$(PEERS)'

man: setup
	cd man && dtplite -o smtpd.n nroff smtpd.man

clean:
	rm -rf $(VENV) $(PEERS) .clients .tcl9 .venvs build dist *.egg-info tcl/interpreter
	find . -name __pycache__ -prune -exec rm -rf {} +
