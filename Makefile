# Everything runs in ./.venv, which is installed from the pinned, hashed requirements/<device>.lock. Requires Python 3.11 to 3.13.

# The CUDA build of TensorFlow if a driver lists a GPU, else the CPU build, which is a sixth of the download.
DEVICE ?= $(shell nvidia-smi -L 2>/dev/null | grep -q '^GPU ' && echo cuda || echo cpu)
DEVICE := $(DEVICE)
CORES ?= 2
PYTHON ?=
UPGRADE ?=
PYTEST_ARGS ?=

ifeq ($(filter $(DEVICE),cpu cuda),)
$(error DEVICE must be cpu or cuda, not "$(DEVICE)")
endif

# Rules call `python`, which must be the one in .venv. A PYTHONPATH set by others (such as cluster modules) would shadow its packages.
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH"
unexport PYTHONPATH PYTHONHOME
SOURCES := $(wildcard scripts tools tests benchmarks)
SNAKEFILES := $(wildcard Snakefile workflow)

.DEFAULT_GOAL := help
.PHONY: help setup patterns browser demo test lint format lock envs docs clean

help: ## list the targets
	@echo "Usage: make <target> [PYTHON=python3.12] [DEVICE=cpu|cuda] [CORES=2]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install everything into .venv (does nothing if it is up to date)
	@PYTHON="$(PYTHON)" REPORT="$(filter setup,$(MAKECMDGOALS))" tools/setup.sh $(DEVICE)

patterns: ## add the packages for de-novo patterns to .venv (TF-MoDISco; parts are under the GPL)
	@PYTHON="$(PYTHON)" tools/setup.sh $(DEVICE) patterns

browser: ## add the packages for tests of the report in Chromium to .venv
	@PYTHON="$(PYTHON)" tools/setup.sh $(DEVICE) browser

demo: setup ## run the whole workflow on a simulated genome and print its scores (again, if nothing is left to do)
	@$(RUN) snakemake --cores $(CORES) --configfile config/demo.yaml

# Tests of one file run in one process, because they share fixtures; tests/conftest.py orders the files. `-n auto` would count two
# threads of a core as one.
test: setup ## run the tests on all cores, at most 4, and the examples in docstrings (PYTEST_ARGS='-m "not slow"' skips the long ones, '-n 0' uses one process)
	@$(RUN) python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)
	@$(if $(PYTEST_ARGS),,$(RUN) python -m pytest --quiet --doctest-modules scripts/cisnake)

# Every check runs even if another fails, so that one run shows all problems. The yeast runs are planned only if their data exist.
lint: setup ## check style, types, the workflow, and that documented commands exist
	@status=0; export $(RUN); \
	ruff check $(SOURCES) || status=1; \
	ruff format --check --quiet $(SOURCES) || status=1; \
	mypy || status=1; \
	snakefmt --check $(SNAKEFILES) || status=1; \
	for config in demo $${CISNAKE_DATA:+yeast yeast_atac}; do \
		snakemake --lint --configfile config/$$config.yaml || status=1; \
	done; \
	python tools/check_readme.py || status=1; \
	exit $$status

format: setup ## rewrite the code in the project's style
	@$(RUN) ruff check --fix-only --quiet $(SOURCES)
	@$(RUN) ruff format $(SOURCES)
	@$(RUN) snakefmt $(SNAKEFILES)

# One file covers all Pythons and platforms by markers. Pins are kept if they still fit, unless UPGRADE=--upgrade. No index is
# named, so that a mirror configured for uv or pip is used.
COMPILE = $(RUN) uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(UPGRADE)

lock: setup ## pin the dependencies of pyproject.toml again (UPGRADE=--upgrade updates them), and envs/ from them
	@for device in cpu cuda; do \
		$(COMPILE) pyproject.toml --extra $$device --extra slurm --extra test -o requirements/$$device.lock || exit 1; done
	@$(COMPILE) pyproject.toml --extra patterns -c requirements/cpu.lock -c requirements/cuda.lock -o requirements/patterns.lock
	@$(COMPILE) pyproject.toml --extra browser -c requirements/cpu.lock -c requirements/cuda.lock -o requirements/browser.lock
	@echo uv | $(COMPILE) - -o requirements/uv.lock
	@$(RUN) python tools/write_envs.py

envs: setup ## write envs/*.yaml, the conda environments of the rules, from the locks
	@$(RUN) python tools/write_envs.py

docs: setup ## write the generated pages: config/README.md, docs/reruns.md, docs/broken_inputs.md
	@$(RUN) python tools/write_config_docs.py
	@$(RUN) python tools/write_reruns.py
	@$(RUN) python tools/write_broken_inputs.py

clean: ## remove .venv, caches and the results of the demo, but not your own results
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache results/demo
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
