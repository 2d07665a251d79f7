# SPDX-License-Identifier: Apache-2.0
# Two commands do all the set-up: `make demo` and `make test`. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pod-tracker
UV_VERSION := $(patsubst uv==%,%,$(file < requirements/uv.in))
UV := $(CACHE)/uv-$(UV_VERSION)/bin/uv
VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.complete

export UV
export UV_PROJECT_ENVIRONMENT := $(VENV)
# The tests start a hundred processes; without byte code each compiles everything anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help

##@ General

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*##"; printf "Usage: make \033[36mTARGET\033[0m\n"} \
		/^[a-zA-Z0-9_-]+:.*?##/ {printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2} \
		/^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(READY) ## Show the main job for real: a cluster, the operator, a pod, the message. SLACK_TOKEN and SLACK_CHANNEL post to real Slack.
	@$(PYTHON) -m demo

##@ Development

.PHONY: test
test: lint test-unit test-tools test-integration ## Run lint and all tests.

.PHONY: test-unit
test-unit: $(READY) ## Run the unit tests (seconds, no cluster).
	$(PYTHON) -m pytest tests/unit $(PYTEST_ARGS)

.PHONY: test-tools
test-tools: $(READY) ## Run the tests of tools, commands, receivers, templates, recorded lives, and the model of the whole operator.
	$(PYTHON) -m pytest tests/tools tests/commands tests/reporters tests/templates tests/traces tests/model $(PYTEST_ARGS)

.PHONY: test-integration
test-integration: $(READY) binaries ## Run the integration tests on a real etcd and kube-apiserver.
	$(PYTHON) -m pytest tests/integration $(PYTEST_ARGS)

.PHONY: chaos
chaos: $(READY) binaries ## Prove the delivery guarantee by faults: SCALE=short|full, SEED=number.
	$(PYTHON) -m pytest tests/chaos -s --chaos-scale=$(or $(SCALE),full) $(if $(SEED),--chaos-seed=$(SEED)) $(PYTEST_ARGS)

.PHONY: lint
lint: $(READY) ## Check style, types, layers, and that generated files are what `make manifests` makes.
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	PYTHONPATH=operator $(VENV)/bin/lint-imports
	$(PYTHON) -m manifests render --check

.PHONY: fmt
fmt: $(READY) ## Format the code and mend what can be mended.
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

.PHONY: manifests
manifests: $(READY) ## Render config/ from templates/ and the API types.
	$(PYTHON) -m manifests render

.PHONY: run
run: $(READY) ## Run the operator from here, against the cluster of KUBECONFIG.
	HEALTH_PROBE_BIND_ADDRESS=$${HEALTH_PROBE_BIND_ADDRESS-127.0.0.1:8081} \
	METRICS_BIND_ADDRESS=$${METRICS_BIND_ADDRESS-127.0.0.1:8080} \
	$(PYTHON) -m podtracker run $(ARGS)

.PHONY: lock
lock: $(READY) ## Resolve requirements/*.txt anew, with hashes.
	$(UV) pip compile -q $(LOCK) requirements/uv.in -o requirements/uv.txt
	$(UV) pip compile -q $(LOCK) pyproject.toml -o requirements/run.txt
	$(UV) pip compile -q $(LOCK) pyproject.toml --group dev -c requirements/run.txt -o requirements/dev.txt
LOCK := --universal --python-version 3.11 --generate-hashes --no-header

.PHONY: clean
clean: ## Remove what make made in this folder; the cache folder stays.
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

##@ Build

.PHONY: build
build: $(READY) ## Build the Python wheel into dist/.
	$(UV) build --wheel --no-build-isolation --python $(PYTHON) --out-dir dist

##@ Cluster

.PHONY: binaries
binaries: $(READY) ## Build etcd, kube-apiserver and the like into the cache, where they are not.
	@$(PYTHON) -m devcluster build

.PHONY: cluster-up
cluster-up: $(READY) ## Start a cluster: CLUSTER=auto|local|kind|current.
	@$(PYTHON) -m devcluster up

.PHONY: cluster-down
cluster-down: $(READY) ## Stop the cluster that cluster-up started, and remove its data.
	@$(PYTHON) -m devcluster down

.PHONY: cluster-status
cluster-status: $(READY) ## Tell what runs.
	@$(PYTHON) -m devcluster status

##@ Deployment

KUBECTL ?= kubectl

.PHONY: install
install: ## Install the CRD into the cluster of KUBECONFIG.
	$(KUBECTL) apply --server-side -k config/crd

.PHONY: uninstall
uninstall: ## Remove the CRD from the cluster of KUBECONFIG, and with it every tracker.
	$(KUBECTL) delete --ignore-not-found -k config/crd

# Set-up, each step done when its file is newer than what it comes from.

$(UV): requirements/uv.txt
	@echo "Installing uv $(UV_VERSION) into $(CACHE)"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: python3 must be 3.11 or newer; it is $$(python3 --version)" >&2; exit 1; }
	@rm -rf $(CACHE)/uv-$(UV_VERSION)
	@python3 -m venv $(CACHE)/uv-$(UV_VERSION) || { echo "make: python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(CACHE)/uv-$(UV_VERSION)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(READY): $(UV) requirements/dev.txt pyproject.toml
	@echo "Installing the Python environment into $(VENV)"
	@$(UV) venv --quiet --allow-existing --python "$$(command -v python3)" $(VENV)
	@$(UV) pip sync --quiet --compile-bytecode --python $(PYTHON) --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable .
	@touch $@
