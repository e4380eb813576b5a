# Everything a newcomer types. Needs Python 3.11, make and a C compiler; the rest is installed into .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
JOBS ?= 2
OSD ?=
STUDY ?= core
STUDIES ?= outputs/studies
export OMP_WAIT_POLICY = PASSIVE

.PHONY: help install demo study-plan study test test-triton test-spconv test-slow lint type bench docs-check clean
help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'

install: $(INSTALLED) ## make .venv with the tested versions
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(INSTALLED) ## active learning beside random buying on procedural rooms, in three minutes, ending with a page
	$(BIN)/al3d demo

study-plan: $(INSTALLED) ## the cells of the study and how long they take; OSD=/path/to/osd STUDY=core|full
	$(BIN)/al3d study plan $(STUDY) $(if $(OSD),--osd $(OSD)) --jobs $(JOBS) --out $(STUDIES)

study: $(INSTALLED) ## run the study, or go on with it; OSD=/path/to/osd STUDY=core|full
	$(BIN)/al3d study run $(STUDY) $(if $(OSD),--osd $(OSD)) --jobs $(JOBS) --out $(STUDIES)

test: $(INSTALLED) ## the fast tests
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not slow and not slurm"

test-slow: $(INSTALLED) ## what is marked slow
	$(BIN)/python -m pytest -q -n $(JOBS) -m slow

test-slurm: $(INSTALLED) ## a sweep on SLURM; brings up a one-node cluster in a container where that is possible (docs/cluster.md)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[slurm]'
	$(BIN)/python -m pytest -q -rs -m slurm tests/cluster

test-triton: .venv-triton/installed ## the Triton kernels in Triton's interpreter and through its compiler, without a GPU, in .venv-triton
	.venv-triton/bin/python -m pytest -q -n $(JOBS) tests/sparse/test_triton.py tests/sparse/test_triton_plan.py

test-spconv: .venv-spconv/installed ## spconv's CPU build gives al3d's numbers, in .venv-spconv
	.venv-spconv/bin/python -c 'import spconv.pytorch'
	.venv-spconv/bin/python -m pytest -q -rs -n $(JOBS) tests/sparse/adapters/test_spconv.py

# an optional library on top of what .venv has, so that .venv stays as installed
SITE = -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
.venv-%/installed: $(INSTALLED)
	$(PYTHON) -m venv .venv-$*
	echo '*' > .venv-$*/.gitignore
	echo "import site; site.addsitedir('$$($(BIN)/python $(SITE))')" > $$(.venv-$*/bin/python $(SITE))/beneath.pth
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $*
	touch $@

lint: $(INSTALLED) ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(INSTALLED) ## mypy --strict
	$(BIN)/mypy

bench: $(INSTALLED) ## the benchmarks' tables
	$(BIN)/python benchmarks/sparse_conv.py
	$(BIN)/python benchmarks/geometry.py
	$(BIN)/python benchmarks/labels.py
	$(BIN)/python benchmarks/data.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/units.py
	$(BIN)/python benchmarks/class_shares.py
	$(BIN)/python benchmarks/acquire.py
	$(BIN)/python benchmarks/seeding.py
	$(BIN)/python benchmarks/seed_pickers.py
	$(BIN)/python benchmarks/views.py
	$(BIN)/python benchmarks/descriptors.py
	$(BIN)/python benchmarks/vision.py
	$(BIN)/python benchmarks/description.py
	$(BIN)/python benchmarks/probe.py --only scenes

docs-check: $(INSTALLED) ## links, commands and register of the documents
	$(BIN)/python -m pytest -q tests/docs

clean:           ## remove what was installed and cached, keep data and outputs
	rm -rf $(VENV) .venv-triton .venv-spconv .mypy_cache .ruff_cache .pytest_cache
