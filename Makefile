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

# What is released, under which names. Each can be given: make bundle VERSION=0.2.0 IMG=example.org/pod-tracker:dev.

# The version, without v.
VERSION ?= $(shell sed -n 's/^version: *//p' templates/values.yaml)
# The operator's image without tag; the bundle's and the catalog's have its name and -bundle, -catalog.
IMAGE_TAG_BASE ?= $(shell sed -n 's/^  operator: *\([^ ]*\).*/\1/p' templates/values.yaml)
IMG ?= $(IMAGE_TAG_BASE):v$(VERSION)
BUNDLE_IMG ?= $(IMAGE_TAG_BASE)-bundle:v$(VERSION)
CATALOG_IMG ?= $(IMAGE_TAG_BASE)-catalog:v$(VERSION)
# The channels of this version, separated by commas, and the package's default channel; empty: those of values.yaml.
CHANNELS ?=
DEFAULT_CHANNEL ?=
# true: the bundle names the operator's image by the digest of the last docker-push or docker-buildx.
USE_IMAGE_DIGESTS ?= false
# docker, podman or buildah.
CONTAINER_TOOL ?= docker
# What docker-buildx builds for.
PLATFORMS ?= linux/amd64,linux/arm64

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
test-tools: $(READY) ## Run the tests of tools, packaging, commands, receivers, templates, recorded lives, and the model of the whole operator.
	$(PYTHON) -m pytest tests/tools tests/bundle tests/commands tests/reporters tests/templates tests/traces tests/model $(PYTEST_ARGS)

.PHONY: test-integration
test-integration: $(READY) binaries ## Run the integration tests on a real etcd and kube-apiserver.
	$(PYTHON) -m pytest tests/integration $(PYTEST_ARGS)

.PHONY: setup-test-e2e
setup-test-e2e: $(READY) ## Start the cluster of the end-to-end tests and put the operator's image on it: K8S_IMAGE.
	@$(PYTHON) -m kindnode up
	@$(PYTHON) -m kindnode.operator_image

.PHONY: test-e2e
test-e2e: $(READY) ## Run the end-to-end tests on kind, or on the cluster of KUBECONFIG: CLUSTER=kind|current, K8S_IMAGE, IMG.
	CLUSTER=$(or $(CLUSTER),kind) IMG=$(if $(filter current,$(CLUSTER)),$(IMG)) $(PYTHON) -m pytest tests/e2e $(PYTEST_ARGS)

.PHONY: cleanup-test-e2e
cleanup-test-e2e: $(READY) ## End the cluster of the end-to-end tests; its images stay in the cache.
	@$(PYTHON) -m kindnode down

.PHONY: chaos
chaos: $(READY) binaries ## Prove the delivery guarantee by faults: SCALE=short|full, SEED=number.
	$(PYTHON) -m pytest tests/chaos -s --chaos-scale=$(or $(SCALE),full) $(if $(SEED),--chaos-seed=$(SEED)) $(PYTEST_ARGS)

.PHONY: bench bench-full
bench: BENCH := usual
bench-full: BENCH := full
bench bench-full: $(READY) $(VENV)/.bench binaries ## Measure the operator beside its baselines, write docs/benchmarks.md; fail where a ratio became worse. bench-full: for longer.
	PYTHONPATH=tests $(PYTHON) -m benchmark --scale $(BENCH)

$(VENV)/.bench: requirements/bench.txt $(READY)
	@$(UV) pip install --quiet --python $(PYTHON) --require-hashes -r requirements/bench.txt
	@touch $@

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
manifests: $(READY) ## Render config/, bundle/, catalog/ and the Dockerfiles from templates/ and the API types.
	$(PYTHON) -m manifests render $(RENDER_FLAGS)
RENDER_FLAGS = --version '$(VERSION)' --image-base '$(IMAGE_TAG_BASE)' --image '$(IMG)' --bundle-image '$(BUNDLE_IMG)' \
	$(if $(CHANNELS),--channels '$(CHANNELS)') $(if $(DEFAULT_CHANNEL),--default-channel '$(DEFAULT_CHANNEL)') \
	$(if $(filter true,$(USE_IMAGE_DIGESTS)),--digest-file $(IMAGE_DIGEST))
IMAGE_DIGEST := dist/image.digest

.PHONY: generate vet lint-fix
generate: manifests ## manifests, by its name in operator-sdk's projects.
vet: lint ## lint, by its name there.
lint-fix: fmt ## fmt, by its name there.

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
	$(UV) pip compile -q $(LOCK) --group bench -c requirements/dev.txt -o requirements/bench.txt
LOCK := --universal --python-version 3.11 --generate-hashes --no-header

.PHONY: clean
clean: ## Remove what make made in this folder; the cache folder stays.
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

##@ Build

.PHONY: build
build: $(READY) ## Build the Python wheel into dist/.
	$(UV) build --wheel --no-build-isolation --python $(PYTHON) --out-dir dist

