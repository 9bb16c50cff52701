"""`train`: what communication adds to a training step."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import gossip
from algorithms import Algorithm, ChocoSGD, DecentralizedSGD, TopK
from gossip.bench.command import TOPOLOGIES, Command, TimeRow, block_option, option, whole
from gossip.bench.timing import Case, interleaved, mpi_of
from gossip.network import Communicator, TransportName
from topologies import Schedule

BASELINE = "no_communication"
GOSSIP: dict[str, Callable[[float, float], Algorithm]] = {
    "overlapped": lambda lr, momentum: DecentralizedSGD(lr=lr, momentum=momentum, order="consensus"),
    "dsgd": lambda lr, momentum: DecentralizedSGD(lr=lr, momentum=momentum, order="adapt-then-combine"),
    "choco": lambda lr, momentum: ChocoSGD(
        lr=lr, gamma=0.3, momentum=momentum, order="overlapped", compressor=TopK(fraction=0.01)
    ),
}
DDP = "ddp_gloo"


def mlp(width: int) -> nn.Module:
    """784 inputs, two hidden layers, 10 classes."""
    return nn.Sequential(nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def cnn() -> nn.Module:
    """28 x 28 images, two convolutions, 10 classes."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(64 * 7 * 7, 1536), nn.ReLU(), nn.Linear(1536, 10)),
    )


MODELS: dict[str, Callable[[], nn.Module]] = {"mlp": lambda: mlp(2048), "mlp-small": lambda: mlp(512), "cnn": cnn}
"""Of 5.8, 0.67 and 4.9 million parameters."""


@dataclass(frozen=True)
class Train(Command):
    """A training step of a torch model, one node a rank, against the same step of torch.optim.SGD without any
    communication. Cases: gossip.Optimizer with averaging beside the gradient (overlapped) or after it (dsgd), with
    1% of the entries sent (choco); MPI's average of the gradients (allreduce); with --ddp torch's
    DistributedDataParallel over gloo (ddp_gloo)."""

    model: tuple[str, ...] = option(("mlp",), "what is trained, on random data", choices=MODELS)
    cases: tuple[str, ...] = option((*GOSSIP, "allreduce"), "what to measure", choices=(*GOSSIP, "allreduce"))
    ddp: bool = option(False, "measure DistributedDataParallel too")
    topology: str = option("ring", "who talks to whom", choices=TOPOLOGIES)
    transport: TransportName = option(  # noqa: RUF009 - a dataclass field
        "auto", "what carries rows between ranks", choices=get_args(TransportName)
    )
    batch: int = option(64, "examples of a rank's minibatch", whole)
    steps: int = option(10, "steps in a timed block; what a block's end overlaps with counts for one of them", whole)
    lr: float = option(1e-3, "learning rate; the models hardly change with a small one", float, least=0)
    momentum: float = option(0.9, "momentum", float, least=0)
    fused: bool = option(False, "give torch.optim.SGD its fused kernel")
    block: float = block_option()

    def run(self, communicator: Communicator) -> list[TimeRow]:
        """Measure each model in each way; collective."""
        graph = communicator.from_root(lambda: TOPOLOGIES[self.topology](communicator.size))
        communicator.from_root(lambda: [each(self.lr, self.momentum) for each in GOSSIP.values()])  # in range?
        return [row for model in self.model for row in self._measure(model, graph, communicator)]

    def _measure(self, name: str, graph: Schedule, communicator: Communicator) -> list[TimeRow]:
        modes = [*self.cases, *([DDP] if self.ddp else [])]
        with ExitStack() as open_until_measured:
            cases = {
                mode: self._case(mode, name, graph, communicator, open_until_measured) for mode in [*modes, BASELINE]
            }
            seconds = interleaved(cases, self.repeats, communicator, least=self.steps, shortest=self.block)
        d = sum(parameter.numel() for parameter in MODELS[name]().parameters())
        transport = self.transport if communicator.size > 1 else "none"
        return [
            TimeRow(
                case=f"{name} {mode}",
                transport=transport if mode in GOSSIP else None,
                topology=graph.name if mode in GOSSIP else None,
                ranks=communicator.size,
                dimension=d,
                seconds=seconds[mode],
                baseline=BASELINE,
                baseline_seconds=seconds[BASELINE],
            )
            for mode in modes
        ]

    def _case(self, mode: str, name: str, graph: Schedule, communicator: Communicator, resources: ExitStack) -> Case:
        torch.manual_seed(0)
        model = MODELS[name]()
        torch.manual_seed(communicator.rank)  # every rank has its own data
        if mode in GOSSIP:
            algorithm = GOSSIP[mode](self.lr, self.momentum)
            gossiping = gossip.Optimizer(model.parameters(), algorithm, topology=graph, transport=self.transport)
            resources.callback(gossiping.close)
            return self._loop(model, gossiping)
        if mode == DDP:
            resources.enter_context(_gloo(communicator))
            model = nn.parallel.DistributedDataParallel(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=self.lr, momentum=self.momentum, fused=self.fused or None)
        if mode == "allreduce" and communicator.size > 1:
            return self._loop(model, optimizer, _averaging(list(model.parameters()), communicator))
        return self._loop(model, optimizer)

    def _loop(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, between: Callable[[], None] = lambda: None
    ) -> Case:
        """Steps of the usual kind, with something between gradient and update."""
        inputs, targets = torch.randn(self.batch, 784), torch.randint(10, (self.batch,))

        def train(steps: int) -> None:
            for _ in range(steps):
                optimizer.zero_grad()
                cross_entropy(model(inputs), targets).backward()
                between()
                optimizer.step()

        return train


def _averaging(parameters: list[nn.Parameter], communicator: Communicator) -> Callable[[], None]:
    """Replaces the gradients by their averages over the ranks."""
    from gossip.processes.mpi import MPI

    mpi = mpi_of(communicator)

    def average() -> None:
        for parameter in parameters:
            gradient = parameter.grad
            assert isinstance(gradient, Tensor)
            mpi.Allreduce(MPI.IN_PLACE, gradient.numpy(), MPI.SUM)
            gradient /= communicator.size

    return average


@contextmanager
def _gloo(communicator: Communicator) -> Iterator[None]:
    """torch's own process group over the ranks, which find each other at a free port of the first one's host."""
    from torch import distributed

    host = "localhost" if communicator.local_size == communicator.size else communicator.broadcast(socket.gethostname())

    def store(port: int, first: bool) -> distributed.TCPStore:
        return distributed.TCPStore(host, port, communicator.size, is_master=first, wait_for_workers=False)

    mine = store(0, True) if communicator.rank == 0 else None
    port = communicator.broadcast(mine.port if mine else None)
    distributed.init_process_group(
        "gloo", store=mine or store(port, False), rank=communicator.rank, world_size=communicator.size
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()
        communicator.barrier()  # the first rank's store must outlive the others' use of it
