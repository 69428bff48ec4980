VENV ?= .venv
PY := $(VENV)/bin/python

.PHONY: setup demo test lint format cassettes clean

setup: $(VENV)/.ok

$(VENV)/.ok: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q -c constraints.txt -e ".[dev]"
	touch $@

demo: setup
	$(PY) examples/demo.py

test: setup
	$(PY) -m pytest

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: setup
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Needs real SGLang: see CONTRIBUTING.md.
cassettes: setup
	rm -f tests/cassettes/*.yaml
	QWEN3_SGLANG_RECORD=1 $(PY) -m pytest tests/cassettes
	$(PY) -m pytest tests/cassettes
