# make demo   train a tiny network plainly, with NetAug, and from first weights that compete (5 minutes on two cores)
# make test   everything that must hold: lint, types, documentation and tests
# make docs   the site into build/site; a dead link is an error
# make page-test   open the report page in a headless Chromium, installed from Debian if it is absent
# make qemu-test   the generated C on emulated Cortex-M4, M7 and M33 (needs qemu-system-arm and gcc-arm-none-eabi)
# make property-test   the promises of a supernet on 300 random networks each (about ten minutes)
# make package   an sdist and a wheel in dist/, installed and used in an empty environment (PYTHONS="python3.11 python3.12")
# make gpu-test   what has to hold on a GPU, and its speed there (8 minutes; docs/gpu.md)
# make coverage   check every small classifier of timm and torchvision, and write docs/coverage.md (about an hour)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.demo-installed

.PHONY: demo test check format lint types docs tests page-test qemu-test property-test kill-test package gpu-test bench bench-input coverage clean

demo: $(DEMO_STAMP)
	$(BIN)/netaug compare demo --seeds 8 --jobs 2 --out runs/demo --overwrite

test: check

check: lint types docs tests

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installs netaug with what its tests need into $(VENV): 6 to 7 GB on Linux, most of it torch for GPUs"
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	touch $(STAMP) $(DEMO_STAMP)

$(DEMO_STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installs netaug with torch into $(VENV): 5 to 6 GB on Linux, most of it torch for GPUs"
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $(DEMO_STAMP)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python docs/assemble.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

tests: $(STAMP)
	$(BIN)/python -m pytest -n 2

# without a chromium, and without root or network to install it, it says so and skips
page-test: $(STAMP)
	tests/report/install-chromium
	$(BIN)/python -m pytest -q -rs tests/report/test_browser.py

# Debian: apt-get install --no-install-recommends qemu-system-arm gcc-arm-none-eabi libnewlib-arm-none-eabi
qemu-test: $(STAMP)
	$(BIN)/python -m pytest -q -rs tests/export/micro -k emulated

property-test: $(STAMP)
	NETAUG_EXAMPLES=300 $(BIN)/python -m pytest -q tests/elastic/test_properties.py

# 60 kills of all commands that write, at drawn changes of their files, then 30 of a training at any time;
# with NETAUG_KILLS=all in place of 60 each command is killed at every change that it makes (half an hour)
kill-test: $(STAMP)
	NETAUG_KILLS=60 $(BIN)/python -m pytest -q tests/test_kills.py
	NETAUG_RANDOM_KILLS=30 $(BIN)/python -m pytest -q tests/runs/test_resume.py tests/compare/test_killing.py -k killed

package: $(STAMP)
	$(BIN)/python -m tests.package.build_and_install $(PYTHONS:%=--python %)

gpu-test: $(STAMP)
	$(BIN)/python -m benchmarks.gpu --json gpu.json

bench: $(STAMP)
	$(BIN)/python -m benchmarks.step

# DATA is a folder of class folders of JPEGs
bench-input: $(STAMP)
	$(BIN)/python -m benchmarks.input --data $(DATA)

coverage: $(STAMP)
	$(BIN)/python -m benchmarks.coverage --jobs 2
	$(BIN)/python -m pytest -n 2 -m coverage

clean:
	rm -rf $(VENV) build *.egg-info
