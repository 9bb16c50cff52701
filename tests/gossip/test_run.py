"""The library call and the run directory."""

from __future__ import annotations

import json
import signal
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

import gossip
from algorithms import (
    Algorithm,
    ChocoSGD,
    DecentralizedSGD,
    ExactDiffusion,
    Full,
    Layout,
    Minibatch,
    PerTensor,
    PushSumSGD,
    Sample,
    State,
    TopK,
)
from algorithms.network import Network
from gossip.errors import DataError, DivergedError, UsageError
from gossip.workloads import Digits, LeastSquares
from tests.conftest import Run
from topologies import Topology, complete, one_peer_exponential, random_out, ring

REQUIRED = (
    "algorithm topology nodes ranks steps seconds train_loss test_loss test_accuracy consensus_distance "
    "bytes_sent_per_node messages_sent_per_node"
).split()


@pytest.fixture
def squares() -> LeastSquares:
    random = np.random.default_rng(0)
    return LeastSquares(random.normal(size=(8, 12, 5)), random.normal(size=(8, 12)))


@dataclass(frozen=True)
class SeenChoco(ChocoSGD):
    """Keeps what was sent."""

    sent: list[torch.Tensor] = field(default_factory=list)

    def step(self, state: State, sample: Sample, network: Network) -> None:
        before = state.replicas.of_round[0].public.clone()
        super().step(state, sample, network)
        self.sent.append(state.replicas.of_round[0].public - before)


def kept_by_tensor(sent: torch.Tensor, layout: Layout) -> list[list[int]]:
    """For each row, how many entries of each tensor were sent."""
    return torch.stack([part.flatten(1).count_nonzero(1) for part in layout.unflatten(sent).values()], dim=1).tolist()


def test_compression_tensor_by_tensor(tmp_path: Path) -> None:
    """The tensors are those of the workload's model."""
    algorithm = SeenChoco(lr=0.1, gamma="theory", compressor=PerTensor(TopK(fraction=0.1)))
    workload = Digits(hidden=20)
    result = gossip.run(workload, ring(4), algorithm, steps=2, output=tmp_path)
    layout = Layout({"1": (20, 64), "2": (20,), "3": (10, 20), "4": (10,)})
    assert layout.d == result.model.shape[1]
    assert [kept_by_tensor(sent, layout) for sent in algorithm.sent] == [[[128, 2, 20, 1]] * 4] * 2
    assert result.directory is not None
    assert "shapes: null" in (result.directory / "config.yaml").read_text()  # as it was asked for


def test_run_directory_holds_the_whole_run(tmp_path: Path) -> None:
    result = gossip.run(
        Digits(),
        ring(4),
        DecentralizedSGD(lr=0.1),
        oracle=Minibatch(8),
        steps=30,
        evaluate_every=10,
        output=tmp_path,
    )
    assert result.directory is not None
    assert sorted(file.name for file in result.directory.iterdir()) == [
        "config.yaml",
        "logs",
        "metrics.jsonl",
        "report.html",
        "summary.json",
    ]
    assert result.directory.parent == tmp_path / "DecentralizedSGD-ring"
    records = [json.loads(line) for line in (result.directory / "metrics.jsonl").read_text().splitlines()]
    assert records == result.history
    assert [record["step"] for record in records] == [0, 10, 20, 30]
    summary = json.loads((result.directory / "summary.json").read_text())
    assert summary == result.summary
    assert set(REQUIRED) <= summary.keys()
    assert summary["test_accuracy"] == records[-1]["test_accuracy"] > records[0]["test_accuracy"]
    assert summary["bytes_sent_per_node"] == 30 * 2 * 4 * result.model.shape[1]
    assert summary["messages_sent_per_node"] == 60
    assert "algorithms.decentralized.dsgd.DecentralizedSGD" in (result.directory / "config.yaml").read_text()


def test_recorded_metrics_by_hand(squares: LeastSquares) -> None:
    start = torch.randn(8, 5, dtype=torch.float64)
    result = gossip.run(squares, ring(8), DecentralizedSGD(lr=0.1), steps=0, start=start, output=None)
    (record,) = result.history
    assert torch.equal(result.model, start)
    average = start.mean(0)
    sample = squares.gradient(start, range(8))
    assert record["train_loss"] == pytest.approx(float(sample.loss.mean()), rel=1e-12)
    assert record["gradient_norm"] == pytest.approx(float(sample.gradient.mean(0).norm()), rel=1e-12)
    spread = float((start - average).square().sum(1).mean().sqrt())
    assert record["consensus_distance"] == pytest.approx(spread, rel=1e-12)
    assert record["test_loss"] == pytest.approx(squares.evaluate(average)["test_loss"], rel=1e-12)
    nodes = np.mean([squares.evaluate(x)["test_loss"] for x in start])
    assert record["node_test_loss"] == pytest.approx(nodes, rel=1e-12)
    assert record["bytes_sent_per_node"] == record["messages_sent_per_node"] == 0


