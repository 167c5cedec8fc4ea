# Needs Python 3.11 or newer and make; everything else is installed into this folder.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := /bin/sh

UV_VERSION := 0.13.9
BUF_VERSION := 1.75.0
MODEL := all-minilm-l6-v2

# what vectors are computed in, and whether `run` therefore installs OpenVINO
PRECISION := $(or $(TRIPTYCH_RUNTIME_PRECISION),fp32)

REPOSITORY := $(abspath $(or $(TRIPTYCH_MODELS_REPOSITORY),model-repository))
SOURCES := libs services models clients deploy tests benchmarks
PYTEST := .venv/bin/pytest

# An environment is older than what it was made from, or it is left alone: no second start waits
# for a resolver. Runtime and development share .venv, and neither removes what the other added.
UV := .uv/bin/uv
UV_READY := .uv/.installed-$(UV_VERSION)
RUNTIME := .venv/.synced-runtime
OPENVINO := .venv/.synced-openvino
PLOTS := .venv/.synced-plots
DEVELOPMENT := .venv/.synced-development
LOCKED := uv.lock $(wildcard pyproject.toml */pyproject.toml */*/pyproject.toml) \
	libs/contracts/hatch_build.py $(shell find protos -name '*.proto')
SYNC = UV_PYTHON=$(CURDIR)/.uv/bin/python UV_PYTHON_DOWNLOADS=never $(UV) sync --frozen --inexact

BUNDLE := $(REPOSITORY)/$(MODEL)/1/bundle.yaml
SHIPPED := models/triptych_models/shipped
HEADS := $(patsubst $(SHIPPED)/%,$(REPOSITORY)/%,$(wildcard $(SHIPPED)/*/*/bundle.yaml))
BUF_FOLDER := .cache/buf-$(BUF_VERSION)
BUF := $(BUF_FOLDER)/node_modules/.bin/buf
RELEASE = $(shell git describe --tags --abbrev=0 --match 'v*' 2>/dev/null)

# What images are of, as their labels and tags say it.
VERSION = $(shell sed -n 's/^TRIPTYCH_VERSION=//p' .env)
REVISION = $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

export TRIPTYCH_MODELS_REPOSITORY := $(REPOSITORY)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-18s%s\n", $$1, $$2}' Makefile

.PHONY: run
run: export TRIPTYCH_RUNTIME_PRECISION := $(PRECISION)
run: $(if $(filter-out fp32,$(PRECISION)),$(OPENVINO),$(RUNTIME)) $(BUNDLE) $(HEADS) ## start the platform on this machine, PRECISION=fp32|bf16|int8|auto; Ctrl-C stops it
	@exec .venv/bin/triptych-local --repository $(REPOSITORY)

.PHONY: bundle
bundle: $(BUNDLE) $(HEADS) ## fetch and compile the default model into model-repository/, with its heads; PRECISION=int8 adds int8 to it
	$(if $(filter int8,$(PRECISION)),.venv/bin/triptych-models compile --precision int8 --replace)

.PHONY: evaluate
evaluate: $(PLOTS) ## score a model of the running platform on a labelled set: ARGS="--model NAME --data FILE"; ARGS="--help" tells more
	.venv/bin/triptych evaluate $(ARGS)

.PHONY: test
test: $(DEVELOPMENT) $(BUNDLE) $(HEADS) ## unit and integration tests; those marked `data` where TRIPTYCH_TEST_DATA is set
	$(PYTEST) $(if $(TRIPTYCH_TEST_DATA),,-m 'not data') tests/unit tests/parity tests/integration

.PHONY: e2e
e2e: $(DEVELOPMENT) ## tests of the platform in containers; needs a Docker engine with compose
	$(PYTEST) --timeout 900 tests/e2e

K8S := .venv/.synced-k8s

.PHONY: k8s-check
k8s-check: $(K8S) $(BUNDLE) $(HEADS) ## hold deploy/k8s against schemas, checks and faults; needs kubectl and promtool
	$(PYTEST) tests/k8s

.PHONY: release-images
release-images: $(DEVELOPMENT) ## push a release to REGISTRY, and write its digests into the production overlay
	.venv/bin/python -m deploy.k8s.release_images $(REGISTRY)

.PHONY: check-long
check-long: $(DEVELOPMENT) $(BUNDLE) $(HEADS) ## tests that take longer than a change should wait
	$(PYTEST) tests/long

.PHONY: check
check: $(DEVELOPMENT) proto-check ## lint, format, types and contract
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy $(SOURCES)

.PHONY: format
format: $(DEVELOPMENT) ## put every Python file into shape
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# $(call image,FOLDER,FILE): the protos in FOLDER, with the google.rpc they import, as one image
image = .venv/bin/python -m grpc_tools.protoc --include_imports --include_source_info \
	-I$(1) -I"$$(.venv/bin/python -c 'import google.rpc as g; print(next(iter(g.__path__)))')/../.." \
	--descriptor_set_out=$(2) $$(cd $(1) && find triptych -name '*.proto' | sort)

