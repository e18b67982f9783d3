# Everything runs in a virtual environment of its own, .venv, made on first use.
# Paths are relative throughout, so that the directory of the project may have any name.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
RUN := $(VENV)/bin
PYTHON := $(RUN)/python

.PHONY: help demo env test check lint types imports exports vectors miniatures bench fuzz lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '%-18s%s\n' "$$target" "$$text"; done

demo: env ## make images, good and broken, and check them; make demo IMAGE=path checks yours
	@$(PYTHON) tools/demo.py $${IMAGE:+"$$IMAGE"}

env: $(VENV)/.complete ## make or renew the virtual environment

$(VENV)/.complete: pyproject.toml constraints.txt tools/make-env
	@tools/make-env $(VENV)

test: env ## install what the tests need, and run lint, types, import directions and every test
	@tools/test-deps
	@$(MAKE) check
	$(PYTHON) -m pytest

check: lint types imports ## run lint, types and import directions only

lint: env ## check style and formatting
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

types: env
	$(RUN)/mypy

imports: env
	$(RUN)/lint-imports

exports: env ## make spec/exports from the grammar
	$(PYTHON) -m addcow_spec.exports

vectors: env ## make corpora/vectors, and label them a second time by an independent program
	$(PYTHON) corpora/generate.py
	$(PYTHON) corpora/relabel.py --check

miniatures: env ## try implementations that are wrong on purpose, and make conformance/MINIATURES.md
	$(PYTHON) -m tests.conformance.miniatures

bench: env ## measure checker, engine, models, explorer and suite beside their peers, into benchmarks/RESULTS.md
	@tools/test-deps qemu-img nbdkit nbdkit-python nbdcopy fio
	$(PYTHON) benchmarks/bench_check.py --save benchmarks/RESULTS.md
	$(PYTHON) benchmarks/bench_ref.py --save benchmarks/RESULTS.md
	$(PYTHON) benchmarks/bench_models.py --save benchmarks/RESULTS.md
	$(PYTHON) benchmarks/bench_fuzz.py --save benchmarks/RESULTS.md
	$(PYTHON) benchmarks/bench_scaling.py --save benchmarks/RESULTS.md
	$(PYTHON) benchmarks/bench_suite.py --save benchmarks/RESULTS.md

fuzz: env ## fuzz all targets for an hour, in build/fuzz; ADDCOW_FUZZ_MINUTES says how long
	$(PYTHON) -m addcow_fuzz.cli campaign build/fuzz --minutes $${ADDCOW_FUZZ_MINUTES:-60} \
		--seeds corpora/seeds --registry corpora/findings.toml

lock: ## pin the newest releases that pyproject.toml allows in constraints.txt
	tools/lock

clean: ## remove everything that make made
	rm -rf $(VENV) build dist tests/node/node_modules .pytest_cache .hypothesis .mypy_cache .ruff_cache \
		.import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
