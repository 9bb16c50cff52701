"""Networks fitted to measured times, where it is known what these come from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import yaml

from algorithms import ChocoSGD, LocalSGD, TopK
from gossip import SimulatedNetwork
from gossip.bench.network import fit
from gossip.bench.network.mirror import mirrored
from gossip.bench.network.validate import Stepping
from gossip.network.simulation.description import Level
from gossip.network.simulation.host import Host
from gossip.workloads import LogisticRegression
from topologies import ring


@pytest.mark.parametrize("n", [2, 3, 4, 8])
def test_links_are_found_from_the_times_that_averages_take_on_them(n: int) -> None:
    overhead = 0.0 if n == 2 else 5e-5  # between two ranks it counts as latency
    link = Level(2e-4, 12.5e6, overhead=overhead)
    wanted = fit.operations(n, (100, 1000, 10_000))
    seconds = {each.name: each.seconds(n, link) + 0.01 for each in wanted}
    found = fit.fit(wanted, seconds | {f"{each.name} alone": 0.01 for each in wanted}, n)
    assert found.latency == pytest.approx(link.latency, rel=1e-3)
    assert found.bandwidth == pytest.approx(link.bandwidth, rel=1e-3)
    assert found.overhead == pytest.approx(overhead, rel=1e-3, abs=1e-9)


def test_links_and_cores_are_found_from_times_on_them() -> None:
    """Ranks that share two cores, which take longer for some of the averages than the links do."""
    n, link, host = 8, Level(1e-4, 125e6, overhead=2e-5), Host(2, message=5e-5, byte=4e-9)
    wanted = fit.operations(n, (100, 10_000, 50_000))
    spent = {
        each.name: 2 * each.messages(n) * (host.message + 4 * each.dimension * host.byte) + 0.01 for each in wanted
    }
    alone = {f"{each.name} alone": 0.01 for each in wanted}
    handled = fit.handling(wanted, spent | alone, n, 2)
    assert (handled.cores, handled.message, handled.byte) == (2, pytest.approx(5e-5), pytest.approx(4e-9))
    seconds = {each.name: each.seconds(n, link, host) + 0.01 for each in wanted}
    without = fit.fit(wanted, seconds | alone, n)
    found = fit.fit_beside(wanted, seconds | alone, n, host)
    for each in wanted:
        assert each.seconds(n, found, host) == pytest.approx(seconds[each.name] - 0.01, rel=0.1)
    errors = [each.seconds(n, without) / (seconds[each.name] - 0.01) for each in wanted]
    assert max(errors) / min(errors) > 1.5  # no link alone is like this


def test_links_that_take_no_time() -> None:
    wanted = fit.operations(4, (100, 1000))
    nothing = {name: 0.01 for each in wanted for name in (each.name, f"{each.name} alone")}
    assert fit.fit(wanted, nothing, 4) == Level(0.0, fit.FASTEST)


def test_computing_times_have_the_mean_that_was_measured_and_that_of_the_slowest_rank() -> None:
    n, shift, mean = 4, 0.003, 0.001
    drawn = shift + np.random.default_rng(0).exponential(mean, (n, 50, 4000))
    compute = fit.computing(drawn)
    assert compute.seconds == pytest.approx(shift, rel=0.05)
    assert compute.seconds * compute.spread == pytest.approx(mean, rel=0.05)
    assert fit.computing(np.full((n, 2, 3), 0.5)).spread == 0


def test_the_file_that_is_saved_is_a_network(tmp_path) -> None:
    network = fit.fitted(Level(1e-5, 1e9, overhead=1e-6), fit.computing(np.full((2, 1, 1), 0.25)))
    file = tmp_path / "fitted.yaml"
    file.write_text(fit.text(network, ["of some machine"]))
    assert SimulatedNetwork.of(file) == network
    assert file.read_text().startswith("# of some machine\n") and yaml.safe_load(file.read_text())["sums"] == "tree"


def test_a_rank_that_hears_itself_averages_nothing_but_itself() -> None:
    network = mirrored(ring(5), rank=3)
    x = torch.randn(1, 7, dtype=torch.float64)
    assert list(network.nodes) == [3]
    torch.testing.assert_close(network.mix(x), x)
    torch.testing.assert_close(network.mean(x), x[0])
    message = TopK(k=2).compress(x, network.draw("test"))
    torch.testing.assert_close(network.mix(message), message.dense())
    assert network.gather(x).shape == (5, 7)


@pytest.mark.parametrize("algorithm", [LocalSGD(lr=0.1, period=2), ChocoSGD(gamma=0.3, compressor=TopK(k=2))])
def test_steps_alone_go_on_as_long_as_they_should(algorithm) -> None:
    workload = LogisticRegression(np.random.default_rng(0).normal(size=(4, 8, 5)), np.ones((4, 8), np.int64)).shard(
        4, seed=0
    )
    stepping = Stepping(algorithm, workload, 4, mirrored(ring(4), rank=1))
    for iterations in (1, 2):
        stepping(iterations)
    assert [len(each) for each in stepping.seconds] == [4, 8]
    assert all(0 < second < math.inf for each in stepping.seconds for second in each)
