# The two commands: `make demo` trains, exports, localizes and shows; `make test` checks everything.
PYTHON ?= python3
VENV ?= .venv
TEST_EXTRAS ?= test
TEST_PROCESSES ?= 2
DEMO ?= demo
BIN := $(VENV)/bin

.PHONY: demo test lint docs build install clean

install: $(VENV)/installed

$(VENV)/installed: setup.cfg pyproject.toml requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/installed-for-tests: $(VENV)/installed requirements-extras.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    -c requirements.txt -c requirements-extras.txt -e ".[$(TEST_EXTRAS)]"
	touch $@

# Frames a little larger than those of the training: the network takes any size.
demo: $(VENV)/installed
	$(BIN)/ds3d train --setup quickstart --out $(DEMO)/run --overwrite
	$(BIN)/ds3d simulate --setup $(DEMO)/run/setup.yaml --set volume.height_px=40 --set volume.width_px=40 \
	    --count 200 --seed 2026 --out $(DEMO)/frames --overwrite
	$(BIN)/ds3d localize --model $(DEMO)/run --frames $(DEMO)/frames/frames.tif --out $(DEMO)/localizations.csv \
	    --plots --overwrite
	$(BIN)/ds3d evaluate --model $(DEMO)/run --frames $(DEMO)/frames/frames.tif \
	    --truth $(DEMO)/frames/truth.csv --refine --out $(DEMO)/evaluation --overwrite
	@echo "Look at $(DEMO)/evaluation/example_frames.png, the other plots and metrics.json beside it."

lint: $(VENV)/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A test process holds up to 2 GB; one that runs dry takes over half of another's tests.
test: lint
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal

# The documentation site, in site/; a warning is an error.
docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    -c requirements.txt -c requirements-extras.txt -e ".[docs]"
	$(BIN)/python -m mkdocs build --strict --quiet

# What is published, in dist/; a test installs the wheel elsewhere and runs it.
build: $(VENV)/installed-for-tests
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

clean:
	rm -rf $(VENV) $(DEMO) build dist site
