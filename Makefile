# The commands of ml-connector. A fresh machine needs Python 3.11 to 3.14 and make, nothing else.
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
# The first interpreter that fits; `make setup PYTHON=/path/to/python3.13` chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && echo $$python && break; done)
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes
# What is checked or tested reads neither the operator's .env nor touches their database and Redis; its keys are thrown away.
ALONE = env -u REDIS_URL ENV_FILE=/dev/null VAR_DIR="$(CURDIR)/var/test" \
	SECRET_KEY="$$($(PY) -c 'import secrets; print(secrets.token_urlsafe(50))')" \
	ENCRYPTION_KEYS="$$($(PY) -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())')"
# Much of the suite waits for clocks: two files at once keep two cores busy.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
DEPLOYED = $(ALONE) DEBUG=false DATABASE_URL=sqlite://:memory: PUBLIC_URL=https://connector.example $(PY) manage.py
AUDIT_RECORDS := https://pypi.org/pypi/pip/json

.PHONY: setup demo test test-sqlite test-postgres up bench gauntlet check alone
setup: $(VENV)/.runtime

$(PY):
	@test -n "$(PYTHON)" || { echo "ml-connector needs Python 3.11 to 3.14: install one, or name it: make setup PYTHON=/path/to/python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { echo "$(PYTHON) is not Python 3.11 to 3.14: name one that is: make setup PYTHON=/path/to/python3.13" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "cannot create $(VENV): on Debian and Ubuntu install python3-venv" >&2; exit 1; }

$(VENV)/.runtime: requirements.txt | $(PY)
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	$(PIP) -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.runtime
	@$(PY) manage.py demo $(if $(filter 1,$(ONCE)),--once)

up: $(VENV)/.runtime
	@$(PY) manage.py up $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT))

test: test-sqlite test-postgres

test-sqlite: $(VENV)/.dev
	@echo "== the suite on SQLite"
	@env -u DATABASE_URL $(ALONE) $(PY) -m pytest -rs $(SIDE_BY_SIDE) $(PYTEST_OPTIONS)

test-postgres: $(VENV)/.dev
	@echo "== the suite on PostgreSQL"
	@$(ALONE) $(PY) -m tests.postgres $(PY) -m pytest -rs $(SIDE_BY_SIDE) $(PYTEST_OPTIONS)

bench: $(VENV)/.dev
	@$(PY) -m tests.bench

# Everything fails while it works: EVENTS, FAULTS, SEED, SYSTEMS, DATABASE (sqlite, postgres) and HOSTS choose how.
gauntlet: $(VENV)/.dev
	@$(PY) -m tests.gauntlet $(if $(EVENTS),--events $(EVENTS)) $(if $(FAULTS),--faults $(FAULTS)) \
	$(if $(SEED),--seed $(SEED)) $(if $(SYSTEMS),--systems $(SYSTEMS)) \
	$(if $(DATABASE),--database $(DATABASE)) $(if $(HOSTS),--hosts $(HOSTS))

check: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	@$(ALONE) $(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	@echo "manage.py check --deploy"; $(DEPLOYED) check --deploy --fail-level WARNING
	@echo "manage.py makemigrations --check"; $(DEPLOYED) makemigrations --check --dry-run
	@if $(PY) -c "import requests; requests.get('$(AUDIT_RECORDS)', timeout=10).raise_for_status()" 2>/dev/null; \
	then $(VENV)/bin/pip-audit --require-hashes --disable-pip --progress-spinner off -r requirements.txt; \
	else echo "skipped: dependency audit: $(AUDIT_RECORDS) cannot be read from here"; fi

# Runs COMMAND as the tests run: with keys of its own, away from the operator's settings.
alone:
	@env -u DATABASE_URL $(ALONE) $(COMMAND)