.PHONY: proto-check
proto-check: $(DEVELOPMENT) $(BUF) ## lint protos/ and hold it against the latest release
	@mkdir -p .cache
	$(call image,protos,.cache/protos.binpb)
	$(BUF) lint .cache/protos.binpb --config buf.yaml
	$(if $(RELEASE),@$(MAKE) proto-breaking RELEASE=$(RELEASE))

.PHONY: proto-breaking
proto-breaking:
	rm -rf .cache/release && mkdir -p .cache/release
	git archive $(RELEASE) protos | tar -x -C .cache/release
	$(call image,.cache/release/protos,.cache/release.binpb)
	$(BUF) breaking .cache/protos.binpb --against .cache/release.binpb --config buf.yaml

.PHONY: stubs
stubs: $(DEVELOPMENT) ## generate the Python of protos/ anew, and a wheel of it in dist/
	$(SYNC) --reinstall-package triptych-contracts
	$(UV) build --wheel --package triptych-contracts --out-dir dist

.PHONY: docs
docs: $(DEVELOPMENT) ## write docs/settings.md from the code
	.venv/bin/python docs/write_settings.py

BENCH = .venv/bin/python -m benchmarks --repository $(REPOSITORY)
BENCH_READY := $(DEVELOPMENT) $(BUNDLE) $(or $(shell command -v wrk),.cache/bench/.wrk)
BENCH_ENVIRONMENTS := $(patsubst benchmarks/environments/%.txt,.cache/bench/%/.installed,\
	$(wildcard benchmarks/environments/*.txt))
ONNX := .cache/bench/onnx/model.onnx

.PHONY: bench
bench: $(BENCH_READY) $(BENCH_ENVIRONMENTS) $(ONNX) ## platform, bare runtime and peers under load, into benchmarks/results; ARGS="--help" tells more
	$(BENCH) --out benchmarks/results $(ARGS)

.PHONY: bench-quick
bench-quick: $(BENCH_READY) ## platform over bare runtime in the rows that have bars, in two minutes
	$(BENCH) --quick $(ARGS)

.cache/bench/.wrk:
	@if [ "$$(id -u)" -ne 0 ]; then echo 'The load client is missing: apt-get install wrk' >&2; exit 1; fi
	apt-get install -y -qq wrk || { apt-get update -qq && apt-get install -y -qq wrk; }

# torch by pip and first: what depends on it would otherwise choose its build
$(BENCH_ENVIRONMENTS): .cache/bench/%/.installed: benchmarks/environments/%.txt | $(UV_READY)
	rm -rf $(@D) && .uv/bin/python -m venv $(@D)
	if grep '^torch==' $< >$(@D)/torch.txt; then \
		$(@D)/bin/pip install --quiet --disable-pip-version-check -r $(@D)/torch.txt; fi
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(ONNX): | $(BUNDLE) .cache/bench/infinity/.installed
	rm -rf $(@D)
	HF_HUB_OFFLINE=1 .cache/bench/infinity/bin/optimum-cli export onnx --task feature-extraction \
		--library transformers --model $(REPOSITORY)/.cache/gt-$(MODEL)-* $(@D)

TRAIN_ENV := .cache/train-env
TRAIN_READY := $(TRAIN_ENV)/.installed
RECIPES := models/train/recipes
# a recipe of ours by its name, or any by its path
RECIPE_FILE = $(or $(wildcard $(RECIPES)/$(RECIPE).yaml),$(RECIPE))

.PHONY: train
train: $(TRAIN_READY) ## fine-tune by RECIPE (banking77, financial-sentiment, wnut17, or a file) on the data in DATA; ARGS="--help" tells more
	$(TRAIN_ENV)/bin/triptych-train $(RECIPE_FILE) --data $(DATA) $(ARGS)

.PHONY: train-check
train-check: $(TRAIN_READY) $(BUNDLE) ## tests of fine-tuning, with small models; those marked `data` where TRIPTYCH_TEST_DATA is set
	$(TRAIN_ENV)/bin/pytest $(if $(TRIPTYCH_TEST_DATA),,-m 'not data') -c models/train/pyproject.toml models/train/train_tests

.PHONY: train-image
train-image: ## build the image of fine-tuning; TORCH_INDEX=https://download.pytorch.org/whl/cpu makes it small
	DOCKER_BUILDKIT=1 docker build -f models/train/Dockerfile --build-arg TORCH_INDEX=$(TORCH_INDEX) \
		--build-arg PYTHON_IMAGE=$(or $(PYTHON_IMAGE),python:3.11-slim-bookworm) \
		--build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
		-t $(or $(TRAIN_IMAGE),triptych/train:$(VERSION)) .

# torch by pip and first: what depends on it would otherwise choose its build
TRAIN_PACKAGES := libs/bundles models models/train
$(TRAIN_READY): $(TRAIN_PACKAGES:%=%/pyproject.toml) | $(UV_READY)
	rm -rf $(TRAIN_ENV) && .uv/bin/python -m venv $(TRAIN_ENV)
	$(TRAIN_ENV)/bin/pip install --quiet --disable-pip-version-check \
		"$$(grep -o 'torch==[0-9.]*' models/train/pyproject.toml)"
	$(TRAIN_ENV)/bin/pip install --quiet --disable-pip-version-check \
		-e libs/bundles -e models -e 'models/train[test]'
	@touch $@

PARITY_READY := .cache/parity-env/.installed-torch-2.13.0-transformers-5.23.0

.PHONY: parity
parity: $(PARITY_READY) ## compute anew what tests/parity/ holds models against; installs torch and transformers
	.cache/parity-env/bin/python -m tests.parity.make_golden

$(PARITY_READY): | $(UV_READY)
	rm -rf $(@D) && .uv/bin/python -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(@D)/bin/pip install --quiet --disable-pip-version-check transformers==5.23.0 sentence-transformers==6.2.0
	@touch $@

.PHONY: clean
clean: ## remove environments, caches and what was generated; bundles stay
	rm -rf .venv .uv .cache .mypy_cache .pytest_cache .ruff_cache dist libs/contracts/triptych
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV_READY):
	@python=; for name in python3 python3.11 python3.12 python3.13 python3.14; do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then echo 'Triptych needs Python 3.11 or newer on the PATH.' >&2; exit 1; fi; \
	echo "making the environment with $$python"; \
	$$python -m venv .uv || { echo 'Its venv module is missing: install it (Debian: python3-venv).' >&2; exit 1; }
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

$(RUNTIME): $(LOCKED) | $(UV_READY)
	$(SYNC) --no-dev
	@touch $@

$(OPENVINO): $(LOCKED) | $(UV_READY)
	$(SYNC) --no-dev --extra openvino
	@touch $@ $(RUNTIME)

$(PLOTS): $(LOCKED) | $(UV_READY)
	$(SYNC) --no-dev --extra plots
	@touch $@ $(RUNTIME)

# has OpenVINO and matplotlib too, which its tests run
$(DEVELOPMENT): $(LOCKED) | $(UV_READY)
	$(SYNC)
	@touch $@ $(RUNTIME) $(OPENVINO) $(PLOTS)

$(K8S): $(DEVELOPMENT)
	$(SYNC) --group k8s
	@touch $@ $(DEVELOPMENT) $(RUNTIME)

# order-only: a newer environment is no reason to compile the same weights again
$(BUNDLE): | $(RUNTIME)
	.venv/bin/triptych-models compile

$(HEADS): $(REPOSITORY)/%/bundle.yaml: | $(RUNTIME) $(BUNDLE)
	.venv/bin/triptych-models install-heads $(subst /,@,$*)

$(BUF):
	npm install --no-save --no-audit --no-fund --loglevel=error --prefix $(BUF_FOLDER) @bufbuild/buf@$(BUF_VERSION)

# Containers.
LAYERED = docker compose -f compose.yaml -f compose.$(1).yaml up -d --wait
images up up-gpu up-observability up-mesh: export TRIPTYCH_REVISION = $(REVISION)

.PHONY: images
images: ## build every image but the GPU's
	docker compose build

.PHONY: up
up: ## start the platform in containers, and wait until it is healthy
	docker compose up -d --wait

.PHONY: up-gpu
up-gpu: ## the same, with the encoder on an NVIDIA GPU
	$(call LAYERED,gpu)

.PHONY: up-observability
up-observability: ## the same, with Prometheus on port 9090
	$(call LAYERED,observability)

# Keys are for the user that reads them: root hands them to that of all containers.
MESH := .cache/mesh
POLICY := policy
.PHONY: up-mesh
up-mesh: $(DEVELOPMENT) ## start it with a proxy beside every service; POLICY=trial adds releases on trial
	.venv/bin/python -m deploy.mesh deploy/mesh/$(POLICY) $(MESH)
	TRIPTYCH_MESH_REVISION=$$(cat $(MESH)/revision) COMPOSE_PROFILES=$(POLICY) \
	TRIPTYCH_MESH_USER=$$([ "$$(id -u)" -eq 0 ] && echo 10001:10001 || echo "$$(id -u):$$(id -g)") \
		$(call LAYERED,mesh)

.PHONY: logs
logs: ## follow the containers' logs
	docker compose logs --follow --tail 100

.PHONY: down
down: ## stop and remove the containers; the volumes stay
	docker compose down --remove-orphans
