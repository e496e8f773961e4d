# Two commands for everybody:  make course  and  make test.  Each sets itself up first.
# make test-all  runs the slow tests that make test leaves out,  make test-cpus  the tests and the
# notebooks' checked outputs as other CPUs would round them,  make test-colab  the installation
# among Colab's packages (by python3.13 or COLAB_PYTHON=/path/to/it) and the notebooks in its Jupyter.
# make site  writes the course, the API reference and the guides as a website to build/site.
# Everything they make lies in .venv/ and build/ (and the package's ordlib.egg-info/);
# `make clean` removes all of it.

SHELL := /bin/sh
BIN := .venv/bin
READY := .venv/ready
COLAB := build/colab
SPHINX := build/sphinx/packages
export ORDLIB_CACHE ?= $(CURDIR)/build/cache
export IPYTHONDIR ?= $(CURDIR)/build/ipython
export MPLCONFIGDIR ?= $(CURDIR)/build/matplotlib
export RUFF_CACHE_DIR ?= $(CURDIR)/build/ruff
export HYPOTHESIS_STORAGE_DIRECTORY ?= $(CURDIR)/build/hypothesis
course test test-all test-another-cpu test-cpus test-colab notebooks: export JUPYTER_DATA_DIR ?= $(CURDIR)/build/jupyter

# The first Python on the path that is new enough; `make PYTHON=/path/to/python` overrides.
FITS := 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c $(FITS) >/dev/null 2>&1 && echo $$p && break; done)

.PHONY: course test test-all test-another-cpu test-cpus test-colab lab notebooks site bench clean

course: $(READY)
	@$(BIN)/ordlib course run --output build/course

test: $(READY)
	@$(BIN)/python tests/parts.py test

test-all: $(READY)
	@$(BIN)/python tests/parts.py slow

# One other CPU and the tests of what is computed: what CI has time for.
test-another-cpu: $(READY)
	@$(BIN)/python tests/parts.py another-cpu

test-cpus: $(READY)
	@$(BIN)/python tests/parts.py cpus

test-colab: $(COLAB)/ready
	@$(COLAB)/bin/python tests/parts.py colab

# On a copy, which is kept: JupyterLab saves by itself, and changed notebooks would fail their checks.
lab: $(READY)
	@test -d my-notebooks || cp -R notebooks my-notebooks
	@$(BIN)/jupyter lab my-notebooks

notebooks: $(READY)
	@$(BIN)/ordlib course build

# Sphinx lies beside .venv, which stays what requirements.lock says.
site: $(SPHINX)/ready
	@PYTHONPATH=$(CURDIR)/$(SPHINX) $(BIN)/python docs/build_site.py build/site
	@echo "build/site/index.html"

bench: $(READY)
	@$(BIN)/python -m ordlib.experiments.benchmarks

clean:
	rm -rf .venv build ordlib.egg-info

$(SPHINX)/ready: $(READY) docs/requirements.lock
	@rm -rf $(SPHINX)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(SPHINX) \
		-r docs/requirements.lock
	@touch $@

$(COLAB)/ready: $(READY) tests/colab/pip-freeze.txt tests/helpers/colab.py
	@echo "Setting up $(COLAB) with Colab's Jupyter; a minute, once."
	@$(BIN)/python tests/helpers/colab.py install $(COLAB)
	@touch $@

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c $(FITS) 2>/dev/null || { echo "ordlib needs Python 3.11, 3.12 or 3.13: \
	install one from python.org, or run 'make PYTHON=/path/to/python3.12 ...'"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual \
	environments: install its venv package (Debian, Ubuntu: sudo apt install python3-venv)"; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version); a few minutes, once."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
