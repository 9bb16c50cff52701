"""What is measured of models and gradients, against the same by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms import Algorithm, Sample
from gossip.drivers.moment import Look
from gossip.execution.measure import Measure
from gossip.network import connect
from gossip.processes.communicator import Communicator
from gossip.workloads import LeastSquares
from topologies import ring

N, D = 6, 4


class Anchored(Algorithm):
    """Its last node has no data."""

    auxiliary = 1  # type: ignore[assignment]


class Served(Algorithm):
    """Its last node is a server."""

    servers = 1  # type: ignore[assignment]


@pytest.fixture
def workload() -> LeastSquares:
    random = np.random.default_rng(0)
    return LeastSquares(random.normal(size=(N, 7, D)), random.normal(size=(N, 7)))


@pytest.fixture
def model() -> torch.Tensor:
    return torch.randn(N, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def look(gradient: torch.Tensor, loss: torch.Tensor) -> Look:
    return Look(Sample(gradient, loss), {"gradients": torch.arange(N), "queries": torch.zeros(N)}, 1.5)


def test_by_hand(workload: LeastSquares, model: torch.Tensor) -> None:
    network, sample = connect(ring(N), Communicator()), workload.gradient(model, range(N))
    measure = Measure(workload, network, Communicator(), evaluated=2, algorithm=Algorithm())
    found = measure(model, look(sample.gradient, sample.loss), {"fired": torch.arange(N) * 2.0})
    average = model.mean(0)
    expected = {
        "train_loss": float(sample.loss.mean()),
        "gradient_norm": float(sample.gradient.mean(0).norm()),
        "consensus_distance": float((model - average).square().sum(1).mean().sqrt()),
        "test_loss": workload.evaluate(average)["test_loss"],
        "node_test_loss": np.mean([workload.evaluate(model[i])["test_loss"] for i in (0, N - 1)]),
        "gradients_per_node": (N - 1) / 2,
        "queries_per_node": 0,
        "bytes_sent_per_node": 0,
        "messages_sent_per_node": 0,
        "fired": N - 1,
    }
    assert expected.items() <= {name: pytest.approx(value) for name, value in found.items()}.items()


def test_the_gradient_norm_is_that_of_the_average_and_not_an_average_of_norms(workload: LeastSquares) -> None:
    gradient = torch.ones(N, D, dtype=torch.float64)
    gradient[::2] = -1
    measure = Measure(workload, connect(ring(N), Communicator()), Communicator(), evaluated=0, algorithm=Algorithm())
    found = measure(torch.zeros(N, D, dtype=torch.float64), look(gradient, torch.zeros(N)), {})
    assert found["gradient_norm"] == 0
    assert found["consensus_distance"] == 0
    assert "node_test_loss" not in found


def test_nodes_without_data_count_in_models_alone(workload: LeastSquares, model: torch.Tensor) -> None:
    """An anchor is the last node: its losses and gradients are 0, and are no part of any mean."""
    with_data = N - 1
    sample = workload.gradient(model, range(N))
    gradient, loss = sample.gradient.clone(), sample.loss.clone()
    gradient[-1], loss[-1] = 0, 0
    network = connect(ring(N), Communicator())
    measure = Measure(workload, network, Communicator(), evaluated=N, algorithm=Anchored())
    found = measure(model, look(gradient, loss), {})
    assert found["train_loss"] == pytest.approx(float(loss[:with_data].mean()))
    assert found["gradient_norm"] == pytest.approx(float(gradient[:with_data].mean(0).norm()))
    own = [workload.evaluate(model[i])["test_loss"] for i in range(with_data)]
    assert found["node_test_loss"] == pytest.approx(np.mean(own))
    assert found["test_loss"] == pytest.approx(workload.evaluate(model.mean(0))["test_loss"])


def test_a_server_counts_in_traffic_alone(workload: LeastSquares, model: torch.Tensor) -> None:
    """Whatever stands in its row is no model."""
    network, clients = connect(ring(N), Communicator()), N - 1
    network.mix(model)
    sample = workload.gradient(model, range(N))
    gradient, loss = sample.gradient.clone(), sample.loss.clone()
    gradient[-1], loss[-1] = 0, 0
    measure = Measure(workload, network, Communicator(), evaluated=N, algorithm=Served())
    found = measure(model, look(gradient, loss), {"fired": torch.ones(N)})
    average = model[:clients].mean(0)
    assert found["train_loss"] == pytest.approx(float(loss[:clients].mean()))
    assert found["gradient_norm"] == pytest.approx(float(gradient[:clients].mean(0).norm()))
    assert found["test_loss"] == pytest.approx(workload.evaluate(average)["test_loss"])
    spread = (model[:clients] - average).square().sum(1).mean().sqrt()
    assert found["consensus_distance"] == pytest.approx(float(spread))
    assert found["fired"] == 1
    assert found["bytes_sent_per_node"] == 2 * D * 8


def test_measuring_is_not_traffic(workload: LeastSquares, model: torch.Tensor) -> None:
    network, sample = connect(ring(N), Communicator()), workload.gradient(model, range(N))
    measure = Measure(workload, network, Communicator(), evaluated=N, algorithm=Algorithm())
    network.mix(model)
    network.finish_step()
    sent = network.traffic.bytes.clone()
    for _ in range(2):
        found = measure(model, look(sample.gradient, sample.loss), {})
        network.finish_step()
    assert found["bytes_sent_per_node"] == sent.double().mean() == 2 * D * 8
    assert torch.equal(network.traffic.bytes, sent)
    assert network.round == 1
