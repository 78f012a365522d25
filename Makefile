# For every day, after `sh tests/run.sh` or `sh deploy/quickstart.sh` has set up .venv.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help check format unit cluster interop test soak bench lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check: ## lint, types and import borders (seconds)
	ruff format --check .
	ruff check .
	mypy
	mypy tests/cluster tests/faults tests/chaos benchmarks
	lint-imports --cache-dir .cache/import-linter

format: ## rewrite the sources as ruff wants them
	ruff format .
	ruff check --fix .

unit: ## the tests that need no root (seconds)
	python -m pytest -m 'not cluster and not interop'

cluster: ## the tests with real containerds in network namespaces (root)
	python -m pytest -m cluster

interop: ## the tests against Go and JavaScript peers
	python -m pytest -m interop

test: ## set up what is missing, then every check and test, as CI does
	sh tests/run.sh

soak: ## five nodes for ten minutes while everything fails at random (root)
	sh tests/soak

bench: ## the measurements of docs/performance.md (root, minutes)
	sh benchmarks/run.sh

lock: ## pin what pyproject.toml asks for in requirements.lock anew (keeps pins that still fit)
	[ -x .cache/lock/bin/pip-compile ] || { python3 -m venv .cache/lock && .cache/lock/bin/pip install -q pip-tools; }
	CUSTOM_COMPILE_COMMAND='make lock' .cache/lock/bin/pip-compile -q --extra test --strip-extras --allow-unsafe \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-annotate -o requirements.lock pyproject.toml
