# Two commands: `make lab` to read a copy of the course, `make test` to prove it. Both make .venv on first use.
# `make site` builds the reading site with the packages of SITE alone: neither torch nor JupyterLab is needed.
PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= 2
ARGS    ?=
COURSE  ?= my-course
SITE    ?= .venv-site
BIN     := $(VENV)/bin
STAMP   := $(VENV)/installed.stamp
PYTEST   = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadscope $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help lab edit test quick chapter check run export site clean

help:
	@echo "make lab     open your copy of the course, in my-course, in JupyterLab  (no display: make lab ARGS=--no-browser)"
	@echo "make test    run every chapter and every check  (make test ARGS='-k coverage' for a part)"
	@echo "make quick   the same with fewer training steps"
	@echo "make edit    open the chapters themselves in JupyterLab, to change them; each is saved with its twin"
	@echo "make chapter NAME=1_game/08_lsgan      a new chapter from a scaffold"
	@echo "make check CHAPTER=1_game/08_lsgan     one chapter: export, short run and tests"
	@echo "make run CHAPTER=1_game/08_lsgan       export it, run it at full length, store what it shows"
	@echo "make export  after editing: twins in step, modelab/ exported, tables renewed"
	@echo "make site    the pages of the reading site in build/site, from what the notebooks store; nothing is run"
	@echo "make clean   remove what builds and tests left behind; the environment in $(VENV) stays"
	@echo "Python 3.11 or newer is needed; choose one with PYTHON=/path/to/python"

$(STAMP): settings.ini setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "modelab needs Python 3.11 or newer, and $(PYTHON) is not: try make PYTHON=python3.11 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[course,dev]'
	@touch $@

lab: $(STAMP)
	$(BIN)/python -m modelab course "$(COURSE)" --open $(ARGS)

edit: $(STAMP)
	$(BIN)/jupyter-lab --ServerApp.root_dir="$(CURDIR)" $$(test "$$(id -u)" != 0 || echo --allow-root) $(ARGS) nbs/index.ipynb

test: $(STAMP)
	env -u MODELAB_FAST -u MODELAB_RECORD $(PYTEST)

quick: $(STAMP)
	env -u MODELAB_RECORD MODELAB_FAST=1 $(PYTEST)

chapter: $(STAMP)
	@$(BIN)/python data_scripts/new_chapter.py "$(NAME)"
	@$(BIN)/python data_scripts/ledger.py --write

check: $(STAMP)
	@$(BIN)/python data_scripts/check.py "$(CHAPTER)"

run: $(STAMP)
	@$(BIN)/python data_scripts/check.py --store "$(CHAPTER)"

export: $(STAMP)
	$(BIN)/python data_scripts/run_notebooks.py --sync
	$(BIN)/python data_scripts/export.py
	$(BIN)/python data_scripts/ledger.py --write

$(SITE)/installed.stamp: settings.ini constraints.txt
	@test -x $(SITE)/bin/python || $(PYTHON) -m venv $(SITE)
	sed -n 's/^docs_requirements = //p' settings.ini | tr ' ' '\n' > $(SITE)/wanted.txt
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt -r $(SITE)/wanted.txt
	@touch $@

site: $(SITE)/installed.stamp
	$(SITE)/bin/python docs/pages.py
	$(SITE)/bin/python -m sphinx -q -W --keep-going -j auto -c docs -d build/doctrees build/docs build/site
	@echo "open build/site/index.html"

clean:
	rm -rf build dist modelab.egg-info .pytest_cache .hypothesis
	find . -path ./$(VENV) -prune -o -path ./$(SITE) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -exec rm -rf {} +
