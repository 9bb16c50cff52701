"""Runs of 16 nodes, at least one of each family, that move from some ranks to others, bit for bit."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gossip
from algorithms import (
    QSGD,
    Beer,
    ChocoSGD,
    CocodSGD,
    Contraction,
    DecentralizedSGD,
    DeepSqueeze,
    ElasticAveraging,
    ExactDiffusion,
    FedMom,
    FedYogi,
    GossipAveraging,
    InfinityNorm,
    Lead,
    Minibatch,
    PushSumSGD,
    RandomK,
    RelaySGD,
    Saga,
    Scaffold,
    SquarmSGD,
    Svrg,
    TopK,
    elastic_averaging_sgd,
)
from gossip.network import Communicator
from gossip.records.numbers import to_json
from gossip.records.recorder import Recorder
from gossip.workloads import LeastSquares
from tests.cases import Case as AnyCase
from tests.cases.workloads import averaging
from tests.conftest import no_larger_files_than
from tests.mpi.helpers import Results, results_of
from topologies import RandomizedGossip, elastic_averaging, one_peer_exponential, path, random_out, ring

N = 16
SAVED, STEPS = 7, 12  # steps after which a checkpoint is written, and steps in all


def squares(nodes: int) -> LeastSquares:
    """As many parameters as four ranks have nodes each."""
    random = np.random.default_rng(2)
    return LeastSquares(random.normal(size=(nodes, 9, 4)), random.normal(size=(nodes, 9)), l2=0.01)


Case = partial(AnyCase, workload=squares)

CASES = {
    "DecentralizedSGD": Case(
        DecentralizedSGD(lr=0.05, order="consensus", momentum=0.9), one_peer_exponential, oracle=Minibatch(3)
    ),
    "ChocoSGD": Case(ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=2)), one_peer_exponential),
    "ChocoSGD-overlapped": Case(
        ChocoSGD(lr=0.05, gamma=0.3, compressor=Contraction(QSGD(levels=3)), order="overlapped")
    ),
    "SquarmSGD": Case(SquarmSGD(lr=0.05, gamma=0.3, compressor=RandomK(k=2), threshold=30.0, period=2)),
    "Lead": Case(Lead(lr=0.05, compressor=InfinityNorm(bits=2)), oracle=Saga(2, sampling="importance")),
    "DeepSqueeze": Case(DeepSqueeze(lr=0.05, gamma=0.2, compressor=TopK(k=2)), oracle=Svrg(2)),
    "Beer": Case(Beer(lr=0.02, gamma=0.3, compressor=RandomK(k=2))),
    "CooperativeSGD-elastic": Case(elastic_averaging_sgd(0.05, period=2), elastic_averaging, oracle=Saga(2)),
    "ElasticAveraging": Case(ElasticAveraging(lr=0.05, period=2, momentum=0.5)),
    "CocodSGD": Case(CocodSGD(lr=0.05, period=3, momentum=0.5)),
    "Scaffold": Case(Scaffold(lr=0.05, local_steps=3, participation=5)),
    "FedYogi": Case(
        FedYogi(lr=0.05, local_steps=3, sampling="power-of-choice", participation=3, candidates=6), oracle=Saga(2)
    ),
    "FedMom-replicated": Case(FedMom(lr=0.05, local_steps=3, participation=4, server="replicated")),
    "PushSumSGD": Case(PushSumSGD(lr=0.05, overlap=True), random_out),
    "RelaySGD": Case(RelaySGD(lr=0.02, momentum=0.5), path),
    "ExactDiffusion": Case(ExactDiffusion(lr=0.05), oracle=Saga(2)),
    "GossipAveraging": Case(GossipAveraging(), lambda n: RandomizedGossip(ring(n)), workload=averaging()),
}


def go_on(case: AnyCase, steps: int, output: Path, **options: Any) -> Results:
    """Go on with a run as far as this."""
    result = gossip.run(
        case.workload(N - case.algorithm.auxiliary),  # type: ignore[arg-type]
        case.topology(N),
        case.algorithm,
        oracle=case.oracle,
        steps=steps,
        evaluate_every=4,
        output=output,
        report=False,
        resume="auto",
        placement="spectral",
        **options,
    )
    return results_of(result.model, result.history)


@pytest.mark.ranks(7)
@pytest.mark.parametrize("name", CASES)
def test_nodes_move_to_another_number_of_ranks(
    processes: Communicator, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mpi4py import MPI

    monkeypatch.setattr(Recorder, "write_outcome", lambda *_: None)  # it takes longer than the run
    tmp_path = processes.from_root(lambda: tmp_path)
    case = CASES[name]

    def on(ranks: int, steps: int, output: str, **options: Any) -> Results | None:
        """What the first of the ranks give, on rank 0."""
        processes.barrier()  # MPI's own Split spins until all have come
        some = MPI.COMM_WORLD.Split(processes.rank < ranks)
        if processes.rank >= ranks:
            some.Free()
            return None
        found = go_on(case, steps, tmp_path / output, communicator=some, **options)
        some.Free()
        return found if processes.rank == 0 else None

    whole = on(1, STEPS, "whole")
    on(4, SAVED, "saved")
    for ranks, options in ((1, {}), (3, {}), (7, {"transport": "peer-to-peer"})):
        output = f"on-{ranks}"
        processes.from_root(lambda output=output: shutil.copytree(tmp_path / "saved", tmp_path / output))
        resumed = on(ranks, STEPS, output, **options)
        if whole is not None and resumed is not None:
            assert resumed.keys() == whole.keys()
            assert [name for name in whole if not np.array_equal(whole[name], resumed[name])] == [], f"{ranks} ranks"


@pytest.mark.ranks(4)
def test_all_ranks_pass_over_damage_and_outlive_a_disk_that_one_of_them_finds_full(
    processes: Communicator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Recorder, "write_outcome", lambda to, summary, *_: to.replace("summary.json", to_json(summary)))
    output = processes.from_root(lambda: tmp_path)
    case = CASES["ChocoSGD"]
    whole = go_on(case, STEPS, output / "whole")
    with no_larger_files_than(1000) if processes.rank == 2 else nullcontext():
        go_on(case, SAVED, output / "full", checkpoint_every=2)
    said = capfd.readouterr().err
    first = "step-00000002 (File too large); the ones before it are whole; the run goes on\n"
    assert said.endswith(first) and said.count("\n") == 1 if processes.rank == 0 else said == ""

    go_on(case, SAVED, output / "damaged", checkpoint_every=3)
    processes.from_root(lambda: next(output.glob("damaged/*/*/checkpoints/*07/rank-0003.safetensors")).write_bytes(b""))
    resumed = go_on(case, STEPS, output / "damaged")
    said = capfd.readouterr().err
    if processes.rank == 0:
        assert "passes over damage" in said and "rank-0003.safetensors has 0 bytes" in said
        assert "the run goes on after step 6" in said and said.count("\n") == 2
    assert [name for name in whole if not np.array_equal(whole[name], resumed[name])] == []
    go_on(case, STEPS, output / "damaged")  # which has come to its end
    said = capfd.readouterr().err
    assert said.endswith("step 12: nothing is left to do\n") if processes.rank == 0 else said == ""
