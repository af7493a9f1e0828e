# Every target makes what it needs: `make demo` and `make test` work in a fresh clone.
VENV ?= .venv
PYTHON ?= python3
DEMO ?= demo
DEMO_SECONDS ?= 1
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS ?= all,dev
PROJECT := -e ".[$(EXTRAS)]" -c constraints.txt
SOURCES := runtime train apps export benchmarks tests
PYTEST := $(BIN)/pytest -q -n auto --dist worksteal
# Where it is set, each of the many processes that tests start compiles our sources, and pytest all tests, anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-slow test-all check format types docs figures figures-check results clean

help:  ## show this list
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

# A Python environment in a folder, by uv where it is, with what pip is told to install. Neither compiles what it
# installs: Python does so with what is imported, a small part.
define environment
	@if command -v uv >/dev/null; then \
		create="uv venv --quiet --seed --python $(PYTHON)"; pip="uv pip install --quiet --python $(1)/bin/python"; \
	else create="$(PYTHON) -m venv"; pip="$(1)/bin/pip install --quiet --no-compile --disable-pip-version-check"; fi; \
	set -x; test -x $(1)/bin/python || $$create $(1); $$pip $(2)
	@touch $@
endef

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("edgewright: expected Python 3.11 or newer, got " + sys.version.split()[0] + "; run make PYTHON=python3.11")'
	$(call environment,$(VENV),$(PROJECT))

demo: $(READY)  ## train, export, verify, predict and measure on real data (a minute)
	$(BIN)/edgewright train fashion-mlp --out $(DEMO)/checkpoint --overwrite
	$(BIN)/edgewright export $(DEMO)/checkpoint --out $(DEMO)/bundle --overwrite
	$(BIN)/edgewright verify $(DEMO)/bundle
	$(BIN)/edgewright predict $(DEMO)/bundle docs/ankle-boot.png
	$(BIN)/edgewright inspect $(DEMO)/bundle
	$(BIN)/edgewright bench $(DEMO)/bundle --seconds $(DEMO_SECONDS) --out $(DEMO)/bench.json
	$(BIN)/edgewright report $(DEMO)/bundle --bench $(DEMO)/bench.json --out $(DEMO)/report.html
	@ls -d $(DEMO)/checkpoint/* $(DEMO)/bundle/* $(DEMO)/bench.json $(DEMO)/report.html

test: $(READY)  ## run the fast tests
	$(PYTEST) --durations 12 --durations-min 5

test-slow: $(READY)  ## run the long tests: clean installs, killed exports
	$(PYTEST) -m slow --durations 25 --durations-min 10

MARKED ?= not long
test-all: $(READY)  ## run both in one go, as CI does, but what is marked 'long' (MARKED=)
	$(PYTEST) -m '$(MARKED)' --durations 25 --durations-min 10

types: $(READY)  ## let type checkers see the folders as the packages they become
	@mkdir -p .types/edgewright
	@for folder in runtime train apps export benchmarks; do ln -sfn ../../$$folder .types/edgewright/$$folder; done

include tests/tests.mk

check: types  ## format, lint, types, import rules
	$(BIN)/ruff format --check $(SOURCES) && $(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	PYTHONPATH=.types $(BIN)/lint-imports

format: $(READY)  ## rewrite the sources as `make check` wants them
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

docs: $(READY)  ## build the pages of docs/ as a site; a broken link fails
	$(BIN)/sphinx-build -E -W --keep-going -q -d .cache/doctrees docs .cache/site

figures: results-all  ## make all published figures again (hours; goes on where it was), and say what moved
figures-check: results-again  ## hold what is cheap to derive against the published figures (minutes)
results: results-demo
results-%:  ## publish figures anew; make results-help shows which
	@$(if $(filter benchmarks/%,$(MAKEFILE_LIST)),$(error expected a name that make results-help shows, got $@))
	@$(MAKE) --no-print-directory -f benchmarks/figures/Makefile $@

clean:  ## remove what the other targets made, the environment included
	rm -rf $(VENV) $(DEMO) .types $(EDGEWRIGHT_CLIENTS)
