# Everything runs in ./.venv, which is made from the pinned, hashed requirements/<device>.lock. Needs Python 3.11 to 3.13.

# The CUDA build of TensorFlow where a driver lists a GPU, else the CPU build, which is a sixth of the download.
DEVICE ?= $(shell nvidia-smi -L 2>/dev/null | grep -q '^GPU ' && echo cuda || echo cpu)
DEVICE := $(DEVICE)
CORES ?= 2
PYTHON ?=
UPGRADE ?=
PYTEST_ARGS ?=

ifeq ($(filter $(DEVICE),cpu cuda),)
$(error DEVICE is cpu or cuda, not "$(DEVICE)")
endif

# Rules call `python`, which must be that of .venv; a PYTHONPATH from elsewhere (a cluster's modules) would shadow its packages.
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH"
unexport PYTHONPATH PYTHONHOME
SOURCES := $(wildcard scripts tools tests benchmarks)
SNAKEFILES := $(wildcard Snakefile workflow)

.DEFAULT_GOAL := help
.PHONY: help setup patterns demo test lint format lock envs docs clean

help: ## list the targets
	@echo "Usage: make <target> [PYTHON=python3.12] [DEVICE=cpu|cuda] [CORES=2]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install everything into .venv; does nothing when that is done
	@PYTHON="$(PYTHON)" REPORT="$(filter setup,$(MAKECMDGOALS))" tools/setup.sh $(DEVICE)

patterns: ## add to .venv what finds de-novo patterns (TF-MoDISco; parts of it are under the GPL)
	@PYTHON="$(PYTHON)" tools/setup.sh $(DEVICE) patterns

demo: setup ## run the whole workflow on a simulated genome and print its scores (again, if nothing is left to do)
	@$(RUN) snakemake --cores $(CORES) --configfile config/demo.yaml

# A file's tests stay in one process: they share what its fixtures make; tests/conftest.py says which files come first. `auto`
# would count two threads of a core as one.
test: setup ## run the tests on all cores, at most 4, and the examples in docstrings (PYTEST_ARGS='-m "not slow"' leaves the long ones out, '-n 0' is one process)
	@$(RUN) python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)
	@$(if $(PYTEST_ARGS),,$(RUN) python -m pytest --quiet --doctest-modules scripts/cisnake)

# Every check runs, whichever fails, so that one run shows all that is wrong. Runs of real data need it to be planned.
lint: setup ## check style, types, the workflow, and that the README names what exists
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

# One file serves all Pythons and platforms, by markers. Pins that still fit stay, unless UPGRADE=--upgrade. No index is named,
# so that a mirror set up for uv or pip is used where there is one.
COMPILE = $(RUN) uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" $(UPGRADE)

lock: setup ## pin the dependencies anew from pyproject.toml (UPGRADE=--upgrade raises them), and envs/ from them
	@for device in cpu cuda; do \
		$(COMPILE) pyproject.toml --extra $$device --extra slurm --extra test -o requirements/$$device.lock || exit 1; done
	@$(COMPILE) pyproject.toml --extra patterns -c requirements/cpu.lock -c requirements/cuda.lock -o requirements/patterns.lock
	@echo uv | $(COMPILE) - -o requirements/uv.lock
	@$(RUN) python tools/write_envs.py

envs: setup ## write envs/*.yaml, the conda environments of the rules, from the locks
	@$(RUN) python tools/write_envs.py

docs: setup ## write config/README.md from the schema of the configuration, docs/reruns.md from the rules, docs/broken_inputs.md from the tests
	@$(RUN) python tools/write_config_docs.py
	@$(RUN) python tools/write_reruns.py
	@$(RUN) python tools/write_broken_inputs.py

clean: ## remove .venv, caches and the results of the demo; keeps your own results
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache results/demo
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
