# make gate: install, fetch the default weights, judge the default system.
# make test: install, run the tests.   make check: ruff, mypy --strict, import-linter.

PYTHON ?= python3
MODEL ?= smollm2-3level
BIN := .venv/bin

.PHONY: gate test check clean

gate: .venv/installed
	$(BIN)/evalkit fetch $(MODEL)
	$(BIN)/pytest suites/ --model $(MODEL) $(GATE)

test: .venv/installed-dev
	$(BIN)/evalkit fetch smollm2-3level
	$(BIN)/pytest tests/ $(TEST)

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "evalkit needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
