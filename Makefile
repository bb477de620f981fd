PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint eval bench bundle clean

$(BIN)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

# Spark is 450 MB to fetch: only what tests it installs it.
$(BIN)/.spark: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[spark]"
	touch $@

lint: $(BIN)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

demo: $(BIN)/.installed
	rm -rf demo
	mkdir demo
	$(BIN)/pingyao example-bank demo/bank
	$(BIN)/pingyao scan demo/bank --report demo/report

test: lint $(BIN)/.spark
	sh deploy/test-servers.sh
	$(BIN)/pytest -n 2 --dist loadfile

bundle: $(BIN)/.installed
	sh deploy/bundle.sh dist

# The software we are compared with has an environment of its own: it pins what would not suit ours.
PEERS := .venv-peers
$(PEERS)/.installed:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet "DataProfiler[ml]==0.14.*" "presidio-analyzer==2.2.*" pyarrow
	touch $@

bench: $(BIN)/.installed $(PEERS)/.installed
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks --full --write docs/benchmarks.md

clean:
	rm -rf $(VENV) $(PEERS)

eval: $(BIN)/.installed
	$(BIN)/python -m pingyao.app.evaluate ../shared docs/accuracy.md
