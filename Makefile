.PHONY: judge test lint nightly setup clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
EXTRAS ?= dev

# What `make nightly` judges, on which device, and by how many processes: make nightly DEVICE=cuda KERNEL=mypkg.attention:my_flash
KERNEL ?= block_sparse
DEVICE ?= cpu
WORKERS ?= auto

judge: $(INSTALLED)  ## judge the built-in block-sparse kernel on the CPU: the 1600 cells of the published LSE suite
	$(BIN)/python -m pytest_attn check block_sparse -q --attn-sweep=bsa-lse pytest_attn.suite.test_lse

test: lint  ## the tests
	$(BIN)/python -m pytest tests -n 2 --dist worksteal

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

nightly: $(INSTALLED)  ## both halves of .github/workflows/nightly.yml, into nightly/: red where either is
	rm -rf nightly
	mkdir -p nightly/latency
	status=0; \
	$(BIN)/python -m pytest --pyargs pytest_attn.suite -n "$(WORKERS)" --attn-kernel="$(KERNEL)" --attn-device="$(DEVICE)" --attn-output=nightly/correctness || status=1; \
	$(BIN)/python -m pytest --pyargs pytest_attn.suite.test_latency --attn-gate=strict --attn-kernel="$(KERNEL)" --attn-device="$(DEVICE)" --attn-output=nightly/latency --benchmark-json=nightly/latency/run.json || status=1; \
	$(BIN)/python -m pytest_attn summary nightly/correctness nightly/latency > nightly/summary.md || status=1; \
	if [ -s nightly/latency/run.json ]; then $(BIN)/python -m pytest_attn history --add=nightly/latency/run.json > nightly/history.txt || status=1; fi; \
	exit $$status

setup: $(INSTALLED)  ## a virtual environment with everything development needs

# torch first: its constraint then also holds for what else asks for torch.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
