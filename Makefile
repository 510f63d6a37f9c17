# Everything a user or a developer runs. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
LOCKED := $(PIP) install --require-hashes --no-deps
READY := $(VENV)/.ready
VERSIONS := PATH="$(CURDIR)/$(BIN):$$PATH" python -m tools.versions
SOURCES := src tests tools $(wildcard bench/*.py)
BENCHES := $(patsubst bench/%.py,%,$(wildcard bench/[a-z]*.py))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo stages save pull repro fsck test test-system test-slurm audit coverage mutants fuzz duplicates sbom vulnerabilities integrity check format lock bench pictures clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv and install what requirements.lock names, hash by hash
	@echo "Ready: $(BIN)/privrad --help"

$(READY): pyproject.toml requirements.lock requirements-cuda.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "privrad needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Install one, then name it: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  echo "Note: privrad is tested with Python 3.11; $$($(PYTHON) --version) is untested."
	@echo "Setting up $(VENV) with $$($(PYTHON) --version); the first time takes some minutes."
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) cannot make $(VENV); on Debian and Ubuntu install the package python3-venv." >&2; exit 1; }
	@echo "Installing $$(grep -c '==' requirements.lock) packages from requirements.lock, each checked by its hash."
	@$(BIN)/python -m tools.torch_build pin requirements.lock > $(VENV)/torch-build.txt
	@$(LOCKED) -r requirements.lock -c $(VENV)/torch-build.txt
	@if $(BIN)/python -m tools.torch_build wants requirements-cuda.lock; then \
	  echo "This build of torch asks for CUDA: installing $$(grep -c '==' requirements-cuda.lock) more packages (some GB)."; \
	  $(LOCKED) -r requirements-cuda.lock; fi
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip --disable-pip-version-check check
	@touch $@

demo: $(READY) ## run the default study, config.yaml, from drawn radiographs to its report
	@echo "Running the study in config.yaml on all cores; what is done already is kept."
	@PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores all
	@echo "The report: results/demo/report.html"

stages: $(READY) ## write dvc.yaml anew, for a study of another shape in config.yaml
	@$(BIN)/privrad stages --study config.yaml --out dvc.yaml

save: $(READY) ## keep the results, by their hashes, in DVC's cache
	@$(VERSIONS) save

pull: $(READY) ## bring the results that dvc.lock names from DVC's remote; then nothing is left to do
	@$(VERSIONS) pull

repro: $(READY) ## run the study with Snakemake, as many jobs at once as there is room for, and save it
	@$(VERSIONS) repro

fsck: $(READY) ## read every byte of the results and of DVC's cache again; mend what is damaged
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m tools.fsck

test: $(READY) ## run all tests but the system tests
	@echo "Running the tests."
	@mkdir -p build && OMP_NUM_THREADS=1 $(BIN)/pytest -m "not system and not slurm" -n 2 --dist loadfile --junitxml=build/tests.xml; status=$$?; \
	  echo "Each test's result: build/tests.xml"; exit $$status

test-system: $(READY) ## run the tests that need fresh clones, servers, kills or a browser
	@echo "Running the system tests; they clone and run the project, so this takes a while."
	@mkdir -p build && $(BIN)/pytest $(or $(TESTS),tests/system tests/versions) -m system -n 3 --dist loadfile --no-loadscope-reorder --junitxml=build/tests-system.xml; status=$$?; \
	  echo "Each test's result: build/tests-system.xml"; exit $$status

test-slurm: $(READY) ## run the tests that start a real Slurm; as root, with Debian's slurm-wlm and munge installed
	@echo "Running the tests on Slurm; it is started and stopped by them."
	@mkdir -p build && $(BIN)/pytest tests/slurm -m slurm --junitxml=build/tests-slurm.xml; status=$$?; \
	  echo "Each test's result: build/tests-slurm.xml"; exit $$status

audit: $(READY) ## kill and resume 50 trainings; find planted unfairness; count false alarms; attack hidden counts
	@echo "Killing trainings and resuming them, then drawing cohorts; progress is one line each."
	@$(BIN)/python -m tools.audit
	@$(BIN)/python -m tools.audit_fairness
	@$(BIN)/python -m tools.audit_significance
	@$(BIN)/python -m tools.audit_release

coverage: $(READY) ## simulate 10,000 test sets a scenario; prints how often each interval holds the truth
	@echo "Drawing test sets; one line a scenario, an hour or more in all."
	@$(BIN)/python -m tools.coverage

mutants: $(READY) ## plant each known fault in the private engine; prints how many the tests catch
	@echo "Planting faults, one at a time, and running the test that names each."
	@$(BIN)/python -m tools.mutants

fuzz: $(READY) ## read N broken files (100,000) in the guarded reader; prints what came of them
	@$(BIN)/python -m tools.fuzz $(or $(N),100000) $(if $(PRIVRAD_REAL_DATA),--real $(PRIVRAD_REAL_DATA)/dicom)

duplicates: $(READY) ## find 10,000 planted copies among 50,000 drawn radiographs
	@$(BIN)/python -m tools.duplicates $(if $(PRIVRAD_REAL_DATA),--real $(PRIVRAD_REAL_DATA)/cxr_nih)

sbom: $(READY) ## list every locked package with its hashes and licence, as CycloneDX: build/sbom.json
	@mkdir -p build && $(BIN)/python -m tools.sbom build/sbom.json

vulnerabilities: $(READY) ## compare the locks with advisories: pip-audit's, or ADVISORIES=folder or zip of OSV's
	@$(BIN)/python -m tools.vulnerabilities $(if $(ADVISORIES),--advisories "$(ADVISORIES)")

integrity: $(READY) ## compare installed files with their hashes; name missing packages and files of none
	@$(BIN)/python -m tools.integrity

check: $(READY) ## lint, check format and types, keep the import layers, lint the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

format: $(READY) ## format the Python and Snakemake files
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

lock: $(READY) ## refresh requirements.lock and requirements-cuda.lock
	$(BIN)/python -m tools.lock

bench: $(READY) ## measure every claim about speed: one JSON line each
	@for bench in $(BENCHES); do $(BIN)/python -m bench.$$bench || exit 1; done

pictures: demo ## redraw docs/images from the demonstration (needs graphviz and chromium)
	@mkdir -p docs/images
	@PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --rulegraph dot 2>/dev/null | tred \
	  | sed -E 's/color ?= ?"[0-9][^"]*"/color="#1f6fb2"/; s/bgcolor=white/bgcolor=white, rankdir=LR/' | dot -Tsvg >docs/images/rulegraph.svg
	@$(BIN)/python -m tools.pictures results/demo docs/images
	@echo "The pictures: docs/images"

clean: ## remove .venv, caches and build leftovers; results, private and work stay
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis src/privrad.egg-info
	find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +
