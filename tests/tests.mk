# Tests that take an environment of their own, or hours. Read by the Makefile at the root.
EDGEWRIGHT_CLIENTS ?= .cache/clients
ENVIRONMENTS := tests/clients/environments

.PHONY: clients fuzz faults mutants

# Wheels' exact versions are listed whole; npm's install scripts would download what CPUs do not need.
clients: $(patsubst %,$(EDGEWRIGHT_CLIENTS)/%/.ready,openvino mediapipe opencv node kotlin)  ## install what tests/clients opens our files with

$(EDGEWRIGHT_CLIENTS)/node/.ready: $(ENVIRONMENTS)/package.json $(ENVIRONMENTS)/package-lock.json
	@mkdir -p $(@D)
	cp $^ $(@D)
	npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
$(EDGEWRIGHT_CLIENTS)/kotlin/.ready: $(ENVIRONMENTS)/kotlin/package.json $(ENVIRONMENTS)/kotlin/package-lock.json
	@mkdir -p $(@D)
	cp $^ $(@D)
	npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
$(EDGEWRIGHT_CLIENTS)/%/.ready: $(ENVIRONMENTS)/%.txt
	@rm -rf $(@D)
	$(call environment,$(@D),--no-deps -r $<)

# Atheris is there for Linux and few versions of Python, so it is an extra of its own.
WITH_FUZZ := -e ".[all,dev,fuzz]" -c constraints.txt
FUZZ_SECONDS ?= 60
FUZZ_OUT ?= .cache/fuzz
FUZZ_TARGETS ?= onnx tflite manifest contract picture
$(VENV)/.fuzz: $(READY)
	$(call environment,$(VENV),$(WITH_FUZZ))

FUZZED := $(FUZZ_TARGETS:%=fuzz-%)
.PHONY: $(FUZZED)
fuzz: $(FUZZED)  ## fuzz what reads files from outside (FUZZ_SECONDS=60 each; -j2 takes two at a time)

$(FUZZED): fuzz-%: $(VENV)/.fuzz
	@$(BIN)/python -m edgewright.benchmarks.figures.reliability.fuzz $* --seconds $(FUZZ_SECONDS) \
		--out $(FUZZ_OUT) || { tail -n 40 .cache/fuzz/$*.log; exit 1; }

# FAULTS moments of each of the three, 102 in all: an hour on a small machine.
FAULTS ?= 34
faults: $(READY)  ## kill and starve train, export and bench at 102 random moments (an hour)
	EDGEWRIGHT_FAULTS=$(FAULTS) $(BIN)/pytest -q tests/faults -m slow

# Faults on purpose, each in a copy of the project: MUTANTS of them, other ones each TURN, which is the day's.
MUTANTS ?=
TURN ?= $(shell date +%j)
mutants: $(READY)  ## plant deliberate faults: a test has to notice each (MUTANTS=10: ten of them)
	$(BIN)/python -m edgewright.benchmarks.figures.mutants $(if $(MUTANTS),--count $(MUTANTS) --turn $(TURN))