def test_of_many_nodes_some_are_evaluated(squares: LeastSquares) -> None:
    start = torch.randn(8, 5, dtype=torch.float64)

    def node_test_loss(evaluate_nodes: int) -> float | None:
        arguments = {"steps": 0, "start": start, "evaluate_nodes": evaluate_nodes, "output": None}
        return gossip.run(squares, ring(8), DecentralizedSGD(), **arguments).summary.get("node_test_loss")

    losses = [squares.evaluate(x)["test_loss"] for x in start]
    assert node_test_loss(0) is None
    assert node_test_loss(1) == pytest.approx(losses[0], rel=1e-12)
    assert node_test_loss(3) == pytest.approx(np.mean([losses[0], losses[4], losses[7]]), rel=1e-12)
    assert node_test_loss(100) == pytest.approx(np.mean(losses), rel=1e-12)


def test_metrics_are_not_traffic_and_do_not_move_the_schedule(squares: LeastSquares) -> None:
    def train(evaluate_every: int) -> gossip.Result:
        topology = one_peer_exponential(8)
        algorithm = DecentralizedSGD(lr=0.1)
        return gossip.run(squares, topology, algorithm, steps=12, evaluate_every=evaluate_every, output=None)

    often, seldom = train(1), train(12)
    assert torch.equal(often.model, seldom.model)
    assert often.summary["bytes_sent_per_node"] == seldom.summary["bytes_sent_per_node"] == 12 * 5 * 8


def test_gradients_that_the_steps_so_far_have_used(squares: LeastSquares) -> None:
    for oracle, each in ((Full(), 12), (Minibatch(5), 5)):
        arguments = {"steps": 20, "evaluate_every": 5, "output": None}
        result = gossip.run(squares, ring(8), DecentralizedSGD(lr=0.1), oracle=oracle, **arguments)
        assert [record["gradients_per_node"] for record in result.history] == [each * t for t in (0, 5, 10, 15, 20)]
        assert {record["queries_per_node"] for record in result.history} == {0}
        assert result.summary["gradients_per_node"] == 20 * each


def test_any_networkx_graph_is_a_topology(squares: LeastSquares) -> None:
    graph = nx.relabel_nodes(nx.cycle_graph(8), str)
    given = gossip.run(squares, graph, DecentralizedSGD(lr=0.1), steps=5, output=None)
    built = gossip.run(squares, Topology(graph), DecentralizedSGD(lr=0.1), steps=5, output=None)
    assert torch.equal(given.model, built.model)


def test_the_precision_of_the_start_is_kept(squares: LeastSquares) -> None:
    assert gossip.run(squares, ring(8), DecentralizedSGD(), steps=2, output=None).model.dtype == torch.float64
    model = gossip.run(Digits(), ring(2), DecentralizedSGD(), steps=2, oracle=Minibatch(4), output=None).model
    assert model.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": -1}, "steps = -1"),
        ({"seed": -1}, "seed = -1"),
        ({"evaluate_every": 0}, "evaluate_every = 0"),
        ({"evaluate_nodes": -1}, "evaluate_nodes = -1"),
        (
            {"transport": "shared_memory"},
            "there is no transport 'shared_memory'; there are auto, shared-memory, peer-to",
        ),
        ({"transport": None}, "there is no transport None; there are auto, shared-memory, peer-to-peer"),
        ({"start": torch.zeros(4)}, r"of shape \(5,\) or \(8, 5\)"),
        ({"start": torch.zeros(5, dtype=torch.int64)}, "floating point"),
        ({"topology": ring(9)}, "9"),
        (
            {"topology": one_peer_exponential(8), "algorithm": ExactDiffusion()},
            "ExactDiffusion needs a topology that is static",
        ),
        (
            {"topology": random_out(8)},
            "DecentralizedSGD needs a topology that is row stochastic, and random_out is not; Topology",
        ),
        (
            {"topology": random_out(8), "algorithm": ChocoSGD(gamma="theory")},
            "ChocoSGD needs a topology that is doubly stochastic, and random_out is not; ring",
        ),
        (
            {"topology": Topology(nx.star_graph(7), weights="uniform"), "algorithm": PushSumSGD()},
            r"PushSumSGD needs a topology that is column stochastic, and custom is not; .*weights='push'",
        ),
        (
            {"algorithm": ChocoSGD(gamma="theory", compressor=TopK(k=6))},
            "k = 6 is not allowed; it must be at most d = 5",
        ),
    ],
)
def test_arguments_out_of_range(squares: LeastSquares, change: dict, says: str) -> None:
    arguments = {"topology": ring(8), "algorithm": DecentralizedSGD(), "steps": 3, "output": None} | change
    with pytest.raises(ValueError, match=says) as raised:
        gossip.run(squares, **arguments)
    assert "\n" not in str(raised.value)


