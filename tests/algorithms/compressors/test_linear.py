"""Linear operators: the average of projections says what the average of messages does."""

from __future__ import annotations

import pytest
import torch

from algorithms import Identity, Layout, LinearCompressor, PermK, PowerSGD, RandomBlock, RandomK
from algorithms.checks import NonFiniteError
from algorithms.randomness import Draw
from gossip.network import Communicator, connect
from tests.algorithms.helpers import network_of
from topologies import ring

N, D = 6, 60
LAYOUT = Layout({"matrix": (10, 5), "bias": (10,)})
DRAW = Draw(seed=1, purpose="compression", nodes=range(N), round=4)
SPARSE: list[LinearCompressor] = [
    Identity(),
    RandomK(k=7, common=True),
    RandomK(fraction=0.3, unbiased=True, common=True),
    RandomBlock(ratio=4, blocks=13),
    PermK(nodes=N),
    PermK(nodes=N * D),
]
LINEAR = [*SPARSE, PowerSGD(rank=2).for_layout(LAYOUT), PowerSGD(rank=1)]


class OneProcess:
    """All nodes are here; their rows are added one after another, whatever their length."""

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(value[0])
        for row in value:
            total += row
        return total / len(value)


def stack(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("compressor", SPARSE, ids=str)
def test_a_projection_says_what_the_message_does(compressor: LinearCompressor, dtype: torch.dtype) -> None:
    x = stack(dtype)
    found = compressor.reconstruct(compressor.project(x, DRAW), DRAW, d=D)
    assert torch.equal(found, compressor.compress(x, DRAW).dense())


@pytest.mark.parametrize("compressor", LINEAR, ids=str)
def test_the_average_of_projections_is_that_of_reconstructions(compressor: LinearCompressor) -> None:
    x = stack()
    projections = compressor.project(x, DRAW)
    assert projections.shape == (N, projections.shape[1])
    average = compressor.reconstruct(OneProcess().mean(projections), DRAW, d=D)
    averaged = OneProcess().mean(compressor.reconstruct(projections, DRAW, d=D))
    if isinstance(compressor, PowerSGD):
        assert torch.allclose(average, averaged, rtol=1e-12, atol=1e-14)
    else:
        assert torch.equal(average, averaged)


@pytest.mark.parametrize("compressor", LINEAR, ids=str)
def test_projections_are_linear(compressor: LinearCompressor) -> None:
    x, y = stack(), stack().flip(0, 1)
    together = compressor.project(2 * x - 3 * y, DRAW)
    assert torch.allclose(together, 2 * compressor.project(x, DRAW) - 3 * compressor.project(y, DRAW), atol=1e-12)


@pytest.mark.parametrize("compressor", SPARSE, ids=str)
def test_the_mean_over_a_network_is_that_of_the_messages(compressor: LinearCompressor) -> None:
    x, network = stack(), connect(ring(N), Communicator(), seed=1)
    found = compressor.mean(x, network, DRAW)
    assert torch.equal(found, network.mean(compressor.compress(x, DRAW).dense()))


def test_less_is_carried() -> None:
    def carried(compressor: LinearCompressor) -> torch.Tensor:
        network = network_of(ring(N))
        compressor.mean(stack(), network, DRAW)
        return network.traffic.bytes

    assert torch.equal(60 * carried(RandomK(k=1, common=True)), carried(Identity()))
    assert torch.equal(6 * carried(RandomBlock(ratio=6, blocks=60)), carried(Identity()))


def test_random_k_draws_in_common_where_told() -> None:
    x = stack()
    for common, counts in ((True, 1), (False, N)):
        message = RandomK(k=9, common=common).compress(x, DRAW)
        supports = {tuple(row.nonzero().flatten().tolist()) for row in message.dense()}
        assert len(supports) == counts
        assert torch.equal(message.unpack(torch.cat(message.packed).numpy()), message.dense())
    assert RandomK(k=9).compress(x, DRAW).nbytes.tolist() == RandomK(k=9, common=True).compress(x, DRAW).nbytes.tolist()


def test_what_is_not_linear_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^RandomK: with common = False each node keeps other entries"):
        RandomK(k=1).mean(stack(), OneProcess(), DRAW)
    with pytest.raises(ValueError, match=r"^PermK: nodes = 3 is not allowed for node 3"):
        PermK(nodes=3).mean(stack(), OneProcess(), DRAW)
    for each in LINEAR:
        with pytest.raises(NonFiniteError, match=f"^{type(each).__name__}: .*NaN or infinity"):
            each.mean(stack() * torch.inf, OneProcess(), DRAW)
