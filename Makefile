# `make up` and `make test` do all the set-up themselves; everything else here is for developers.
SHELL := /bin/sh
ARGS ?=
# Another Python than `python3`: make PYTHON=/path/to/it ...
export PYTHON
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/af-otel
BIN := .venv/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help up test upstream parts-of-cluster cluster servers browser lint locks venv oldest \
	libraries clean clean-cache

help:
	@echo 'make up [ARGS=...]     a whole facility on this machine; ARGS go to `af-otel up`'
	@echo 'make test [ARGS=...]   all tests, fast ones first; ARGS go to pytest'
	@echo 'make upstream          tests of the libraries we hook, plain and injected; ARGS, e.g. --help'
	@echo 'make cluster           a Kubernetes with a JupyterHub and Dask Gateway, until Ctrl-C (root)'
	@echo 'make servers           build what the facility runs (Collector, Jaeger, Prometheus, proxy)'
	@echo 'make lint              ruff, mypy, import rules, spelling, licences, locks'
	@echo 'make locks             lock what is installed; ARGS=--upgrade takes the newest releases'
	@echo 'make clean             remove .venv and all that make has left in this checkout'
	@echo 'make clean-cache       remove built servers and toolchains: $(CACHE)'

up: servers
	@$(BIN)/af-otel up $(ARGS)

# Libraries first: what the machine lacks is asked for in one message.
ifdef ARGS
test: libraries browser oldest
	@$(BIN)/python -m pytest $(ARGS)
else
test: libraries browser oldest parts-of-cluster
	@tools/test.sh
endif

upstream: venv
	@$(BIN)/python tools/build_servers.py configurable-http-proxy
	@$(BIN)/python tools/upstream_suites.py $(ARGS)

# For the tests on a cluster, which skip, and say why, where there can be none. CI has one.
parts-of-cluster: servers
	@[ "$$CI" != true ] || tools/bootstrap.sh cluster
	@! $(BIN)/python tests/cluster --possible || { $(BIN)/python tools/build_servers.py --for cluster && \
		$(BIN)/python tools/build_servers.py nginx; }

cluster: servers
	@tools/bootstrap.sh cluster
	@$(BIN)/python tools/build_servers.py --for cluster
	@$(BIN)/python tools/build_servers.py nginx
	@$(BIN)/python tests/cluster $(ARGS)

servers: venv
	@$(BIN)/python tools/build_servers.py

lint: venv
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/typos
	@$(BIN)/python tools/locks.py --check
	@$(BIN)/python tools/check_licenses.py

locks:
	@tools/bootstrap.sh locks $(ARGS)

venv:
	@tools/bootstrap.sh venv

oldest: venv
	@tools/bootstrap.sh oldest

libraries:
	@tools/bootstrap.sh tests

browser: servers
	@$(BIN)/python tools/build_servers.py --for tests

clean:
	rm -rf .venv .venv-oldest .make uv.lock

clean-cache:
	rm -rf '$(CACHE)'
