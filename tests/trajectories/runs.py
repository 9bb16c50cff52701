"""The fixed runs, and what is hashed of each; see `test_fixed_runs`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
import torch

import gossip
from algorithms import (
    D2,
    L1,
    QSGD,
    SGD,
    AdaComm,
    Adam,
    AdamW,
    AdditiveNoise,
    Algorithm,
    Beer,
    Bernoulli,
    Box,
    Cedas,
    ChocoGossip,
    ChocoSGD,
    Clars,
    Clipped,
    CocodSGD,
    Composed,
    Contraction,
    Cosine,
    DcdPSGD,
    DecentLaM,
    DecentralizedAdamW,
    DecentralizedSGD,
    DeepSqueeze,
    EcdPSGD,
    ElasticAveraging,
    ElasticNet,
    ExactDiffusion,
    Extra,
    FedAdam,
    FedAvg,
    FedMom,
    FedNova,
    FedProx,
    FedYogi,
    Full,
    GossipAveraging,
    GossipPGA,
    GradientTracking,
    GroupLasso,
    Induced,
    InfinityNorm,
    InverseTime,
    Lars,
    Lead,
    LeaderSGD,
    LocalSGD,
    LooplessSvrg,
    Minibatch,
    NaturalCompression,
    NaturalDithering,
    Nids,
    Oracle,
    OverlapLocalSGD,
    PerTensor,
    PgExtra,
    PowerSGD,
    ProxLead,
    PushDiging,
    PushSumAveraging,
    PushSumSGD,
    QuasiGlobalMomentum,
    RandomK,
    RelaySGD,
    ResidualSGD,
    Saga,
    Scaffold,
    ScaledSign,
    SignTopK,
    SparqSGD,
    SquarmSGD,
    StepDecay,
    StepwiseThreshold,
    Svrg,
    TernGrad,
    TopK,
    WarmUp,
    ZerothOrder,
    elastic_averaging_sgd,
)
from gossip import SimulatedClock
from gossip.workloads import Averaging, Digits, Dirichlet, LeastSquares, LogisticRegression, SigmoidLoss
from tests.trajectories.quadratics import Quadratics, numbers
from topologies import (
    Schedule,
    Topology,
    balanced_tree,
    binary_tree,
    edge_dropout,
    elastic_averaging_tree,
    erdos_renyi,
    exponential,
    grid,
    hypercube,
    matcha,
    od_equi_dyn,
    one_peer_exponential,
    one_peer_hypercube,
    random_matching,
    random_out,
    random_regular,
    ring,
    simple_base_graph,
    torus,
)

LOSSES = ("train_loss", "test_loss")
COUNTS = ("bytes_sent_per_node", "messages_sent_per_node", "gradients_per_node", "queries_per_node")
MATRICES = {"first": (12, 8), "bias": (8,), "second": (6, 4, 3)}  # 176 numbers
VECTOR = {"x": (40,)}
CLOCK = SimulatedClock(0.01, 1e-3, 1e5, exponential_seconds=0.01, slow_nodes=(2,), slowdown=1.5)


@dataclass(frozen=True)
class Run:
    """One run of the list.

    Args:
        algorithm: What runs,
        topology: where,
        oracle: on which gradients.
        workload: What is solved: these quadratics if None.
        shapes: The tensors of the quadratics,
        dtype: and the type of their parameters.
        steps: Number of steps.
        clock: The simulated clock, if any.
        models: Whether the final models are held, and the test loss, which is theirs.
        counts: Whether the counts are held.
        probe: Which of `PROBES` its bits depend on, if any.
    """

    algorithm: Algorithm
    topology: Schedule
    oracle: Oracle = field(default_factory=Full)
    workload: Any = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: VECTOR)
    dtype: torch.dtype = torch.float64
    steps: int = 12
    clock: SimulatedClock | None = None
    models: bool = True
    counts: bool = True
    probe: str | None = None

    def hashes(self) -> dict[str, str]:
        """Run it."""
        with_data = self.topology.n - self.algorithm.auxiliary
        result = gossip.run(
            Quadratics(with_data, self.shapes, self.dtype) if self.workload is None else self.workload,
            self.topology,
            self.algorithm,
            steps=self.steps,
            oracle=self.oracle,
            seed=3,
            evaluate_every=1,
            clock=self.clock,
            output=None,
        )
        assert torch.isfinite(result.model).all()
        assert [record["step"] for record in result.history] == list(range(self.steps + 1))
        hashes = {}
        if self.models:
            hashes["models"] = hash_of([str(result.model.dtype).encode(), result.model.contiguous().numpy().tobytes()])
        hashes["losses"] = hash_of(chosen(result, LOSSES if self.models else LOSSES[:1]))
        if self.counts:
            hashes["counts"] = hash_of(chosen(result, (*COUNTS, "simulated_seconds") if self.clock else COUNTS))
        return hashes


def chosen(result: gossip.Result, names: Iterable[str]) -> list[bytes]:
    """The numbers of these names in the history, as exact text."""
    return [f"{name} {float(record[name]).hex()}\n".encode() for record in result.history for name in names]


def hash_of(parts: Iterable[bytes]) -> str:
    """The first 128 bits of the SHA-256 of all parts together."""
    return sha256(b"".join(parts)).hexdigest()[:32]


def lazy(topology: Topology) -> Topology:
    """(I + W) / 2."""
    return Topology.from_matrix((np.eye(topology.n) + topology.matrix.toarray()) / 2)


def least_squares(n: int) -> LeastSquares:
    return LeastSquares(2 * numbers(1001, n, 9, 20) - 1, 2 * numbers(1002, n, 9) - 1, l2=0.01)


SINGLE = torch.float32
DECAY = StepDecay(lr=0.1, milestones=(5, 9), factor=0.5)
FEDERATED = partial(Run, counts=False)  # the bytes of clients are going to be counted in another way
VARYING = Schedule([random_out(7, degree=2, seed=seed) for seed in (1, 5, 9)])

RUNS = {
    # Uncompressed methods.
    "adamw": Run(
        DecentralizedAdamW(lr=Cosine(lr=0.05, steps=10, end=0.01)),
        exponential(8),
        Minibatch(3),
        dtype=SINGLE,
        probe="roots",
    ),
    "d2": Run(D2(lr=DECAY), lazy(ring(6)), Minibatch(4)),
    "decent-lam": Run(
        DecentLaM(lr=WarmUp(steps=4, then=DECAY), momentum=0.8), torus(9), Minibatch(2), shapes=MATRICES, dtype=SINGLE
    ),
    "dsgd": Run(
        DecentralizedSGD(
            lr=DECAY,
            order="combine-then-adapt",
            momentum=0.5,
            nesterov=True,
            period=2,
            prox=ElasticNet(l1=0.05, l2=0.05),
        ),
        one_peer_exponential(8),
        Svrg(2, 5, sampling="importance"),
        dtype=SINGLE,
        clock=CLOCK,
    ),
    "exact-diffusion-least-squares": Run(ExactDiffusion(lr=0.05), ring(7), Svrg(3), least_squares(7)),
    "extra": Run(Extra(lr=InverseTime(scale=2.0, offset=20.0)), erdos_renyi(8), Saga(2), dtype=SINGLE),
    "gossip-averaging": Run(GossipAveraging(), edge_dropout(10, "ring", 0.2, seed=4), workload=Averaging(30)),
    "gossip-pga-digits": Run(
        GossipPGA(lr=0.5, period=3, optimizer=Lars(trust=0.02, weight_decay=0.01)),
        matcha(8, "ring", seed=1),
        Minibatch(8),
        Digits(hidden=8),
        steps=8,
        probe="products",
    ),
    "gradient-tracking": Run(
        GradientTracking(lr=DECAY, order="adapt-then-combine", momentum=0.3, nesterov=True),
        od_equi_dyn(9, seed=2),
        LooplessSvrg(2, 0.3),
    ),
    "nids-logistic-regression": Run(
        Nids(lr=0.1, gamma=0.8, prox=L1(0.01)), binary_tree(7), Saga(5), LogisticRegression(split=Dirichlet(1.0))
    ),
    "pg-extra": Run(
        PgExtra(lr=0.1, prox=GroupLasso(weight=0.5, groups="rows")),
        grid(12),
        shapes=MATRICES,
        dtype=SINGLE,
        probe="roots",
    ),
    "push-diging": Run(PushDiging(lr=0.03), VARYING, Minibatch(4), steps=20),
    "push-sum-averaging": Run(PushSumAveraging(), random_out(9, degree=2, seed=3), workload=Averaging(30)),
    "push-sum-sgd": Run(
        PushSumSGD(lr=DECAY, momentum=0.5, overlap=True), random_out(8, degree=3), dtype=SINGLE, clock=CLOCK
    ),
    "quasi-global-momentum": Run(
        QuasiGlobalMomentum(lr=0.05, nesterov=True),
        random_matching(8),
        AdditiveNoise(Minibatch(2), deviation=0.1),
        shapes=MATRICES,
        dtype=SINGLE,
    ),
    "relay-sgd": Run(
        RelaySGD(lr=DECAY, momentum=0.5, nesterov=True), balanced_tree(4, 3), Minibatch(2), steps=16, clock=CLOCK
    ),
    # Compressed messages.
    "beer": Run(
        Beer(lr=0.02, gamma=0.3, compressor=Composed(RandomK(k=10), QSGD(levels=7))), exponential(7), dtype=SINGLE
    ),
    "cedas": Run(
        Cedas(lr=DECAY, compressor=InfinityNorm(bits=2, bucket=16)), hypercube(8), Saga(2, refresh="independent")
    ),
    "choco-gossip": Run(
        ChocoGossip(gamma=0.3, compressor=Contraction(Bernoulli(p=0.4))),
        one_peer_hypercube(8),
        workload=Averaging(50),
    ),
    "choco-sgd": Run(
        ChocoSGD(lr=0.05, gamma=0.3, compressor=PowerSGD(rank=2), order="overlapped", momentum=0.5),
        ring(6),
        Minibatch(3),
        shapes=MATRICES,
        dtype=SINGLE,
    ),
    "dcd-psgd": Run(DcdPSGD(lr=0.05, compressor=NaturalCompression()), exponential(8), Minibatch(3), dtype=SINGLE),
    "deep-squeeze": Run(
        DeepSqueeze(lr=0.05, gamma=0.2, compressor=ScaledSign(bucket=32)),
        random_regular(8, 3),
        shapes=MATRICES,
        dtype=SINGLE,
    ),
    "ecd-psgd": Run(EcdPSGD(lr=0.05, compressor=QSGD(levels=127, norm="max", bucket=16)), exponential(8), Minibatch(2)),
    "lead": Run(
        Lead(lr=0.05, compressor=PerTensor(NaturalDithering(levels=7))), ring(8), Svrg(2), shapes=MATRICES, dtype=SINGLE
    ),
    "prox-lead": Run(
        ProxLead(lr=DECAY, gamma=0.5, alpha=0.2, compressor=TernGrad(bucket=20), prox=Box(-0.3, 0.3)), ring(8)
    ),
    "sparq": Run(
        SparqSGD(
            lr=DECAY,
            period=2,
            threshold=StepwiseThreshold(start=1000.0, step=1000.0, every=4),
            gamma=0.3,
            compressor=SignTopK(fraction=0.2),
        ),
        one_peer_exponential(6),
        Minibatch(2),
        steps=20,
        clock=CLOCK,
    ),
    "squarm": Run(
        SquarmSGD(
            lr=0.05,
            momentum=0.8,
            period=1,
            threshold=2500.0,
            gamma=0.2,
            compressor=Contraction(Induced(TopK(k=4), RandomK(k=8, unbiased=True))),
        ),
        simple_base_graph(6),
        dtype=SINGLE,
        steps=16,
    ),
    # Local updates.
    "cocod-sgd": Run(CocodSGD(lr=0.5, period=2, optimizer=Clars(trust=0.1)), ring(6), shapes=MATRICES, dtype=SINGLE),
    "elastic-averaging-sgd": Run(
        elastic_averaging_sgd(DECAY, period=2, auxiliary=3, momentum=0.5), elastic_averaging_tree(10), Minibatch(2)
    ),
    # The model that it gives is going to be another one; what it sees on the way says where it is.
    "elastic-averaging": Run(ElasticAveraging(lr=0.05, period=2, momentum=0.5), ring(6), models=False),
    # Its counts are those since losses and leaders go to all nodes along a tree instead of being summed up over it.
    "leader-sgd": Run(
        LeaderSGD(lr=0.05, period=1, groups=3, global_every=2, momentum=0.5), ring(9), Minibatch(3), dtype=SINGLE
    ),
    "local-sgd": Run(
        LocalSGD(lr=DECAY, period=AdaComm(4, interval=0.1), momentum=0.5, slow_momentum=0.3),
        ring(6),
        Minibatch(3),
        steps=20,
        clock=CLOCK,
    ),
    "overlap-local-sgd": Run(
        OverlapLocalSGD(lr=0.05, period=3, optimizer=Clipped(1.0, AdamW())),
        ring(5),
        shapes=MATRICES,
        dtype=SINGLE,
        probe="roots",
    ),
    # Clients of a server, for which the topology does not matter.
    "fed-adam": FEDERATED(
        FedAdam(lr=0.05, local_steps=3, participation=4), ring(8), Minibatch(2), dtype=SINGLE, probe="roots"
    ),
    "fed-avg-sigmoid-loss": FEDERATED(
        FedAvg(
            lr=0.01, local_steps=2, participation=0.5, sampling="proportional", weights="examples", optimizer=Adam()
        ),
        ring(6),
        ZerothOrder(Minibatch(4), "gaussian", directions=2),
        SigmoidLoss(split=Dirichlet(1.0)),
        steps=8,
        probe="roots",
    ),
    "fed-mom": FEDERATED(FedMom(lr=DECAY, local_steps=3, participation=2, optimizer=SGD(momentum=0.5)), ring(7)),
    "fed-nova": FEDERATED(
        FedNova(lr=0.05, local_steps=3, participation=3, client_steps=(1, 2, 3, 3, 1)), ring(5), Minibatch(2)
    ),
    "fed-prox": FEDERATED(
        FedProx(lr=0.05, local_steps=3, mu=0.5, weights=(1.0, 2.0, 3.0, 0.0), optimizer=ResidualSGD(0.3, 0.7)),
        ring(4),
        ZerothOrder(Svrg(2), "coordinate", smoothing=2.0**-10),
        steps=9,
    ),
    "fed-yogi": FEDERATED(
        FedYogi(lr=0.05, local_steps=3, sampling="power-of-choice", participation=2, candidates=4),
        ring(7),
        Minibatch(3),
        probe="roots",
    ),
    "scaffold": FEDERATED(Scaffold(lr=0.05, local_steps=3, participation=4), ring(8), Minibatch(3), dtype=SINGLE),
}
