.PHONY: judge test lint setup clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

judge: $(INSTALLED)  ## judge the built-in block-sparse kernel on the CPU: the 1600 cells of the published LSE suite
	$(BIN)/python -m pytest_attn check block_sparse -q --attn-sweep=bsa-lse pytest_attn.suite.test_lse

test: lint  ## the tests
	$(BIN)/python -m pytest tests -n 2

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(INSTALLED)  ## a virtual environment with everything development needs

# torch first: its constraint then also holds for what else asks for torch.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
