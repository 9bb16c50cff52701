"""CLARS with the mean over all samples of the norms of their gradients, as in the paper."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import gossip
from algorithms import Clars, Clipped, DecentralizedSGD, Full, Lars, LocalSGD, Minibatch, OracleState, Sample
from algorithms.oracles import minibatch
from gossip.errors import UsageError
from gossip.workloads import Digits, LeastSquares
from gossip.workloads.neural.supervised import Supervised
from tests.algorithms.helpers import network_of
from topologies import complete, ring

N, BATCH, SEED = 3, 4, 5
RATE = 0.5


def supervised() -> Supervised:
    """A perceptron on random data, 8 examples a node."""
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    inputs, targets = torch.randn(24, 5, generator=random), torch.randint(3, (24,), generator=random)
    shards = [np.arange(8 * i, 8 * (i + 1)) for i in range(N)]
    held_out = {"test_inputs": inputs, "test_targets": targets}
    return Supervised(
        model, nn.functional.cross_entropy, inputs, targets, **held_out, shards=shards, classification=True
    )


def run(algorithm: DecentralizedSGD | LocalSGD, oracle: Minibatch, steps: int) -> np.ndarray:
    return gossip.run(
        supervised(), complete(N), algorithm, oracle=oracle, steps=steps, seed=SEED, output=None
    ).model.numpy()


def test_against_the_equations_with_gradients_of_single_samples_by_autograd() -> None:
    workload, oracle, wd, trust, m = supervised(), Minibatch(BATCH, microbatch=1), 0.01, 0.1, 0.9
    steps = 10
    optimizer = Clars(trust, m, wd, limit=0.8, over="samples")
    got = run(LocalSGD(lr=RATE, period=1, optimizer=optimizer), oracle, steps)
    x = workload.initial().double()
    shapes = list(workload.layout.shapes.values())
    V = [[torch.zeros(shape, dtype=torch.float64) for shape in shapes] for _ in range(N)]
    for t in range(steps):
        each = []  # of all samples of all nodes
        for i in range(N):
            for j in oracle.examples(8, i, t, SEED):
                w = [p.double().requires_grad_() for p in workload.layout.unflatten(x).values()]
                place = 8 * i + int(j)
                hidden = torch.tanh(workload._inputs[place].double() @ w[0].T + w[1])
                loss = nn.functional.cross_entropy((hidden @ w[2].T + w[3])[None], workload._targets[place : place + 1])
                each.append(torch.autograd.grad(loss, w))
        w = list(workload.layout.unflatten(x).values())
        new = [torch.zeros_like(p) for p in w]
        for i in range(N):
            for k in range(4):
                g = sum(each[BATCH * i + b][k] for b in range(BATCH)) / BATCH
                scale = 1.0
                if w[k].ndim == 2:
                    average = sum(float(sample[k].norm()) for sample in each) / (N * BATCH)
                    scale = min(0.8, trust * float(w[k].norm()) / average)
                V[i][k] = m * V[i][k] + g + wd * w[k]
                new[k] += (w[k] - RATE * scale * V[i][k]) / N
        x = torch.cat([p.reshape(-1) for p in new])
    assert np.abs(got - x.numpy()).max() < 1e-5  # the workload computes in single precision


def test_a_batch_in_one_part_on_each_node_is_clars_over_nodes() -> None:
    whole = run(DecentralizedSGD(optimizer=Clars()), Minibatch(BATCH), 5)
    parts = run(DecentralizedSGD(optimizer=Clars(over="samples")), Minibatch(BATCH, microbatch=BATCH), 5)
    np.testing.assert_array_equal(whole, parts)


def moves(optimizer: Clars | Lars | Clipped, x: torch.Tensor, samples: torch.Tensor) -> np.ndarray:
    """(1, d): the update of one node with these samples' gradients (B, d)."""
    memory = optimizer.start(x)  # type: ignore[var-annotated]
    norms = samples.norm(dim=1).mean()[None, None]
    sample = Sample(samples.mean(dim=0, keepdim=True), torch.zeros(1, dtype=x.dtype), norms)
    optimizer.observe(x, memory, sample, network_of(complete(1)))
    c, y = optimizer.update(x, memory, sample.gradient, 0.1)
    return c * y.numpy()