def test_a_biased_mixing_matrix_is_pointed_out_where_it_is_used(squares: LeastSquares) -> None:
    star = Topology(nx.star_graph(7), weights="uniform")
    with pytest.warns(UserWarning, match="not doubly stochastic") as seen:
        gossip.run(squares, star, DecentralizedSGD(lr=0.1), steps=1, output=None)
    (warning,) = seen
    line = Path(__file__).read_text().splitlines()[warning.lineno - 1]
    assert (warning.filename, line.strip()[:11]) == (__file__, "gossip.run(")


def test_in_a_command_it_is_a_plain_line(here: Run) -> None:
    options = ["--workload", "Averaging", "--algorithm", "GossipAveraging", "--steps", "1", "--output", "null"]
    star = ["--topology", "star", "--topology.weights", "uniform"]
    done = here("-m", "gossip.train", *options, *star, "--quiet")
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("gossip: warning: the mixing matrix of star is not doubly stochastic: ")


def test_a_run_leaves_the_process_as_it_was(squares: LeastSquares) -> None:
    def globals_() -> tuple[object, ...]:
        handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGUSR1)]
        return torch.get_num_threads(), sys.excepthook, warnings.showwarning, sys.stdout, *handlers

    before = globals_()
    gossip.run(squares, ring(8), DecentralizedSGD(lr=0.1), steps=1, output=None)
    assert globals_() == before
    with pytest.raises(DivergedError):
        gossip.run(squares, complete(8), DecentralizedSGD(lr=1e30), steps=100, output=None)
    assert globals_() == before


@pytest.mark.filterwarnings("error")
def test_push_sum_is_not_biased_by_a_matrix_whose_columns_sum_to_1(squares: LeastSquares) -> None:
    gossip.run(squares, random_out(8), PushSumSGD(lr=0.1), steps=1, output=None)


def test_a_diverging_run_stops_and_leaves_its_records(squares: LeastSquares, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"the run diverged: the train loss is (nan|inf) at step"):
        gossip.run(squares, complete(8), DecentralizedSGD(lr=1e30), steps=100, output=tmp_path)
    (summary,) = tmp_path.glob("*/*/summary.json")
    recorded = json.loads(summary.read_text())
    assert recorded["status"] == "diverged"
    assert recorded["train_loss"] is None
    assert (summary.parent / "report.html").exists()


def test_a_compressor_that_meets_infinity_is_divergence_too(squares: LeastSquares) -> None:
    algorithm = ChocoSGD(lr=1e200, gamma="theory", compressor=TopK(k=1))
    with pytest.raises(DivergedError, match="TopK"):
        gossip.run(squares, ring(8), algorithm, steps=100, evaluate_every=100, output=None)


def test_output_that_cannot_be_written(squares: LeastSquares, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="choose another output"):
        gossip.run(squares, ring(8), DecentralizedSGD(), steps=1, output=tmp_path / "file")


def test_errors_of_usage_are_value_errors() -> None:
    assert issubclass(UsageError, ValueError)


def test_two_runs_at_the_same_time_get_their_own_directories(squares: LeastSquares, tmp_path: Path) -> None:
    directories = {
        gossip.run(squares, ring(8), DecentralizedSGD(), steps=1, output=tmp_path).directory for _ in range(3)
    }
    assert len(directories) == 3


def test_an_algorithm_of_the_users_own_runs(squares: LeastSquares) -> None:
    @dataclass(frozen=True)
    class Independent(Algorithm):
        lr: float = 0.1

        def step(self, state: State, sample: Sample, network: Network) -> None:
            state.x = state.x - self.lr * sample.gradient

    result = gossip.run(squares, ring(8), Independent(), steps=20, oracle=Full(), output=None)
    assert result.summary["bytes_sent_per_node"] == 0
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
