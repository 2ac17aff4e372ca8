# make demo       set up if needed, then train on a small macro capture, export it and render it: see README.md
# make test       set up if needed, then run all tests, as CI does
# make test-fast  the same without those marked `slow` (trainings, processes, browsers, Ray): at most three minutes
# make lint       style, format, floors and types
# make clean      remove the environment and everything made
.PHONY: demo test test-fast lint setup clean
SHELL := /bin/bash

demo: .venv/.ready
	.venv/bin/macro-splat demo --overwrite

# loadgroup without groups: tests are dealt out one by one, in their order.
PYTEST = .venv/bin/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

test: .venv/.ready
	$(PYTEST)

test-fast: .venv/.ready
	$(PYTEST) -m "not slow"

lint: .venv/.ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports
	.venv/bin/mypy

setup: .venv/.ready

.venv/.ready: pyproject.toml .ci/setup
	.ci/setup

clean:
	rm -rf .venv build dist *.egg-info outputs renders demo .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
