# Every target makes what it needs: `make demo` and `make test` work in a fresh clone.
VENV ?= .venv
PYTHON ?= python3
DEMO ?= demo
MODELS ?= models
BUNDLES ?= bundles
WEIGHTS ?= imagenet
DATA ?= $(HOME)/.cache/edgewright/data
MNIST ?= $(DATA)/mnist.npz
CIFAR10 ?= $(DATA)/cifar10.npz
SOAK ?= 0.5
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RESULTS := $(BIN)/python -m edgewright.benchmarks.figures.publish
README := $(BIN)/python -m edgewright.benchmarks.figures.render README.md benchmarks/figures/results
EDGEWRIGHT_CLIENTS ?= .cache/clients
ENVIRONMENTS := tests/clients/environments
SOURCES := runtime train export benchmarks tests

.PHONY: help demo test test-slow check format types results results-train results-export results-bench results-compare results-proof results-transfer results-passes results-peers results-runtime clients clean

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
	$(BIN)/edgewright bench $(DEMO)/bundle --seconds 1 --out $(DEMO)/bench.json
	$(BIN)/edgewright report $(DEMO)/bundle --bench $(DEMO)/bench.json --out $(DEMO)/report.html
	@ls -d $(DEMO)/checkpoint/* $(DEMO)/bundle/* $(DEMO)/bench.json $(DEMO)/report.html

test: $(READY)  ## run the fast tests
	$(BIN)/pytest -q -n auto --dist loadfile

test-slow: $(READY)  ## run the long tests: clean installs, killed exports
	$(BIN)/pytest -q -n auto --dist loadfile -m slow

# Each program that opens our files and is not ours has an environment of its own. The wheels' exact
# versions are listed whole; npm's install scripts would download what CPUs do not need.
clients: $(patsubst %,$(EDGEWRIGHT_CLIENTS)/%/.ready,openvino mediapipe opencv node)  ## install the programs that tests/clients opens our files with

$(EDGEWRIGHT_CLIENTS)/node/.ready: $(ENVIRONMENTS)/package.json $(ENVIRONMENTS)/package-lock.json
	@mkdir -p $(@D)
	cp $^ $(@D)
	npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(EDGEWRIGHT_CLIENTS)/%/.ready: $(ENVIRONMENTS)/%.txt
	@if command -v uv >/dev/null; then \
		set -x; uv venv --quiet --clear --python $(PYTHON) $(@D); \
		uv pip install --quiet --python $(@D)/bin/python --no-deps -r $<; \
	else \
		set -x; $(PYTHON) -m venv --clear $(@D); \
		$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<; \
	fi
	@touch $@

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

results: demo  ## write the demo's figures to benchmarks/figures/results and render the README's tables from them
	$(RESULTS) export $(DEMO)/bundle --out benchmarks/figures/results
	$(README)

# What each recipe's default variants cost here, and on arm64 where its emulator is set up: 8 recipes in
# 12 minutes. A bundle that holds one of them no more (the gate left it out) is measured without.
MEASURED = $(patsubst %/manifest.json,%,$(wildcard $(BUNDLES)/*/manifest.json))
DEFAULTS := tflite-float32 tflite-float16 tflite-dynamic-int8 tflite-int8 onnx-float32 onnx-int8
BENCH_SECONDS ?= 3
MISSING := import sys; from edgewright.benchmarks import measurement as m; sys.exit(m.get(sys.argv[1]).missing() or 0)
BENCH_TARGETS ?= local arm64

