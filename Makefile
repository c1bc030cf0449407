# Everything from a fresh clone: python3 >= 3.11 with venv, and pip, are all that is needed beforehand.
#   make demo       trace the embedded Llama-3-8B at --tp 2, no weights needed
#   make check      lint, types, contracts and tests

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

# One pip at a time in one environment.
.NOTPARALLEL:
.DEFAULT_GOAL := check
.PHONY: demo check test lint types contracts bench rates fuzz clean
MINUTES ?= 10
TRAINED ?= build/trained

demo: $(VENV)/.installed-engine
	$(BIN)/trace-load --tp 2 --load-format dummy

check: lint types contracts test

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

contracts: $(VENV)/.installed-dev
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	@held=0; for script in tests/bench/*.py; do echo "== $$script"; PYTHONPATH=. $(BIN)/python "$$script" || held=1; done; \
	exit $$held

# Sixty small models are trained first, about half a minute each; those that are there already are not trained again.
rates: $(VENV)/.installed-dev
	PYTHONPATH=. $(BIN)/python tests/data/train.py --out $(TRAINED)
	PYTHONPATH=. $(BIN)/python tests/bench/meaning.py $(TRAINED)

fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The stamps make a second run instant; they are older than pyproject.toml when something must be installed again.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-engine: $(VENV)/.created pyproject.toml constraints.txt
	@echo 'installing into $(VENV); torch is a few hundred megabytes'
	$(PIP) install -c constraints.txt -e '.[engine]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml constraints.txt
	@echo 'installing into $(VENV); torch is a few hundred megabytes'
	$(PIP) install -c constraints.txt -e '.[engine,dev]'
	@touch $@ $(VENV)/.installed-engine
