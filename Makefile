# The commands of this project. They need make and python3 (3.11 or 3.12); everything else goes
# into .venv, in the exact versions of requirements.lock.

PYTHON ?= python3
UV     := uv==0.13.9
PY     := .venv/bin/python
LOCKED := --no-deps --require-hashes -r requirements.lock

BUILD  := build
STORE  := data/cube.zarr

NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb notebooks/*/*.ipynb notebooks/*/*/*.ipynb))
PAGES     := $(patsubst notebooks/%.ipynb,$(BUILD)/%.html,$(sort $(wildcard notebooks/*.ipynb)))
CUBE      := $(BUILD)/01_build_cube.html
EXERCISES := $(patsubst %,$(BUILD)/exercises/%,$(notdir $(sort \
  $(wildcard notebooks/exercises/source/*.ipynb) $(wildcard notebooks/exercises/final_project.ipynb))))

# Ids stay, so that a cell is recognised from version to version. The author's own Python does not.
STRIP := $(PY) -m nbstripout --keep-id --extra-keys metadata.language_info.version

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup cube real verify notebooks site release collect grade feedback test test-all coverage \
  lint format lock dist clean FORCE

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.locked  ## Make .venv with the locked packages; does nothing when that is up to date

cube: $(CUBE)  ## Build or extend data/cube.zarr, with a report: build/01_build_cube.html
	@test ! -e $(STORE) || $(PY) tools/compile_kernels.py $(STORE)

# Scenes of one summer and one orbit, so that it takes minutes and some 100 MB.
REAL := -p source earth-search -p start 2023-05-01 -p end 2023-09-30 -p max_cloud 30 \
  -p relative_orbit 51 -p store ../data/real.zarr

real: setup  ## Make data/real.zarr, real imagery of the practice region, from the internet
	@$(MAKE) --no-print-directory cube BUILD=$(BUILD)/real ARGS="$(REAL)"

verify: setup  ## Compare a cube with its manifest; another than data/cube.zarr: make verify STORE=…
	@$(PY) -c 'import sys, s2kit; found = s2kit.verify(sys.argv[1]); print(found); \
	  sys.exit(bool(found.damaged))' $(STORE)

notebooks: $(PAGES) $(EXERCISES)  ## Run all, and the exercises solved, into build/; print what each took
	@$(PY) tools/run_notebook.py $(BUILD)

# It takes what `make notebooks` has left in build/, and runs nothing again.
site: setup  ## Make the course's site, build/site, from what `make notebooks` left in build/
	@$(PY) tools/build_site.py $(BUILD)

GRADING := $(PY) -m tools.grading
ONE = $(if $(EXERCISE),--exercise "$(EXERCISE)")

release: setup  ## Make the exercises for students, without solutions, from notebooks/exercises/source
	$(GRADING) release
	$(STRIP) notebooks/exercises/*.ipynb

collect: setup  ## Collect what students handed in: make collect FROM=folder-or-zip-of-the-LMS
	@test -n "$(FROM)" || { echo 'Say what to collect: make collect FROM=folder-or-zip' >&2; exit 1; }
	@$(GRADING) collect "$(FROM)"

grade: setup  ## Grade it: build/grading/…/marks.csv; EXERCISE=one STORE=… ROSTER=table-of-id-and-number
	@$(GRADING) grade $(ONE) $(if $(filter command,$(origin STORE)),--store "$(STORE)") $(if $(ROSTER),--roster "$(ROSTER)")

feedback: setup  ## Write a page for each student, and the marks with the points in texts.csv
	@$(GRADING) feedback $(ONE)

# One file is tested by one process, so that what its tests share is made once.
PYTEST := $(PY) -m pytest -n 2 --dist loadfile

test: setup  ## Run the quick tests, in ten minutes; a part of them: make test ARGS="tests/project -k lock"
	$(PYTEST) -m 'not (browser or faults or slow)' $(ARGS)

test-all: setup  ## Run all tests, in half an hour; a part of them: make test-all ARGS=tests/browser
	$(PYTEST) $(ARGS)

coverage: setup  ## Run the quick tests and list the lines they leave out, also in build/coverage
	$(PYTEST) -m 'not (browser or faults or slow)' --cov --cov-report=term-missing:skip-covered \
	  --cov-report=html $(ARGS)

lint: setup  ## Check the code, its types and the notebooks; changes nothing
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(if $(NOTEBOOKS),$(STRIP) --verify $(NOTEBOOKS))

format: setup  ## Format the code and the notebooks, and strip the notebooks' output
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .
	$(if $(NOTEBOOKS),$(STRIP) $(NOTEBOOKS))

lock: setup  ## Lock what pyproject.toml asks for; newest versions of all: make lock ARGS=--upgrade
	$(PY) -m uv pip compile pyproject.toml --extra dev --extra grading --extra site --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" --quiet --output-file requirements.lock $(ARGS)

dist: setup  ## Make the packages that pip installs, in build/dist
	rm -rf $(BUILD)/dist
	$(PY) -m build --no-isolation --outdir $(BUILD)/dist
	$(PY) -m twine check --strict $(BUILD)/dist/*

clean:  ## Remove build/ and caches; data/, .venv and build/grading with the marks stay
	if test -d build; then find build -mindepth 1 -maxdepth 1 ! -name grading -exec rm -rf {} +; fi
	rm -rf .coverage .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -path ./.venv -prune -o -path ./data -prune -o \
	  \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# uv installs in seconds. It does not read pip's settings, so where packages come from a mirror
# that only pip knows, pip does the same more slowly. Both refuse a file whose hash is not in the
# lock. s2kit itself, which has none, comes after the others.
.venv/.locked: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 's2kit needs Python 3.11 or 3.12; "$(PYTHON)" here is:' \
	    "$$($(PYTHON) --version 2>/dev/null || echo 'not a Python that runs')." >&2; \
	  echo 'Name another one: make setup PYTHON=/path/to/python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo '"$(PYTHON)" cannot make a virtual environment: venv or ensurepip is missing.' >&2; \
	  echo 'On Debian and Ubuntu: sudo apt-get install python3-venv' >&2; exit 1; }
	@$(PY) -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@echo 'Installing the locked packages into .venv'
	@$(PY) -m pip install --quiet --disable-pip-version-check '$(UV)'
	@$(PY) -m uv pip install --quiet --python $(PY) $(LOCKED) || \
	  $(PY) -m pip install --quiet --disable-pip-version-check $(LOCKED)
	@$(PY) -m uv pip install --quiet --python $(PY) --no-deps -e . || \
	  $(PY) -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

# A notebook always runs: its inputs are data too, and the cube's notebook is safe to repeat.
# Options for papermill go in ARGS, another folder for the results in BUILD:
# make cube BUILD=build/spring ARGS="-p start 2021-04-01 -p end 2021-06-30 -p store ../data/spring.zarr"
$(BUILD)/%.html: notebooks/%.ipynb FORCE | setup
	@mkdir -p $(@D) data
	@rm -f $@
	$(PY) tools/run_notebook.py $< $(BUILD)/$*.ipynb $(ARGS)
	@$(PY) tools/write_report.py $(BUILD)/$*.ipynb $(<D)

# An exercise runs with its solutions, where students have it. The project has none, and runs as it is.
$(BUILD)/exercises/%.ipynb: notebooks/exercises/source/%.ipynb FORCE | setup
	@mkdir -p $(@D)
	$(PY) tools/run_notebook.py $< $@ --cwd notebooks/exercises

$(BUILD)/exercises/%.ipynb: notebooks/exercises/%.ipynb FORCE | setup
	@mkdir -p $(@D)
	$(PY) tools/run_notebook.py $< $@

# All other notebooks read the cube.
$(filter-out $(CUBE),$(PAGES)) $(EXERCISES): | $(CUBE)