def test_equal_samples_make_lars_of_it_and_others_less() -> None:
    random = torch.Generator().manual_seed(0)
    x, samples = (torch.randn(rows, 6, generator=random, dtype=torch.float64) for rows in (1, 8))
    clars, lars = Clars(trust=0.01, over="samples"), Lars(trust=0.01)
    equal = samples[:1].expand(8, 6)
    np.testing.assert_allclose(moves(clars, x, equal), moves(lars, x, equal), rtol=1e-13)
    ratio = float(samples.mean(dim=0).norm() / samples.norm(dim=1).mean())
    assert 0 < ratio < 1
    np.testing.assert_allclose(moves(clars, x, samples), ratio * moves(lars, x, samples), rtol=1e-13)
    np.testing.assert_allclose(moves(Clipped(1e9, clars), x, samples), moves(clars, x, samples), rtol=1e-13)
    opposite = torch.cat([samples[:1], -samples[:1]])
    assert np.array_equal(moves(clars, x, opposite), np.zeros((1, 6)))


def test_parts_of_a_batch_have_its_mean() -> None:
    random = np.random.default_rng(0)
    workload = LeastSquares(random.normal(size=(2, 12, 5)), random.normal(size=(2, 12)))
    x = torch.tensor(random.normal(size=(2, 5)))
    oracles = [Minibatch(6), Minibatch(6, microbatch=2), Minibatch(6, microbatch=1)]
    samples = [each.sample(each.start(workload, x, (0, 1), 0), workload, x, (0, 1), 3, 0) for each in oracles]
    for sample in samples[1:]:
        np.testing.assert_allclose(sample.gradient, samples[0].gradient, rtol=1e-13)
        np.testing.assert_allclose(sample.loss, samples[0].loss, rtol=1e-13)
    assert samples[0].norms is None
    chosen = torch.from_numpy(np.stack([oracles[2].examples(12, i, 3, 0) for i in (0, 1)]))
    alone = [workload.gradient(x, (0, 1), chosen[:, j : j + 1].contiguous()).gradient.norm(dim=1) for j in range(6)]
    np.testing.assert_allclose(samples[2].norms[:, 0], torch.stack(alone).mean(dim=0), rtol=1e-13)
    assert (samples[1].norms < samples[2].norms).all()


def test_refusals() -> None:
    algorithm = DecentralizedSGD(optimizer=Clars(over="samples"))
    for oracle in (Full(), Minibatch(4)):
        with pytest.raises(
            UsageError, match=rf"norms of gradients .* which {type(oracle).__name__} as set up does not tell"
        ):
            gossip.run(Digits(), ring(4), algorithm, oracle=oracle, steps=1, output=None)
    with pytest.raises(UsageError, match="norms of gradients of single samples, which a loop does not give"):
        gossip.Optimizer([torch.zeros(3, requires_grad=True)], algorithm)
    with pytest.raises(ValueError, match="Clars: over = 'rows' "):
        Clars(over="rows")  # type: ignore[arg-type]
    for microbatch in (0, 3, 8):
        with pytest.raises(ValueError, match=f"Minibatch: microbatch = {microbatch} .* a divisor of batch = 4"):
            Minibatch(4, microbatch=microbatch)


@pytest.mark.parametrize("loss", [nn.functional.cross_entropy, nn.functional.mse_loss])
def test_perceptrons_know_the_norms_without_the_gradients(loss: Callable[..., torch.Tensor]) -> None:
    random = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4, bias=False), nn.ReLU(), nn.Linear(4, 3))
    inputs = torch.randn(24, 5, generator=random)
    labels = torch.randint(3, (24,), generator=random)
    targets = labels if loss is nn.functional.cross_entropy else torch.randn(24, 3, generator=random)
    shards = [np.arange(8 * i, 8 * (i + 1)) for i in range(N)]
    held_out = {"test_inputs": inputs, "test_targets": targets}
    classification = loss is nn.functional.cross_entropy
    workload = Supervised(model, loss, inputs, targets, **held_out, shards=shards, classification=classification)
    x = torch.randn(N, workload.layout.d, generator=random)
    nodes, oracle = range(N), Minibatch(BATCH, microbatch=1)
    got = oracle.sample(oracle.start(workload, x, nodes, 0), workload, x, nodes, 3, 0)
    chosen = torch.from_numpy(np.stack([oracle.examples(8, i, 3, 0) for i in nodes]))
    expected = minibatch._in_parts(workload, x, nodes, chosen.split(1, dim=1))
    assert torch.equal(got.gradient, workload.gradient(x, nodes, chosen).gradient)
    assert got.norms is not None and got.norms.shape == (N, 5)
    np.testing.assert_allclose(got.norms, expected.norms, rtol=1e-5)
    for node in nodes:
        alone = oracle.sample(OracleState.start(1), workload, x[node : node + 1], [node], 3, 0)
        assert alone.norms is not None and torch.equal(alone.norms[0], got.norms[node])
