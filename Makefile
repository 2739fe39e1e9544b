# make reproduce [PRESET=bccd]   every table, figure and the paper      make test   the tests
# make .venv                     only the environment                   make lint   style, types and layout
# make test-cluster              the workflow on a SLURM of this machine

PRESET ?= quick
CORES ?= all
SNAKEMAKE_FLAGS ?=
# A file's tests share costly fixtures, so they stay in one process.
# A worker that dies ends the run: without its tests the others would wait for ever.
PYTEST_FLAGS ?= -n 2 --dist loadfile --max-worker-restart 0

# These fork ranks, and xdist has lost the worker that did so after hundreds of other tests, without a word of why.
ALONE = tests/test_ranks.py

# The first Python that is new enough; the interpreter itself, so that an activated .venv can be rebuilt.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$name -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys._base_executable)' 2>/dev/null && break; \
	done)

export PATH := $(CURDIR)/.venv/bin:$(PATH)

# uv and Snakemake keep a cache in the user's home; where that cannot be written, it lies here.
ifeq ($(shell mkdir -p "$$HOME" 2>/dev/null && test -w "$$HOME" && echo writable),)
export XDG_CACHE_HOME ?= $(CURDIR)/.snakemake/cache
endif

.PHONY: reproduce test test-cluster lint lock clean .venv

reproduce: .venv
	.venv/bin/snakemake --cores $(CORES) $(SNAKEMAKE_FLAGS) --config preset=$(PRESET)

test: .venv
	.venv/bin/python -m pytest $(PYTEST_FLAGS) --ignore=$(ALONE)
	.venv/bin/python -m pytest -q $(ALONE)

# The workflow as jobs of a SLURM on this machine; as root, after: apt-get install slurm-wlm munge
test-cluster: .venv
	.venv/bin/python -m pytest -q tests/cluster/slurm.py

lint: .venv
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/snakefmt --check Snakefile $(wildcard ablations/*.smk)
	.venv/bin/python -m pytest -q tests/test_layout.py

.venv: .venv/complete

# The stamp comes last: a build that was interrupted starts over.
.venv/complete: requirements.lock pyproject.toml scripts/environment.py
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	rm -rf .venv
	"$(PYTHON)" -m venv .venv
	.venv/bin/python scripts/environment.py install
	touch $@

# Needs no .venv, which an outdated lock could not build. UPGRADE=--upgrade takes the newest versions that fit.
lock:
	rm -rf .venv-lock
	"$(PYTHON)" -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	.venv-lock/bin/python scripts/environment.py lock $(UPGRADE)
	rm -rf .venv-lock

clean:
	rm -rf .venv .venv-lock .snakemake mnv4bench.egg-info
