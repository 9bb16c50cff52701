"""The network of one process against dense matrices."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from algorithms import Posted, TopK
from algorithms.star import from_server, to_server
from gossip.network import Communicator, RunNetwork, connect
from topologies import Schedule, Topology, erdos_renyi, exponential, one_peer_exponential, ring, star

TOPOLOGIES = (ring(1), ring(9), star(6), exponential(8), one_peer_exponential(8), erdos_renyi(12))


def network_of(topology: Schedule) -> RunNetwork:
    return connect(topology, Communicator(), seed=5)


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda topology: topology.name)
def test_mix_is_the_matrix_product_of_the_round(topology: Schedule) -> None:
    network = network_of(topology)
    x = torch.randn(topology.n, 5, dtype=torch.float64)
    for round in range(4):
        dense = topology[round].matrix.toarray()
        assert torch.allclose(network.mix(x), torch.from_numpy(dense @ x.numpy()), atol=1e-14)
        message = TopK(k=2).compress(x, network.draw("test"))
        assert torch.allclose(network.mix(message), torch.from_numpy(dense @ message.dense().numpy()), atol=1e-14)
        network.finish_step()


def test_mix_keeps_the_precision_of_the_stack() -> None:
    network = network_of(ring(4))
    for dtype in (torch.float32, torch.float64):
        assert network.mix(torch.ones(4, 3, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("d", [10, 70_000])
def test_a_stack_may_be_any_view(d: int) -> None:
    network = network_of(ring(4))
    wide = torch.randn(d + 3, 8)
    for view in (wide[:d, ::2].T, wide.T[::2, 3:], wide.T[1:5, :-3], wide[:d, :4].T.contiguous()):
        assert torch.equal(network.mix(view), network.mix(view.clone(memory_format=torch.contiguous_format)))
        assert torch.equal(network.mix(wide.T[:4], (0.5, wide.T[4:])), network.mix(wide.T[:4]) + 0.5 * wide.T[4:])


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda topology: topology.name)
def test_neighbors_hold_what_a_mix_sums(topology: Schedule) -> None:
    network = network_of(topology)
    x = torch.randn(topology.n, 5, dtype=torch.float64)
    matrix = topology[0].matrix.toarray()
    mixed = torch.stack(
        [
            matrix[node, node] * x[node] + (heard.weights[:, None] * heard.rows).sum(0)
            for node, heard in enumerate(network.neighbors(x))
        ]
    )
    assert torch.allclose(mixed, network.mix(x), atol=1e-14)
    for node, heard in enumerate(network.neighbors(x)):
        assert list(heard.nodes) == [j for j in range(topology.n) if j != node and matrix[node, j] != 0]
        assert torch.equal(heard.rows, x[list(heard.nodes)])


def test_mean() -> None:
    x = torch.randn(9, 5, dtype=torch.float64)
    assert torch.allclose(network_of(ring(9)).mean(x), x.mean(0), atol=1e-15)


def test_a_round_ends_with_the_step_that_communicated() -> None:
    network = network_of(one_peer_exponential(8))
    x = torch.randn(8, 2)
    network.finish_step()
    assert network.round == 0
    network.mix(x)
    network.mix(x)
    assert network.round == 0
    network.finish_step()
    assert network.round == 1
    with network.unrecorded():
        network.mean(x)
    network.finish_step()
    assert network.round == 1


def test_unrecorded_traffic_does_not_count_even_for_who_looked_before() -> None:
    network = network_of(ring(4))
    network.mix(torch.randn(4, 3))
    seen = network.traffic.bytes
    with network.unrecorded():
        network.mix(torch.randn(4, 3))
    assert seen.tolist() == network.traffic.bytes.tolist() == [24] * 4


def test_draws_depend_on_seed_purpose_node_and_round_only() -> None:
    def draw(seed: int, purpose: str, row: int, round: int) -> float:
        network = connect(ring(4), Communicator(), seed)
        network.round = round
        return float(network.draw(purpose).generator(row).random())

    reference = draw(1, "a", 2, 3)
    assert reference == draw(1, "a", 2, 3)
    others = {draw(0, "a", 2, 3), draw(1, "b", 2, 3), draw(1, "a", 1, 3), draw(1, "a", 2, 4)}
    assert len(others | {reference}) == 5


def test_many_distinct_rounds_do_not_fill_memory() -> None:
    class Endless(Schedule):
        def __getitem__(self, t: int) -> Topology:
            return Topology.from_matrix(np.eye(4), connected=False)

    network = network_of(Endless([ring(4)]))
    for _ in range(100):
        network.mix(torch.ones(4, 1))
        network.finish_step()
    assert network._plan_of.cache_info().currsize <= 64


def test_a_posted_average_is_counted_once_and_left_alone_by_what_is_not_recorded() -> None:
    network, alone = network_of(ring(9)), network_of(ring(9))
    x = torch.randn(9, 5)
    posted = network.post_mean(x)
    assert network.exposed(x)
    network.finish_step()
    with network.unrecorded():
        assert torch.equal(network.mean(posted), alone.mean(x))
    assert network.exposed(x)
    assert torch.equal(network.mean(posted), alone.mean(x))
    network.finish_step()
    assert not network.exposed(x)
    assert network.round == 1
    assert network.traffic.bytes.sum() == 2 * 8 * 5 * 4


def test_a_server_hears_those_that_take_part_and_answers_them() -> None:
    network = network_of(ring(6))
    x = torch.randn(6, 5)
    clients = [4, 0, 3]
    up, down = to_server(6, 5, clients), from_server(6, 5, clients)
    heard = network.neighbors(x, over=up)
    assert [each.nodes for each in heard] == [(), (), (), (), (), (0, 3, 4)]
    assert torch.equal(heard[5].rows, x[[0, 3, 4]])
    summed = network.mix(x, over=up)
    assert torch.equal(summed[5], x[0] + x[3] + x[4])
    assert not summed[:5].any()
    assert network.traffic.messages.tolist() == [2, 0, 0, 2, 2, 0]
    told = network.mix(summed, over=down)
    assert torch.equal(told[[0, 3, 4]], summed[[5, 5, 5]])
    assert not told[[1, 2, 5]].any()
    assert network.traffic.messages.tolist() == [2, 0, 0, 2, 2, 3]
    assert torch.equal(network.mix(x), network_of(ring(6)).mix(x))


def test_what_a_post_gives_stands_for_the_value() -> None:
    network, alone = network_of(ring(6)), network_of(ring(6))
    x, y = torch.randn(6, 5), torch.randn(6, 4)
    message = TopK(k=2).compress(x, network.draw("test"))
    posted = network.post(x), network.post(message)
    assert posted[0].value is x
    assert torch.equal(network.mix(posted[0], (2.0, x)), alone.mix(x, (2.0, x)))
    for one, other in zip(network.neighbors(posted[1]), alone.neighbors(message), strict=True):
        assert torch.equal(one.rows, other.rows)
    average = network.post_mean(y)
    assert torch.equal(network.mean(average), alone.mean(y))
    for value in (posted[0], Posted(x), copy.deepcopy(posted[0])):  # not under way: begun where it is completed
        assert torch.equal(network.mix(value), alone.mix(x))
    assert network.traffic.bytes.tolist() == alone.traffic.bytes.tolist()


def test_everyone_has_what_is_gathered() -> None:
    network = network_of(ring(6))
    x = torch.randn(6, 5)
    assert torch.equal(network.gather(x), x)
    assert torch.equal(network.rows(x, [4, 1]), x[[4, 1]])
    message = TopK(k=2).compress(x, network.draw("test"))
    assert torch.equal(network.sum(message), network_of(ring(6)).sum(message.dense()))


def test_what_was_posted_is_completed_in_the_order_of_posting() -> None:
    network, x = network_of(ring(4)), torch.randn(4, 3)
    first, second = network.post(x), network.post(2 * x)
    with pytest.raises(ValueError, match="in the order of posting"):
        network.mix(second)
    assert network.posted == ([first, second], [])
    network.mix(first)
    network.mix(second)


def test_what_is_not_recorded_leaves_posted_exchanges_to_the_method() -> None:
    network, x = network_of(ring(4)), torch.randn(4, 3)
    posted = network.post(x)
    with network.unrecorded():
        assert torch.equal(network.mix(posted), network_of(ring(4)).mix(x))
    assert network.posted == ([posted], [])
    network.complete()
    assert network.posted == ([], [])


def test_a_closed_network_says_so() -> None:
    for end in ("close", "abandon"):
        network, x = network_of(ring(4)), torch.randn(4, 3)
        average = network.post_mean(x)
        getattr(network, end)()
        network.close()  # does nothing more
        for use in (network.mix, network.neighbors, network.mean, network.post, network.gather):
            with pytest.raises(RuntimeError, match="this network is closed"):
                use(x)
        assert network.traffic.messages.sum() == 6
        assert torch.equal(network.all_rows(x), x)
        assert average.value is x


def test_an_exchange_over_other_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="5 nodes was asked of a network of 4"):
        network_of(ring(4)).mix(torch.ones(4, 1), over=ring(5))


def test_sums_are_told_to_whoever_looks() -> None:
    told: list[tuple[str, str]] = []

    class Told:
        def span(self, name: str, category: str, lane: int = 0) -> nullcontext[None]:
            told.append((name, category))
            return nullcontext()

    network = connect(ring(4), Communicator(), spans=Told())
    x = torch.randn(4, 3)
    network.mix(x)
    network.neighbors(TopK(k=1).compress(x, network.draw("test")))
    assert told == [("sum of rows", "compute"), ("decode messages", "compress")]
