# make run    set up and run the legal curriculum        make test    set up and run the tests
# make setup  the virtual environment alone              make lint    ruff and mypy
# make bench  against TRL, in CPU-seconds                make doctor  what is installed and usable
# make locks  whether the lock files can be installed    make chaos  break small runs, and see that nothing is lost
PYTHON ?= python3
# Further arguments for pip, for example where to find PyTorch's CPU wheels on a public machine (docs/quickstart.md).
PIP_ARGS ?=
# Further arguments for the run, such as ARGS="seed=1 cluster.dashboard_port=8300".
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)

.PHONY: run setup test test-all lint locks doctor chaos bench clean
run: setup
	$(BIN)/python -m rl.main +curriculum=legal $(ARGS)

test: setup
	$(BIN)/python -m pytest $(ARGS)

# The tests of every architecture too (an hour or two).
test-all: setup
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

locks: setup
	$(BIN)/python -m tools.locks

doctor: setup
	$(BIN)/python -m tools.doctor

chaos: setup
	$(BIN)/python -m tools.chaos $(ARGS)

# TRL's requirements and ours can't be installed together, so it has an environment of its own.
TRL := .bench/trl

bench: setup $(TRL)/.ready
	$(BIN)/python -m tools.bench $(ARGS)

$(TRL)/.ready: requirements/torch.txt requirements/bench-trl.txt
	@test -x $(TRL)/bin/python || $(PYTHON) -m venv $(TRL)
	@echo "installing TRL"
	@$(TRL)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r requirements/torch.txt
	@$(TRL)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --no-deps -r requirements/bench-trl.txt
	@touch $@

setup: $(STAMP)

$(STAMP): requirements/torch.txt requirements/cpu.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
		{ echo "Python 3.11 or 3.12 is needed; give one with make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing PyTorch (1/3)"
	@$(PIP) -r requirements/torch.txt
	@echo "installing the locked packages (2/3)"
	@$(PIP) --no-deps -r requirements/cpu.txt -r requirements/dev.txt
	@echo "installing Themis (3/3)"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf .venv .bench .cache .mypy_cache .ruff_cache .pytest_cache
