# The two commands: `make demo` trains, exports, localizes and shows; `make test` checks everything.
PYTHON ?= python3
VENV ?= .venv
TEST_EXTRAS ?= test
TEST_PROCESSES ?= 2
DEMO ?= demo
BIN := $(VENV)/bin

.PHONY: demo test lint docs install clean

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
	$(BIN)/python tools/train.py --setup quickstart --out $(DEMO)/run --overwrite
	$(BIN)/python tools/simulate.py --setup $(DEMO)/run/setup.yaml --set volume.height_px=40 --set volume.width_px=40 \
	    --count 200 --seed 2026 --out $(DEMO)/frames --overwrite
	$(BIN)/python tools/localize.py --model $(DEMO)/run --frames $(DEMO)/frames/frames.tif --out $(DEMO)/localizations.csv \
	    --plots --overwrite
	$(BIN)/python tools/evaluate.py --model $(DEMO)/run --frames $(DEMO)/frames/frames.tif \
	    --truth $(DEMO)/frames/truth.csv --out $(DEMO)/evaluation --overwrite
	@echo "Look at $(DEMO)/evaluation/example_frames.png, and at the other figures and metrics.json beside it."

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

clean:
	rm -rf $(VENV) $(DEMO)