# The three container tools differ in how they take a time, and in how they build for several platforms.
ENGINE = $(notdir $(firstword $(CONTAINER_TOOL)))
SOURCE_DATE_EPOCH ?= $(shell date -u -d "$$(sed -n 's/^releaseDate: "\(.*\)".*/\1/p' templates/values.yaml)" +%s)
TIMES = $(if $(filter docker,$(ENGINE)),,--timestamp $(SOURCE_DATE_EPOCH))
IMAGE_ARGS = --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
	--build-arg SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
	$(if $(PIP_INDEX_URL),--build-arg PIP_INDEX_URL=$(PIP_INDEX_URL)) $(BUILD_ARGS)
# Files keep their mode in these images, and OLM's pods are not root: whatever the umask was here, all may read.
READABLE = chmod -R a+rX,go-w
# What stands before the tag or the digest.
IMG_NAME = $(shell echo '$(IMG)' | sed 's/@.*//; s/:[^:/]*$$//')

.PHONY: docker-build
docker-build: ## Build the operator's image: IMG, CONTAINER_TOOL, BASE_IMAGE, PIP_INDEX_URL, BUILD_ARGS.
	$(CONTAINER_TOOL) build $(TIMES) $(IMAGE_ARGS) -f Dockerfile -t $(IMG) .
	@echo "size of the image: $$($(CONTAINER_TOOL) images --format '{{.Size}}' $(IMG))"

.PHONY: docker-push
docker-push: ## Push the operator's image, and keep its digest for USE_IMAGE_DIGESTS=true.
	@mkdir -p $(dir $(IMAGE_DIGEST))
ifeq ($(notdir $(firstword $(CONTAINER_TOOL))),docker)
	$(CONTAINER_TOOL) push $(IMG)
	@$(CONTAINER_TOOL) image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' $(IMG) \
		| sed -n 's|^$(IMG_NAME)@||p' | head -n 1 > $(IMAGE_DIGEST)
else
	$(CONTAINER_TOOL) push --digestfile $(IMAGE_DIGEST) $(IMG)
endif

.PHONY: docker-buildx
docker-buildx: ## Build the operator's image for PLATFORMS and push it, as one image.
	@mkdir -p $(dir $(IMAGE_DIGEST))
ifeq ($(notdir $(firstword $(CONTAINER_TOOL))),docker)
	$(CONTAINER_TOOL) buildx build --platform=$(PLATFORMS) $(IMAGE_ARGS) --metadata-file dist/buildx.json \
		--output type=image,name=$(IMG),push=true,rewrite-timestamp=true -f Dockerfile .
	@sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' dist/buildx.json > $(IMAGE_DIGEST)
else
	-$(CONTAINER_TOOL) manifest rm $(IMG)
	$(CONTAINER_TOOL) build --platform=$(PLATFORMS) $(TIMES) $(IMAGE_ARGS) -f Dockerfile --manifest $(IMG) .
	$(CONTAINER_TOOL) manifest push --all --digestfile $(IMAGE_DIGEST) $(IMG) docker://$(IMG)
endif

.PHONY: sbom
sbom: $(READY) ## Write the image's bill of materials, CycloneDX: dist/sbom.cdx.json.
	@$(PYTHON) -m manifests sbom --version '$(VERSION)' --output dist/sbom.cdx.json
	@echo dist/sbom.cdx.json

.PHONY: build-installer
build-installer: $(READY) ## Write one file that installs everything without OLM: dist/install.yaml.
	@$(PYTHON) -m manifests installer $(RENDER_FLAGS) --output dist/install.yaml
	@echo dist/install.yaml

.PHONY: release
release: $(READY) ## Make this tree that of a new version: VERSION=x.y.z [CHANNELS=a,b] [DATE=yyyy-mm-dd]. Commits nothing.
	@$(PYTHON) -m manifests release '$(VERSION)' $(if $(DATE),--date '$(DATE)') $(if $(CHANNELS),--channels '$(CHANNELS)')

.PHONY: community-export
community-export: $(READY) ## Write all releases, as OperatorHub's repositories want them, into COMMUNITY_DIR.
	@$(PYTHON) -m manifests community '$(COMMUNITY_DIR)'
COMMUNITY_DIR ?= dist/community-operators

##@ Bundle

.PHONY: bundle
bundle: manifests ## Make bundle/ and bundle.Dockerfile, and check them: VERSION, IMG, CHANNELS, DEFAULT_CHANNEL, USE_IMAGE_DIGESTS.
	@$(PYTHON) -m bundlecheck bundle

.PHONY: bundle-build
bundle-build: ## Build the bundle's image.
	@$(READABLE) bundle
	$(CONTAINER_TOOL) build $(TIMES) -f bundle.Dockerfile -t $(BUNDLE_IMG) .

.PHONY: bundle-push
bundle-push: ## Push the bundle's image.
	$(CONTAINER_TOOL) push $(BUNDLE_IMG)

.PHONY: catalog
catalog: manifests ## Make catalog/ and catalog.Dockerfile: this version, and those in releases/.

