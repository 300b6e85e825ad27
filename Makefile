# Every command a person or CI runs. `make help` lists them.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo ui test check fix clean

help:  ## This list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

setup: $(STAMP)  ## Environment in .venv with pinned versions

# Everything the demo and the UI keep: instance, artefacts, catalogue.
export DAGSTER_HOME := $(CURDIR)/.dagster_home
export HOVERFAST_ARTEFACTS ?= $(CURDIR)/demo/artefacts

$(DAGSTER_HOME)/dagster.yaml: deploy/dagster.yaml
	mkdir -p $(DAGSTER_HOME)
	cp $< $@

demo: $(STAMP) $(DAGSTER_HOME)/dagster.yaml  ## Slide to nuclei through Dagster; SLIDE=path, else synthetic
	$(BIN)/python -m assets.demo $(SLIDE)

ui: $(STAMP) $(DAGSTER_HOME)/dagster.yaml  ## Dagster webserver and daemon on http://127.0.0.1:3000
	$(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p 3000

test: $(STAMP)  ## Tests that need nothing but this checkout
	$(BIN)/python -m pytest

check: $(STAMP)  ## Format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(STAMP)  ## Format and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the environment and everything made by demo and tests
	rm -rf $(VENV) demo .dagster_home
