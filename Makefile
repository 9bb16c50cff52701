# make train   installs everything into .venv and runs the main job on 4 MPI ranks
# make test    installs everything into .venv and runs the whole test suite
# make check   ruff and mypy

PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test check clean

train: .venv/installed
	$(BIN)/mpirun -n 4 $(BIN)/python -m gossip.train

test: .venv/installed
	$(BIN)/python -m pytest

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# An editable install: the code in this folder is what runs.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[mpich,dev]'
	touch $@

clean:
	rm -rf .venv