.PHONY: catalog-build
catalog-build: ## Build the catalog's image; CATALOG_TARGET=content: without opm; OPM_IMAGE: with another one.
	@$(READABLE) catalog
	$(CONTAINER_TOOL) build $(TIMES) $(if $(CATALOG_TARGET),--target $(CATALOG_TARGET)) \
		$(if $(OPM_IMAGE),--build-arg OPM_IMAGE=$(OPM_IMAGE)) -f catalog.Dockerfile -t $(CATALOG_IMG) .

.PHONY: catalog-push
catalog-push: ## Push the catalog's image.
	$(CONTAINER_TOOL) push $(CATALOG_IMG)

.PHONY: scorecard
scorecard: ## Run operator-sdk's scorecard on bundle/, in the cluster of KUBECONFIG.
	operator-sdk scorecard bundle --namespace $(OLM_NAMESPACE) --wait-time 5m

OLM_NAMESPACE ?= pod-tracker-system
# OwnNamespace, AllNamespaces, SingleNamespace=ns or MultiNamespace=a,b.
INSTALL_MODE ?= AllNamespaces

.PHONY: olm-install
olm-install: ## Install BUNDLE_IMG through the cluster's OLM, with operator-sdk: OLM_NAMESPACE, INSTALL_MODE.
	$(KUBECTL) get namespace $(OLM_NAMESPACE) >/dev/null 2>&1 || $(KUBECTL) create namespace $(OLM_NAMESPACE)
	operator-sdk run bundle $(BUNDLE_IMG) --namespace $(OLM_NAMESPACE) --install-mode $(INSTALL_MODE) \
		--security-context-config restricted --timeout 5m

.PHONY: olm-uninstall
olm-uninstall: ## Remove what olm-install installed, the CRD and every tracker too.
	operator-sdk cleanup pod-tracker --namespace $(OLM_NAMESPACE)

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

.PHONY: deploy
deploy: $(READY) ## Install CRD, rights and the operator into the cluster of KUBECONFIG: IMG.
	$(PYTHON) -m manifests installer $(RENDER_FLAGS) | $(KUBECTL) apply --server-side -f -

.PHONY: undeploy
undeploy: $(READY) ## Remove what deploy installed, and with it every tracker.
	$(PYTHON) -m manifests installer $(RENDER_FLAGS) | $(KUBECTL) delete --ignore-not-found -f -

# Set-up, each step done when its file is newer than what it comes from.

# The version is in the folder's name, so what is there is right; made beside it, so that others never see it half made.
$(UV):
	@echo "Installing uv $(UV_VERSION) into $(CACHE)"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: python3 must be 3.11 or newer; it is $$(python3 --version)" >&2; exit 1; }
	@mkdir -p $(CACHE)
	@new=$$(mktemp -d $(CACHE)/uv-new.XXXXXX) && trap 'rm -rf "$$new"' EXIT && \
	{ python3 -m venv $$new/made || { echo "make: python3 -m venv failed; on Debian: apt-get install python3-venv" >&2; exit 1; }; } && \
	$$new/made/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt && \
	{ [ -x $@ ] || { rm -rf $(CACHE)/uv-$(UV_VERSION) && mv -T $$new/made $(CACHE)/uv-$(UV_VERSION); }; }

$(READY): requirements/dev.txt pyproject.toml | $(UV)
	@echo "Installing the Python environment into $(VENV)"
	@$(UV) venv --quiet --allow-existing --python "$$(command -v python3)" $(VENV)
	@$(UV) pip sync --quiet --compile-bytecode --python $(PYTHON) --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable .
	@touch $@

##@ Bundle validation

OUTPUT ?= text
# The folder of OLM's CRDs, where there is one: with it the ClusterServiceVersion is held against its own.
OLM_CRDS ?= $(wildcard ../shared/olm/crds)

.PHONY: bundle-check
bundle-check: $(READY) ## Fail when bundle/, catalog/ or config/ are not what `make bundle catalog` makes.
	@$(PYTHON) -m manifests render --check $(RENDER_FLAGS)

.PHONY: bundle-validate
bundle-validate: $(READY) ## Check bundle/, catalog/ and config/ offline: our checks, kubeconform, and operator-sdk and opm on PATH. OUTPUT=text|json|sarif, STRICT=1, OLM_CRDS.
	@$(PYTHON) -m bundlecheck bundle --catalog catalog --kubeconform --official --output $(OUTPUT) \
		$(if $(STRICT),--strict) $(if $(OLM_CRDS),--olm-crds '$(OLM_CRDS)')
	@$(PYTHON) -m bundlecheck manifests config $(if $(OLM_CRDS),--crds '$(OLM_CRDS)') $(if $(STRICT),--strict) >&2

.PHONY: catalog-validate
catalog-validate: $(READY) ## Check catalog/ offline: our checks, and opm where it is on PATH. OUTPUT, STRICT.
	@$(PYTHON) -m bundlecheck catalog catalog --official --output $(OUTPUT) $(if $(STRICT),--strict)
