VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python

.PHONY: setup python demo test test-matrix mutants lint format dist docs check-tag cassettes clean

setup: $(VENV)/.ok

# Before anything else, and for a $(VENV) of long ago too: pip's own message about an old Python leads astray.
python:
	@found="$(PYTHON)"; remedy="make PYTHON=python3.12"; \
	if [ -x "$(PY)" ]; then found="$(PY)"; remedy="rm -rf $(VENV), then make PYTHON=python3.12"; fi; \
	"$$found" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed; $$found is: $$("$$found" --version 2>&1). Name another: $$remedy" >&2; \
		exit 1; }

$(VENV)/.ok: pyproject.toml constraints.txt | python
	@echo "Setting up $(VENV), once: PyTorch, both frameworks and the tools of the tests. It takes some minutes and" \
		"2 GB, on Linux 6 GB with PyTorch's CUDA wheels (README: PIP_EXTRA_INDEX_URL)."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q --no-compile -c constraints.txt -e ".[dev]"
	touch $@

# MODEL=Qwen/Qwen3-Reranker-0.6B: the real model, on this machine; URL=http://...: your own server.
demo: setup
	@$(PY) examples/demo.py $(if $(MODEL),--model $(MODEL)) $(if $(URL),--url $(URL))

# A file's tests stay together, so that each of its fixtures is made once; tests/conftest.py says which begin.
# ARGS="-k retry" passes on what pytest takes.
# Tests start many interpreters: what one has compiled the next one finds, also where the environment forbids it.
test: export PYTHONDONTWRITEBYTECODE :=
test: setup
	$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

# Break one place at a time, and see whether a test fails; SEED=2 draws other places, PER_ROOM=50 more of them, and
# ROOMS="protocol transport" takes some rooms only.
mutants: setup
	$(VENV)/bin/pip install -q --no-compile -c constraints.txt -e ".[mutants]"
	$(PY) .ci/mutants.py --seed $(or $(SEED),1) --per-room $(or $(PER_ROOM),20) $(ROOMS)

# The oldest and the newest LangChain and LlamaIndex; ROWS="langchain-oldest" runs one of them.
test-matrix: setup
	$(PY) .ci/matrix.py $(ROWS)

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: setup
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# Wheel and sdist, each used in a fresh environment; CASES="none langchain" uses some of them only.
dist: setup
	$(PY) .ci/dist.py $(CASES)

# The site, into site/. A link or an anchor that leads nowhere, and any other warning, fails.
docs: setup
	$(VENV)/bin/pip install -q --no-compile -c constraints.txt -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

# TAG=v0.2.0: is it the version that would be released?
check-tag:
	grep -qxF 'version = "$(TAG:v%=%)"' pyproject.toml

clean:
	rm -rf $(VENV) .matrix .mutants .peers dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Needs real SGLang: see CONTRIBUTING.md.
cassettes: setup
	rm -f tests/cassettes/*.yaml
	QWEN3_SGLANG_RECORD=1 $(PY) -m pytest tests/cassettes
	$(PY) -m pytest tests/cassettes
