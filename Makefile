# make gate: install, fetch the default weights, judge the default system.
# make test: install, run the tests.   make check: ruff, mypy --strict, import-linter.
# make search: properties on other examples each time.   make seeds: the same on those of 20 seeds.
# make docs: install mkdocs, build the documentation into site/.

# Hundreds of processes import evalkit in the tests: without bytecode each compiles it anew.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
MODEL ?= smollm2-3level
BIN := .venv/bin
# Plugins that a gate has to get along with; beside the environment, as they change how tests run.
NEIGHBOURS := pytest-base-url pytest-playwright pytest-randomly pytest-rerunfailures pytest-timeout python-slugify \
  text-unidecode
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt

# `make gate` exits with 0 where the release may ship and with 1 where it may not. Make turns
# every failed command into 2; what it has for 1 is question mode (-q), in which a target that
# is left with something to do counts as out of date. So `gate` runs in question mode, with the
# commands that are to run all the same marked by +.
ifneq ($(filter gate,$(MAKECMDGOALS)),)
MAKEFLAGS += -q
RUN := +@
endif

.PHONY: gate judged test search seeds check docs clean

gate: judged
	$(if $(filter-out 0,$(shell cat .venv/verdict)),@exit 1)

judged: .venv/installed
	$(RUN)rm -f .venv/verdict
	$(RUN)$(BIN)/evalkit fetch $(MODEL)
	$(RUN)$(BIN)/pytest suites/ --model $(MODEL) $(GATE); echo $$? > .venv/verdict

test: .venv/installed-dev
	$(BIN)/evalkit fetch smollm2-3level
	$(BIN)/pytest tests/ -n auto --dist worksteal $(TEST)

search: .venv/installed-dev
	$(BIN)/pytest tests/ -m hypothesis -q -n auto --hypothesis-profile search

seeds: .venv/installed-dev
	for seed in $$(seq 20); do \
	  $(BIN)/pytest tests/ -m hypothesis -q -n auto --hypothesis-seed $$seed || exit 1; \
	done

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.venv/installed: pyproject.toml constraints.txt
	$(RUN)$(PYTHON) -c 'import sys; sys.exit("evalkit needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(RUN)$(PYTHON) -m venv .venv
	$(RUN)$(PIP) -e .
	$(RUN)touch $@

.venv/installed-dev: .venv/installed
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps xgrammar apache-tvm-ffi  # without Triton, which its grammars do not need
	$(PIP) --no-deps --target .venv/neighbours $(NEIGHBOURS)
	touch $@

.venv/installed-docs: .venv/installed
	$(PIP) -e '.[docs]'
	touch $@

clean:
	rm -rf .venv build runs site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
