# `make up` and `make test` do all the set-up themselves; everything else here is for developers.
SHELL := /bin/sh
ARGS ?=
# Another Python than `python3`: make PYTHON=/path/to/it ...
export PYTHON
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/af-otel
BIN := .venv/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help up test servers lint venv browser clean clean-cache

help:
	@echo 'make up [ARGS=...]     a whole facility on this machine; ARGS go to `af-otel up`'
	@echo 'make test [ARGS=...]   all tests, fast ones first; ARGS go to pytest'
	@echo 'make servers           build what the facility runs (Collector, Tempo, Prometheus, proxy)'
	@echo 'make lint              ruff, mypy, import rules, spelling'
	@echo 'make clean             remove .venv and all that make has left in this checkout'
	@echo 'make clean-cache       remove built servers and toolchains: $(CACHE)'

up: servers
	@$(BIN)/af-otel up $(ARGS)

# The browser first: what the machine lacks is asked for in one message.
test: browser servers
	@$(BIN)/python -m pytest $(ARGS)

servers: venv
	@$(BIN)/python tools/build_servers.py

lint: venv
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell

venv:
	@tools/bootstrap.sh venv

browser:
	@tools/bootstrap.sh browser $(ARGS)

clean:
	rm -rf .venv .make uv.lock

# Go makes the modules it downloads read-only.
clean-cache:
	@if [ -d '$(CACHE)' ]; then chmod -R u+w '$(CACHE)' && rm -rf '$(CACHE)' && echo 'removed $(CACHE)'; fi
