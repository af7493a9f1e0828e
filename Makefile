# Every target makes what it needs: `make demo` and `make test` work in a fresh clone.
VENV ?= .venv
PYTHON ?= python3
DEMO ?= demo
MODELS ?= models
BUNDLES ?= bundles
WEIGHTS ?= imagenet
MNIST ?= $(HOME)/.cache/edgewright/data/mnist.npz
CIFAR10 ?= $(HOME)/.cache/edgewright/data/cifar10.npz
SOAK ?= 0.5
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RESULTS := $(BIN)/python -m edgewright.benchmarks.publish
README := $(BIN)/python -m edgewright.benchmarks.readme README.md benchmarks/results
SOURCES := runtime train export benchmarks tests

.PHONY: help demo test test-slow check format types results results-train results-export results-proof results-transfer results-passes results-runtime clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("edgewright: expected Python 3.11 or newer, got " + sys.version.split()[0] + "; run make PYTHON=python3.11")'
	@if command -v uv >/dev/null; then \
		set -x; test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV); \
		uv pip install --quiet --python $(BIN)/python -e ".[all,dev]" -c constraints.txt; \
	else \
		set -x; test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
		$(BIN)/pip install --quiet --disable-pip-version-check -e ".[all,dev]" -c constraints.txt; \
	fi
	@touch $@

demo: $(READY)  ## train, export, verify, predict and measure on embedded real data (a minute)
	$(BIN)/edgewright train fashion-mlp --out $(DEMO)/checkpoint --overwrite
	$(BIN)/edgewright export $(DEMO)/checkpoint --out $(DEMO)/bundle --overwrite
	$(BIN)/edgewright verify $(DEMO)/bundle
	$(BIN)/edgewright predict $(DEMO)/bundle docs/ankle-boot.png
	$(BIN)/edgewright inspect $(DEMO)/bundle
	$(BIN)/edgewright bench $(DEMO)/bundle --out $(DEMO)/bench.json
	@ls -d $(DEMO)/checkpoint/* $(DEMO)/bundle/* $(DEMO)/bench.json

test: $(READY)  ## run the fast tests
	$(BIN)/pytest -q

test-slow: $(READY)  ## run the long tests: clean installs, killed exports
	$(BIN)/pytest -q -m slow

types: $(READY)  ## let type checkers see the folders as the packages they are installed as
	@mkdir -p .types/edgewright
	@for folder in runtime train export benchmarks; do ln -sfn ../../$$folder .types/edgewright/$$folder; done

check: types  ## format, lint, types, import rules
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	PYTHONPATH=.types $(BIN)/lint-imports

format: $(READY)  ## rewrite the sources as `make check` wants them
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

results: demo  ## write the demo's figures to benchmarks/results and render the README's tables from them
	$(RESULTS) export $(DEMO)/bundle $(PASSED_BUNDLES) --out benchmarks/results
	$(RESULTS) bench $(DEMO)/bench.json --out benchmarks/results
	$(README)

# What every recipe gives on its full data, and the network of mnist-cnn on that of fashion-baseline.
TRAINED := fashion-baseline fashion-mlp fashion-mnist@mnist-cnn fashion-cnn mnist-cnn mnist-tiny mnist-mobilenetv2 \
	cifar10-cnn cifar10-resnet8
ASKED_fashion-mlp := --data fashion-mnist
ASKED_mnist-mobilenetv2 := --weights $(WEIGHTS)

# Every recipe in every variant: the whole proof of what the gate lets through and what it refuses.
EXPORTED := $(filter-out %@mnist-cnn,$(TRAINED))

results-export: $(READY) $(EXPORTED:%=$(BUNDLES)/%/manifest.json)  ## export every trained recipe in every variant, and publish
	$(RESULTS) export $(EXPORTED:%=$(BUNDLES)/%) --out benchmarks/results
	$(README)

# Its exit status is 1 where a variant was refused; the bundle is there all the same.
$(BUNDLES)/%/manifest.json: $(MODELS)/%/checkpoint.json
	$(BIN)/edgewright export $(<D) --variants all --out $(@D) --overwrite || test -f $@

results-proof: $(READY) $(MODELS)/mnist-cnn/checkpoint.json  ## time an export against what cannot be saved, and publish
	$(BIN)/python -m edgewright.benchmarks.proof $(MODELS)/mnist-cnn --data $(MNIST) --out benchmarks/results
	$(README)

results-transfer: $(READY)  ## measure what features of a frozen base save (quarter of an hour), and publish
	$(BIN)/python -m edgewright.benchmarks.transfer $(MNIST) --weights $(WEIGHTS) --out benchmarks/results
	$(README)

results-train: $(READY) $(TRAINED:%=$(MODELS)/%/checkpoint.json)  ## train what is not in MODELS yet (hours), and publish
	$(RESULTS) train $(TRAINED:%=$(MODELS)/%) --out benchmarks/results
	$(README)

# NAME is a recipe, or DATA@RECIPE; a cut-off training goes on.
$(MODELS)/%/checkpoint.json: | $(READY)
	$(BIN)/edgewright train $(lastword $(subst @, ,$*)) --out $(@D) $(ASKED_$*) \
		$(if $(findstring @,$*),--data $(firstword $(subst @, ,$*))) $(if $(wildcard $(MODELS)/.$*.training),--resume)

# What passes give on four recipes, full data; a float model fine-tuned as long as one pass stands beside them.
PASSED := mnist-cnn fashion-mlp cifar10-resnet8 mnist-mobilenetv2
PASSED_VARIANTS := tflite-int8,onnx-int8,finetune+tflite-float32,prune50+tflite-int8,prune80+tflite-int8,cluster16+tflite-int8,qat+tflite-int8,prune80+cluster16+qat+tflite-int8,prune80+onnx-int8,cluster16+onnx-int8
PASSED_BUNDLES = $(patsubst %/manifest.json,%,$(wildcard $(PASSED:%=$(BUNDLES)/%/manifest.json)))

results-passes: demo $(PASSED:%=$(BUNDLES)/%/manifest.json)  ## fine-tune and export what passes make of MODELS (hours), and publish
	$(RESULTS) export $(DEMO)/bundle $(PASSED:%=$(BUNDLES)/%) --out benchmarks/results
	$(README)

# An export exits with 1 if the gate has left a variant out: the manifest has the row, and the row is the result.
$(BUNDLES)/%/manifest.json: $(MODELS)/%/checkpoint.json | $(READY)
	$(BIN)/edgewright export $(<D) --out $(@D) --overwrite --variants $(PASSED_VARIANTS) || test -e $@

# Takes the bundles that are in BUNDLES already, so that a measurement does not begin with hours of training.
results-runtime: $(READY)  ## what the runtime adds to the bare interpreters (8 minutes; SOAK=10 watches memory for ten more), and publish
	$(BIN)/python -m edgewright.benchmarks.overhead $(BUNDLES) --cifar10 $(CIFAR10) --soak-minutes $(SOAK) --out benchmarks/results
	$(README)

clean:  ## remove what the other targets made, the environment included
	rm -rf $(VENV) $(DEMO) .types
