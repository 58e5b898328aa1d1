.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON := .venv/bin/python
ONCE ?=
VENDORS ?=
PROFILE ?= embedded
S3 ?=
DATA ?= ../shared/data
TESTS ?=

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: ## Python environment and JARs (done already: a moment)
	@bash .ci/setup

demo: setup ## a seeded shop through Airflow into the report; ONCE=1 ends by itself; VENDORS="klaviyo hubspot": these APIs alone, the rest as files
	@$(PYTHON) -m spark_jobs demo $(if $(ONCE),--once) $(addprefix --vendor ,$(VENDORS))

real: setup ## the same DAGs on real files: DATA=folder
	@THROUGHLINE_HOME=$${THROUGHLINE_HOME:-$(CURDIR)/.throughline-real} $(PYTHON) -m spark_jobs real --data $(DATA) $(if $(ONCE),--once)

up: setup ## Airflow and the Spark server until Ctrl-C; what ends is started again; PROFILE=full: the services of docker/compose.yml
	@$(PYTHON) -m spark_jobs up --profile $(PROFILE)

image: ## the container image, and the secrets of docker/compose.yml; S3=1: with the JARs for lakes at s3a://
	@docker build --file docker/Dockerfile --build-arg S3=$(S3) --tag throughline .
	@docker run --rm --user "$$(id -u):$$(id -g)" --volume "$(CURDIR)/docker:/made" throughline python -m spark_jobs secrets /made/secrets

test: setup ## lint and format, then the tests, which try every declaration on empty inputs too (TESTS=path for a part)
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@$(PYTHON) -m pytest -n auto --no-loadscope-reorder --durations=40 --durations-min=20 -m "not whole" $(TESTS)

test-whole: setup ## what takes long: the real data, a cluster, the full profile, the README's commands one by one
	@$(PYTHON) -m pytest -n auto --no-loadscope-reorder --durations=40 --durations-min=20 -m whole $(TESTS)

check: setup ## lint, format, types
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

bench-pipeline: setup ## CPU-seconds per stage beside DuckDB and a raw Spark copy; QUICK=1 ends within 5 minutes
	@$(PYTHON) -m tests.bench.pipeline

bench-engine: setup ## a small lake's CPU-seconds and Spark jobs beside the build of 2026-11-29; QUICK=1: each command in its own process, alone
	@$(PYTHON) -m tests.bench.engine

bench-connectors: setup ## records per second of an API's pull, beside dlt and bare requests; QUICK=1: a tenth
	@$(PYTHON) -m tests.bench.connectors

bench-score: setup ## how right the pipeline is about 50,000 simulated people, and what it costs; QUICK=1: 5,000
	@$(PYTHON) -m tests.bench.score

score: ## what the pipeline got right about the sandbox world of the demo
	@$(PYTHON) -m connectors sandbox score

golden: setup ## rewrite the golden files from what the DAGs render now
	@GOLDEN=write $(PYTHON) -m pytest tests/dags

lock: ## requirements.txt from pyproject.toml
	@.venv/bin/uv pip compile -q --generate-hashes --python-version 3.11 --python-platform linux pyproject.toml -o requirements.txt

status: ## services, key, last runs, freshness, open quarantine, versions
	@$(PYTHON) -m spark_jobs status

doctor: ## Java, ports, disk, memory, key, versions, with the fix for each
	@$(PYTHON) -m spark_jobs doctor

clean: ## remove what Throughline made and marked as its own (.throughline, .throughline-real)
	@$(PYTHON) -m spark_jobs clean

.PHONY: help setup demo real up image test test-whole check bench-pipeline bench-engine bench-connectors bench-score score golden lock status doctor clean
