# Each target sets up what it needs: a virtual environment in .venv, made anew when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# One line that counts packages, instead of pip's hundreds; a failure is still one
define install
	@{ $(BIN)/python -m pip install $(1) || touch $(VENV)/.failed; } | awk '\
	  /^Collecting/ { printf "\r%3d packages: %-45.45s", ++n, $$2; fflush() } \
	  /^Installing collected/ { printf "\r%3d packages: writing them to disk %-30s", n, ""; fflush() } \
	  END { print "" }'
	@if [ -e $(VENV)/.failed ]; then rm $(VENV)/.failed; exit 1; fi
endef

.PHONY: demo test slow docs release check format clean

demo: $(VENV)/.user
	$(BIN)/qperov demo

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n auto --durations=10

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow --durations=10

# The pages of docs/, docstrings and executed tutorials, as docs/_build/html/index.html; a warning is a failure
docs: $(VENV)/.dev
	$(BIN)/sphinx-build -q -W --keep-going -j 2 docs docs/_build/html
	$(BIN)/python -m pytest -p no:cacheprovider docs/look_at_site.py

# What must be true before a release and takes longer than a test: attack and kills, into docs/robustness.md, and the
# core suite on the lowest versions; vendors' simulators, into docs/hardware.md; the wheel, with each Python that is here
release: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m attack --out attack-results
	OMP_NUM_THREADS=1 QPEROV_RELEASE=1 $(BIN)/python -m pytest -m slow tests/test_hardware_soak.py
	PYTHON=$(PYTHON) .ci/lowest
	$(BIN)/python .ci/vendors
	PYTHON=$(PYTHON) .ci/wheel

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell *.md docs qperov circuits experiments

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV)

$(VENV)/.user: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@echo "Installing qperov and what it needs into $(VENV) (one to two minutes)"
	$(call install,--editable .)
	touch $@

# PyTorch's bound comes first: without it some platforms resolve to a build of several gigabytes
$(VENV)/.dev: $(VENV)/.user
	$(BIN)/python -m pip install --quiet "torch>=2.6,<2.14"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@
