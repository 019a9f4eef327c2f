# Two commands for a fresh machine with Python 3.11, pip and make: `make demo` and `make test`.
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
DEMO_DIR ?= work_dirs/demo
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 8 ] && echo 8 || echo $$n)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q
STAMP := $(VENV)/.mmavs-installed
WEB_STAMP := $(VENV)/.web-demo-installed
SOURCES := $(shell find mmavs/ops/csrc -type f 2>/dev/null)

.PHONY: help install demo test lint clean

help:
	@echo 'make demo     set up, generate data, train, test, write pictures ($(DEMO_DIR))'
	@echo 'make test     set up and run the whole test suite'
	@echo 'make install  set up only (VENV=$(VENV))'
	@echo 'make lint     ruff'
	@echo 'make clean    remove build products (not the virtual environment)'

install: $(STAMP)

$(STAMP): requirements/lock.txt requirements/lock_mm.txt setup.py setup.cfg pyproject.toml $(SOURCES)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 10) else "mmavs needs Python >= 3.10, this is %d.%d; set PYTHON=" % v[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements/lock.txt
	$(PIP) --no-deps -r requirements/lock_mm.txt
	$(PIP) --no-build-isolation --no-deps -e .
	touch $@

# Only the tests of the web demo need this. The constraint keeps pip from moving a tested version.
$(WEB_STAMP): $(STAMP) projects/web_demo/requirements.txt
	$(PIP) --no-warn-conflicts -c requirements/lock.txt -r projects/web_demo/requirements.txt
	touch $@

demo: $(STAMP)
	$(BIN)/python demo/run_demo.py --out $(DEMO_DIR)

test: $(STAMP) $(WEB_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .

clean:
	rm -rf build dist *.egg-info mmavs/.mim mmavs/ops/_ext*.so $(STAMP) $(WEB_STAMP)
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