results-bench: $(READY)  ## measure what every bundle in BUNDLES costs (12 minutes), and publish
	rm -rf .cache/bench && mkdir -p .cache/bench
	@set -e; for bundle in $(MEASURED); do for target in $(BENCH_TARGETS); do \
		test $$target = local || $(BIN)/python -c "$(MISSING)" $$target || continue; \
		variants=$$(for v in $(DEFAULTS); do test ! -e $$bundle/$$v.* || echo $$v; done | paste -sd,); \
		case $$target-$$(basename $$bundle) in \
			arm64-mnist-mobilenetv2) images=;; \
			arm64-mnist-*) images=$(MNIST);; arm64-fashion-*) images=$(DATA)/fashion_mnist.npz;; *) images=;; \
		esac; \
		test -e "$$images" || images=; \
		echo "$$bundle on $$target"; \
		$(BIN)/edgewright bench $$bundle --target $$target --variants $$variants --seconds $(BENCH_SECONDS) \
			$${images:+--images $$images} \
			--out .cache/bench/$$(basename $$bundle)-$$target.json; \
	done; done
	$(RESULTS) bench .cache/bench/*.json --out benchmarks/figures/results
	$(README)

results-compare: $(READY)  ## 40 comparisons of a model with itself, 40 with itself slowed by 5 % (12 minutes), and publish
	$(BIN)/python -m edgewright.benchmarks.figures.comparisons $(BUNDLES)/mnist-cnn:tflite-float32 --out benchmarks/figures/results
	$(README)

# What every recipe gives on its full data, and the network of mnist-cnn on that of fashion-baseline.
TRAINED := fashion-baseline fashion-mlp fashion-mnist@mnist-cnn fashion-cnn mnist-cnn mnist-tiny mnist-mobilenetv2 \
	cifar10-cnn cifar10-resnet8
ASKED_fashion-mlp := --data fashion-mnist
ASKED_mnist-mobilenetv2 := --weights $(WEIGHTS)

# Every recipe in every variant: the whole proof of what the gate lets through and what it refuses. Of four
# of them also what passes make, and beside that a float model fine-tuned as long as one pass.
EXPORTED := $(filter-out %@mnist-cnn,$(TRAINED))
PASSED := mnist-cnn fashion-mlp cifar10-resnet8 mnist-mobilenetv2
PASSED_VARIANTS := tflite-int8,onnx-int8,finetune+tflite-float32,prune50+tflite-int8,prune80+tflite-int8,cluster16+tflite-int8,qat+tflite-int8,prune80+cluster16+qat+tflite-int8,prune80+onnx-int8,cluster16+onnx-int8
TUNED_mnist-mobilenetv2 := --finetune-epochs 3
# A ResNet-8 has few weights to spare and was trained for long: half of its bytes take longer to lose.
LONGER := $(BUNDLES)/longer/cifar10-resnet8
LONGER_VARIANTS := tflite-int8,prune60+cluster14+tflite-int8
PUBLISHED = $(shell ls -d $(EXPORTED:%=$(BUNDLES)/%) $(PASSED:%=$(BUNDLES)/passes/%) $(LONGER) 2>/dev/null)

results-export: $(READY) $(EXPORTED:%=$(BUNDLES)/%/manifest.json)  ## export every trained recipe in every variant, and publish
	$(RESULTS) export $(PUBLISHED) --out benchmarks/figures/results
	$(README)

results-passes: $(READY) $(PASSED:%=$(BUNDLES)/passes/%/manifest.json) $(LONGER)/manifest.json  ## fine-tune and export what passes make of MODELS (hours), and publish
	$(RESULTS) export $(PUBLISHED) --out benchmarks/figures/results
	$(README)

# An export exits with 1 if the gate has left a variant out: the manifest has the row, and the row is the result.
EXPORT = $(BIN)/edgewright export $(<D) --out $(@D) --overwrite --variants '$(strip $(1))' $(2) || test -f $@
$(BUNDLES)/longer/%/manifest.json: $(MODELS)/%/checkpoint.json
	$(call EXPORT,$(LONGER_VARIANTS),--finetune-epochs 20)
$(BUNDLES)/passes/%/manifest.json: $(MODELS)/%/checkpoint.json
	$(call EXPORT,$(PASSED_VARIANTS),$(TUNED_$*))
$(BUNDLES)/%/manifest.json: $(MODELS)/%/checkpoint.json
	$(call EXPORT,all)

results-proof: $(READY) $(MODELS)/mnist-cnn/checkpoint.json  ## time an export against what cannot be saved, and publish
	$(BIN)/python -m edgewright.benchmarks.figures.proof $(MODELS)/mnist-cnn --data $(MNIST) --out benchmarks/figures/results
	$(README)

# Networks of three sizes, grey and colour, beside what a user would pick instead of our runtime.
PEERED := mnist-cnn cifar10-resnet8 mnist-mobilenetv2

results-peers: $(READY) clients $(PEERED:%=$(BUNDLES)/%/manifest.json)  ## time bundles of MODELS beside other runtimes (5 minutes), and publish
	EDGEWRIGHT_CLIENTS=$(EDGEWRIGHT_CLIENTS) $(BIN)/python -m edgewright.benchmarks.figures.peers $(PEERED:%=$(BUNDLES)/%) \
		--model $(PEERED:%=$(MODELS)/%/model.keras) --out benchmarks/figures/results
	$(README)

results-transfer: $(READY)  ## measure what features of a frozen base save (quarter of an hour), and publish
	$(BIN)/python -m edgewright.benchmarks.figures.transfer $(MNIST) --weights $(WEIGHTS) --out benchmarks/figures/results
	$(README)

results-train: $(READY) $(TRAINED:%=$(MODELS)/%/checkpoint.json)  ## train what is not in MODELS yet (hours), and publish
	$(RESULTS) train $(TRAINED:%=$(MODELS)/%) --out benchmarks/figures/results
	$(README)

# NAME is a recipe, or DATA@RECIPE; a cut-off training goes on.
$(MODELS)/%/checkpoint.json: | $(READY)
	$(BIN)/edgewright train $(lastword $(subst @, ,$*)) --out $(@D) $(ASKED_$*) \
		$(if $(findstring @,$*),--data $(firstword $(subst @, ,$*))) $(if $(wildcard $(MODELS)/.$*.training),--resume)

# Takes the bundles that are in BUNDLES already, so that a measurement does not begin with hours of training.
results-runtime: $(READY)  ## what the runtime adds to the bare interpreters (5 minutes; SOAK=10 watches memory for ten more), and publish
	$(BIN)/python -m edgewright.benchmarks.figures.overhead $(BUNDLES) --cifar10 $(CIFAR10) --soak-minutes $(SOAK) --out benchmarks/figures/results
	$(README)

clean:  ## remove what the other targets made, the environment included
	rm -rf $(VENV) $(DEMO) .types $(EDGEWRIGHT_CLIENTS)
