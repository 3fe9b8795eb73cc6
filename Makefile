# make run    set up and run the legal curriculum        make test    set up and run the tests
# make setup  the virtual environment alone              make lint    ruff and mypy
# make bench  against TRL, in CPU-seconds                make doctor  what is installed and usable
# make locks  whether the lock files can be installed    make chaos  break small runs, and see that nothing is lost
# make sbom   every installed package as JSON            make audit  known faults of the locked packages
PYTHON ?= python3
# Further arguments for pip, for example where to find PyTorch's CPU wheels on a public machine (docs/quickstart.md).
PIP_ARGS ?=
# Further arguments for the run, such as ARGS="seed=1 cluster.dashboard_port=8300".
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.ready
PIP := python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)
# Only files whose SHA-256 is in the lock file, and nothing that is not in it.
# Then PyTorch, which finds all that it needs on a CPU there already. What the lock leaves out on purpose is no conflict.
LOCKED := $(PIP) --no-deps --require-hashes

.PHONY: run setup test test-all lint locks sbom audit doctor chaos bench clean
run: setup
	$(BIN)/python -m rl.main +curriculum=legal $(ARGS)

# Two workers: one has the tests with Ray, the other the rest (tests/conftest.py).
test: setup
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder $(ARGS)

# The tests of every architecture too (an hour or two).
test-all: setup
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

locks: setup
	$(BIN)/python -m tools.locks

# Each package with version, licence and what it requires.
sbom: setup
	@$(BIN)/python -m pip inspect --disable-pip-version-check --local > sbom.json
	@echo "sbom.json"

# --strict: a package that the database does not know is a failure, not a pass.
audit:
	@test -x .bench/audit/bin/python || $(PYTHON) -m venv .bench/audit
	@.bench/audit/bin/$(PIP) pip-audit
	.bench/audit/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/cpu.txt -r requirements/dev.txt

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
	@$(TRL)/bin/$(LOCKED) -r requirements/bench-trl.txt
	@$(TRL)/bin/$(PIP) --no-warn-conflicts -r requirements/torch.txt
	@touch $@

setup: $(STAMP)

$(STAMP): requirements/torch.txt requirements/cpu.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
		{ echo "Python 3.11 or 3.12 is needed; give one with make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the locked packages (1/3)"
	@$(BIN)/$(LOCKED) -r requirements/cpu.txt -r requirements/dev.txt
	@echo "installing PyTorch (2/3)"
	@$(BIN)/$(PIP) --no-warn-conflicts -r requirements/torch.txt
	@echo "installing Themis (3/3)"
	@$(BIN)/$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf .venv .bench .cache .mypy_cache .ruff_cache .pytest_cache
