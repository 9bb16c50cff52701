"""Training by an all-reduce of gradients in each step, as MPI and torch do it by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from methods import BATCH, MOMENTUM, NODES
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from algorithms import Oracle, ShardedWorkload
from algorithms.randomness import generator
from gossip.bench.timing import mpi_of
from gossip.drivers.gradients import Gradients
from gossip.network import Communicator
from gossip.workloads.neural.images import read_mnist
from gossip.workloads.splits import held_out

PATIENCE = 120  # seconds that a rank waits for others in gloo


class Averaged:
    """Momentum SGD with MPI_Allreduce of the gradients that the methods of this project take.

    Args:
        workload: The images of all nodes.
        processes: A node each.
        oracle: Takes gradients.
        lr: Learning rate.
        seed: Of the batches.
    """

    def __init__(
        self, workload: ShardedWorkload, processes: Communicator, oracle: Oracle, lr: float, seed: int
    ) -> None:
        self._gradients = Gradients(oracle, workload, [processes.rank], seed)
        self._mpi, self._lr, self._steps = mpi_of(processes), lr, 0
        self._x = workload.initial()[None].clone()
        self._velocity = torch.zeros_like(self._x)
        self._oracle = self._gradients.start(self._x)

    def step(self) -> None:
        """One step; collective."""
        from gossip.processes.mpi import MPI

        gradient = self._gradients.sample(self._oracle, self._x, self._steps).gradient.contiguous()
        self._mpi.Allreduce(MPI.IN_PLACE, gradient.numpy(), MPI.SUM)
        self._velocity = MOMENTUM * self._velocity + gradient / NODES
        self._x = self._x - self._lr * self._velocity
        self._steps += 1

    def model(self) -> Tensor:
        """(d,), the same on all ranks."""
        return self._x[0]


@contextmanager
def gloo(processes: Communicator, address: str) -> Iterator[None]:
    """torch's process group of all ranks, once in a process: a second one may wait for messages to the first.

    Args:
        processes: The ranks.
        address: Of rank 0, with a free port.
    """
    from torch import distributed

    distributed.init_process_group(
        "gloo",
        init_method=f"tcp://{address}",
        rank=processes.rank,
        world_size=processes.size,
        timeout=timedelta(seconds=PATIENCE),
    )
    try:
        yield
        processes.barrier()  # the first rank's store must outlive the others' use of it
    finally:
        distributed.destroy_process_group()


class DistributedDataParallel:
    """torch's own, over gloo, on as many images a rank, drawn in its own way.

    Args:
        workload: Says where the model starts.
        processes: A node each.
        lr: Learning rate.
        seed: Of the split and the batches.
    """

    def __init__(self, workload: ShardedWorkload, processes: Communicator, lr: float, seed: int) -> None:
        images = processes.from_root(read_mnist)
        training = held_out(len(images["labels"]))[0]
        own = generator(seed, "slow links").permutation(training)[processes.rank :: NODES]
        pixels = (images["images"][own] - images["mean"]) / images["deviation"]
        self._inputs, self._targets = torch.from_numpy(pixels).float(), torch.from_numpy(images["labels"][own]).long()
        self._random = generator(seed, "slow links", processes.rank)
        model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
        vector_to_parameters(workload.initial(), model.parameters())
        self._model = nn.parallel.DistributedDataParallel(model)
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=lr, momentum=MOMENTUM)

    def step(self) -> None:
        """One step; collective."""
        batch = torch.from_numpy(self._random.choice(len(self._targets), BATCH, replace=False))
        self._optimizer.zero_grad()
        cross_entropy(self._model(self._inputs[batch]), self._targets[batch]).backward()
        self._optimizer.step()

    def model(self) -> Tensor:
        """(d,), the same on all ranks."""
        return parameters_to_vector(self._model.parameters()).detach()
