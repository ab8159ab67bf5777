# make evaluate   sets everything up in .venv and ranks the test triples of the graph in the package
# make test       sets everything up in .venv and runs linter, type checker and tests
# make coverage   runs the tests, says which lines none of them runs, and fails below the floor in pyproject.toml
# make test-integrations   runs the tests of callbacks in other libraries, which it installs, and of the page in Chromium
# make serve      serves ranks at http://127.0.0.1:8000

TORCH ?= torch==2.13.0
PYTHON ?= python3

BIN := .venv/bin
export PYTHONPATH :=

.PHONY: evaluate serve test test-integrations coverage lint clean

evaluate: .venv/installed
	$(BIN)/proofrank evaluate --side tail --corruptions all

serve: .venv/installed
	$(BIN)/proofrank serve

test: lint
	$(BIN)/pytest -n 2 --dist loadfile

test-integrations: .venv/installed-integrations
	$(BIN)/pytest -m integration tests/callbacks/integrations tests/page tests/core

coverage: .venv/installed-test
	$(BIN)/pytest -n 2 --dist loadfile --cov --cov-report term

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

clean:
	rm -rf .venv

.venv/installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable ".[server]"
	touch $@

.venv/installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@ .venv/installed

.venv/installed-integrations: pyproject.toml .venv/installed-test
	$(BIN)/pip install --quiet --editable ".[integrations]"
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv .venv
