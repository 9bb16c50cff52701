"""`gossip.Optimizer` in a single process; tests/mpi/test_optimizer.py has several ranks."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor, nn

import gossip
from algorithms import (
    L1,
    QSGD,
    Algorithm,
    ChocoSGD,
    Contraction,
    Cosine,
    DecentralizedAdamW,
    DecentralizedSGD,
    ExactDiffusion,
    GradientTracking,
    Nids,
    NuclearNorm,
    PerTensor,
    QTopK,
    Sample,
    SquarmSGD,
    State,
    TopK,
)
from algorithms.network import Network
from topologies import one_peer_exponential, ring


def model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def batch(seed: int, size: int = 6) -> Tensor:
    return torch.randn(size, 4, generator=torch.Generator().manual_seed(seed))


def loss_of(net: nn.Module, seed: int, size: int = 6) -> Tensor:
    loss: Tensor = net(batch(seed, size)).square().mean()
    return loss


def vector(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        loss_of(net, step).backward()
        optimizer.step()


def same_as_torch(
    make: Callable[[nn.Sequential], torch.optim.Optimizer],
    reference: Callable[[nn.Sequential], torch.optim.Optimizer],
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
) -> None:
    """A single node does what torch's optimizer does, to rounding."""
    ours, theirs = model(), model()
    for net, optimizer in ((ours, make(ours)), (theirs, reference(theirs))):
        schedule = scheduler(optimizer) if scheduler else None
        for step in range(8):
            train(net, optimizer, range(step, step + 1))
            if schedule:
                schedule.step()
    torch.testing.assert_close(vector(ours), vector(theirs), rtol=1e-5, atol=1e-6)
    assert not torch.equal(vector(ours), vector(model()))


ALGORITHMS: tuple[Algorithm, ...] = (
    DecentralizedSGD(lr=0.1, momentum=0.9),
    DecentralizedSGD(lr=0.1, momentum=0.9, order="combine-then-adapt", period=2),
    DecentralizedSGD(lr=0.1, momentum=0.9, order="consensus"),
    ChocoSGD(lr=0.1, gamma=0.3, momentum=0.9, compressor=TopK(k=3)),
    ChocoSGD(lr=0.1, gamma=0.3, momentum=0.9, compressor=TopK(k=3), order="overlapped"),
    ChocoSGD(lr=0.1, gamma=0.3, momentum=0.9, compressor=Contraction(QSGD()), order="overlapped"),
    ChocoSGD(lr=0.1, gamma=0.3, momentum=0.9, compressor=PerTensor(QTopK(fraction=0.5)), order="overlapped"),
)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_a_single_node_is_sgd(algorithm: Algorithm) -> None:
    same_as_torch(
        lambda net: gossip.Optimizer(net.parameters(), algorithm),
        lambda net: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
    )


def test_what_the_algorithm_chose_and_reports_and_a_state_with_it() -> None:
    def made(net: nn.Sequential) -> gossip.Optimizer:
        algorithm = SquarmSGD(lr=0.1, threshold=1e-3, period=2, gamma="auto", compressor=PerTensor(TopK(k=1)))
        return gossip.Optimizer(net.parameters(), algorithm)

    net, other = model(), model()
    optimizer = made(net)
    train(net, optimizer, range(5))
    assert optimizer.chosen["gamma"] == 1.0
    assert optimizer.report() == {"share_fired": 1.0}
    resumed = made(other)
    resumed.load_state_dict(optimizer.state_dict())
    other.load_state_dict(net.state_dict())
    for each, used in ((net, optimizer), (other, resumed)):
        train(each, used, range(5, 9))
    assert torch.equal(vector(net), vector(other))
    assert resumed.report() == optimizer.report()


def test_compression_tensor_by_tensor() -> None:
    net = model()
    optimizer = gossip.Optimizer(
        net.parameters(), ChocoSGD(lr=0.1, gamma=0.3, compressor=PerTensor(TopK(fraction=0.25)))
    )
    train(net, optimizer, range(1))
    sent = optimizer._state.sent.dense()[0]
    kept = [int(part.count_nonzero()) for part in sent.split([p.numel() for p in net.parameters()])]
    assert kept == [max(1, p.numel() // 4) for p in net.parameters()]


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.1),
        lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: t / 4),  # a warm-up from 0
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8),
    ],
)
@pytest.mark.parametrize("groups", [False, True])
def test_torch_schedulers_and_groups(scheduler: Callable[[Any], Any], groups: bool) -> None:
    def params(net: nn.Sequential) -> Any:
        if not groups:
            return net.parameters()
        return [{"params": net[0].parameters(), "lr": 0.02}, {"params": net[2].parameters(), "lr": 0.3}]

    for algorithm in (ALGORITHMS[0], ALGORITHMS[4]):
        same_as_torch(
            lambda net, algorithm=algorithm: gossip.Optimizer(params(net), algorithm),  # type: ignore[misc]
            lambda net: torch.optim.SGD(params(net), lr=0.1, momentum=0.9),
            scheduler,
        )


def test_two_groups_by_hand() -> None:
    a, b = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor([3.0]))
    optimizer = gossip.Optimizer([{"params": [a]}, {"params": [b], "lr": 0.25}], DecentralizedSGD(lr=0.5))
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.25]
    for _ in range(2):  # the gradients are 2 and 4
        optimizer.zero_grad()
        (2 * a.sum() + 4 * b.sum()).backward()
        optimizer.step()
    assert torch.equal(a, torch.tensor([-1.0, 0.0]))
    assert torch.equal(b, torch.tensor([1.0]))
    assert a.grad is not None and a.grad.tolist() == [2, 2] and b.grad is not None and b.grad.tolist() == [4]


def test_a_group_of_learning_rate_0_stays() -> None:
    net = model()
    optimizer = gossip.Optimizer(
        [{"params": net[0].parameters(), "lr": 0}, {"params": net[2].parameters()}], DecentralizedSGD(lr=0.1)
    )
    train(net, optimizer, range(3))
    assert torch.equal(net[0].weight, model()[0].weight)
    assert not torch.equal(net[2].weight, model()[2].weight)


def test_a_schedule_of_the_algorithm_rules() -> None:
    cosine = Cosine(lr=0.2, steps=5)
    net, other = model(), model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=cosine))
    for step in range(5):
        assert optimizer.param_groups[0]["lr"] == cosine(step)
        train(net, optimizer, range(step, step + 1))
    by_hand = torch.optim.SGD(other.parameters(), lr=1)
    for step in range(5):
        by_hand.param_groups[0]["lr"] = cosine(step)
        train(other, by_hand, range(step, step + 1))
    torch.testing.assert_close(vector(net), vector(other))

    torch.optim.lr_scheduler.StepLR(optimizer, 3)
    with pytest.raises(ValueError, match=r"follows Cosine\(.*give DecentralizedSGD a number"):
        train(net, optimizer, range(1))


def test_gradients_lie_in_one_vector_and_accumulate() -> None:
    net, other = model(), model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1))
    for _ in range(2):
        optimizer.zero_grad()
        assert all(p.grad is None for p in net.parameters())
        for half in (batch(1)[:3], batch(1)[3:]):
            (net(half).square().mean() / 2).backward()
        grads = [p.grad for p in net.parameters()]
        assert all(grad is not None for grad in grads)
        assert len({grad.untyped_storage().data_ptr() for grad in grads if grad is not None}) == 1
        optimizer.step()
    train_on_whole = torch.optim.SGD(other.parameters(), lr=0.1)
    for _ in range(2):
        train_on_whole.zero_grad()
        loss_of(other, 1).backward()
        train_on_whole.step()
    torch.testing.assert_close(vector(net), vector(other))
    assert len({p.untyped_storage().data_ptr() for p in net.parameters()}) == 1


@pytest.mark.parametrize("set_to_none", [True, False])
def test_parameters_without_a_gradient(set_to_none: bool) -> None:
    """One that is unused now has momentum from before but no gradient; a frozen one is left alone."""
    net = model()
    net[0].bias.requires_grad_(False)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, momentum=0.5))
    train(net, optimizer, range(1))
    before = net[0].weight.detach().clone()
    after_one_step = before - net[0].weight.grad * 0.5 * 0.1  # type: ignore[operator]
    optimizer.zero_grad(set_to_none)
    net[2](torch.ones(1, 5)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(net[0].weight.detach(), after_one_step)
    assert torch.equal(net[0].bias, model()[0].bias)


def test_gradients_given_by_hand_and_sparse_ones() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    other = nn.Parameter(torch.zeros(2))
    start = table.weight.detach().clone()
    optimizer = gossip.Optimizer([*table.parameters(), other], DecentralizedSGD(lr=0.5))
    for _ in range(2):
        table(torch.tensor([1, 1, 3])).sum().backward()
    other.grad = torch.tensor([1.0, 2.0])
    optimizer.step()
    assert torch.equal(start - table.weight, 0.5 * torch.tensor([[0.0, 0.0], [4, 4], [0, 0], [2, 2]]))
    assert other.tolist() == [-0.5, -1.0]


def test_clipping_gradients_counts() -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=1.0))
    before = vector(net)
    loss_of(net, 0).backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1e-3)
    optimizer.step()
    assert 0.9e-3 < (vector(net) - before).norm() < 1.1e-3


@dataclass(frozen=True)
class Recording(DecentralizedSGD):
    """Keeps the gradient that it was given, the loss, and a sum that it updates in place."""

    def start(self, x: Tensor, network: Network) -> State:
        state = super().start(x, network)
        state.total = torch.zeros_like(x)
        return state

    def step(self, state: State, sample: Sample, network: Network) -> None:
        super().step(state, sample, network)
        state.gradient = sample.gradient
        state.total += sample.gradient
        state.loss = sample.loss


def test_closure_and_a_state_that_keeps_the_gradient() -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), Recording(lr=0.1))

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(net, 0)
        loss.backward()
        return loss

    expected = loss_of(net, 0)
    assert torch.equal(optimizer.step(closure), expected)
    state = optimizer._state
    assert torch.equal(state.loss, expected.detach()[None])
    kept = state.gradient.clone()
    loss_of(net, 1).backward()
    assert torch.equal(state.gradient, kept)
    assert optimizer.step() is None
    assert state.loss.isnan().all()


def test_a_graph_from_before_a_step_cannot_be_differentiated() -> None:
    """Otherwise its gradients would silently be those of a mixture of old and new parameters."""
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1))
    loss = loss_of(net, 0)
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize(
    "change",
    [
        lambda net: torch._foreach_mul_([*net.parameters()], 0.5),
        lambda net: net.load_state_dict({name: 0.5 * value for name, value in net.state_dict().items()}),
        lambda net: [setattr(p, "data", 0.5 * p.data) for p in net.parameters()],
    ],
)
def test_parameters_changed_between_steps(change: Callable[[nn.Module], object]) -> None:
    net, other = model(), model()
    optimizers = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1)), torch.optim.SGD(other.parameters(), 0.1)
    for each, optimizer in zip((net, other), optimizers, strict=True):
        for step in range(3):
            train(each, optimizer, range(step, step + 1))
            with torch.no_grad():
                change(each)
    torch.testing.assert_close(vector(net), vector(other))

    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, order="consensus"))
    with torch.no_grad():
        change(net)  # nothing is on its way yet
    train(net, optimizer, range(2))
    with torch.no_grad():
        change(net)
    with pytest.raises(RuntimeError, match="neighbours may have been reading them: DecentralizedSGD"):
        train(net, optimizer, range(1))


def test_a_model_that_is_converted_afterwards() -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1))
    net.double()
    with pytest.raises(RuntimeError, match="another shape, type or device"):
        optimizer.step()


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, ExactDiffusion(lr=0.1), Recording(lr=0.1)], ids=str)
@pytest.mark.parametrize("model_first", [True, False])
def test_saved_and_loaded_it_goes_on_with_the_same_bits(algorithm: Algorithm, model_first: bool) -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), algorithm, seed=3)
    train(net, optimizer, range(5))
    file = io.BytesIO()
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train(net, optimizer, range(5, 9))

    other = model(1)
    again = gossip.Optimizer(other.parameters(), algorithm, seed=3)
    train(other, again, range(2))  # what it did before does not matter
    file.seek(0)
    saved = torch.load(file)
    steps = [lambda: other.load_state_dict(saved["model"]), lambda: again.load_state_dict(saved["optimizer"])]
    for load in steps if model_first or again._shared else reversed(steps):
        load()
    assert again.network.round == saved["optimizer"]["gossip"]["round"]
    train(other, again, range(5, 9))
    assert torch.equal(vector(other), vector(net))
    assert again.network.round == optimizer.network.round
    assert vector(net).isfinite().all()


def test_a_state_dict_is_a_snapshot() -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), Recording(lr=0.1))
    train(net, optimizer, range(2))
    saved = optimizer.state_dict()
    total = saved["gossip"]["state"]["total"].clone()
    train(net, optimizer, range(2))
    assert torch.equal(saved["gossip"]["state"]["total"], total)
    optimizer.load_state_dict(saved)
    train(net, optimizer, range(2))
    assert torch.equal(saved["gossip"]["state"]["total"], total)
    assert not torch.equal(optimizer.state_dict()["gossip"]["state"]["total"], total)


def test_a_scheduled_learning_rate_is_loaded_too() -> None:
    for lr in (0.1, Cosine(lr=0.1, steps=10)):
        net = model()
        optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=lr))
        if lr == 0.1:
            optimizer.param_groups[0]["lr"] = 0.03
        train(net, optimizer, range(4))
        again = gossip.Optimizer(model().parameters(), DecentralizedSGD(lr=lr))
        again.load_state_dict(optimizer.state_dict())
        assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] != 0.1


def test_states_of_others_are_refused() -> None:
    optimizer = gossip.Optimizer(model().parameters(), DecentralizedSGD())
    with pytest.raises(ValueError, match="a state of ChocoSGD cannot be loaded by DecentralizedSGD"):
        optimizer.load_state_dict(gossip.Optimizer(model().parameters(), ChocoSGD()).state_dict())
    with pytest.raises(ValueError, match="size of optimizer's group"):
        optimizer.load_state_dict(gossip.Optimizer(model()[0].parameters(), DecentralizedSGD()).state_dict())


def adamw(params: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(params, lr=0.01, weight_decay=0.1)


def test_a_single_node_with_decentralized_adamw_is_adamw() -> None:
    same_as_torch(
        lambda net: gossip.Optimizer(net.parameters(), DecentralizedAdamW(lr=0.02, weight_decay=0.1)),
        lambda net: torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=0.1),
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5),
    )


@pytest.mark.parametrize(
    "algorithm", [GradientTracking(lr=0.1), DecentralizedAdamW(), Nids(lr=0.1, prox=L1())], ids=str
)
def test_stored_gradients_and_moments_are_saved(algorithm: Algorithm) -> None:
    net, other = model(), model(2)
    optimizer = gossip.Optimizer(net.parameters(), algorithm)
    train(net, optimizer, range(3))
    saved = optimizer.state_dict(), {name: value.clone() for name, value in net.state_dict().items()}
    train(net, optimizer, range(3, 6))
    again = gossip.Optimizer(other.parameters(), algorithm)
    again.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    train(other, again, range(3, 6))
    assert torch.equal(vector(other), vector(net))


@pytest.mark.parametrize("algorithm", ALGORITHMS[2:], ids=str)
def test_a_local_optimizer(algorithm: Algorithm) -> None:
    from dataclasses import replace

    plain = replace(algorithm, momentum=0.0)  # type: ignore[type-var]
    same_as_torch(
        lambda net: gossip.Optimizer(net.parameters(), plain, local=adamw),
        lambda net: adamw(net.parameters()),
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5),
    )


def test_groups_and_state_of_a_local_optimizer() -> None:
    def groups(net: nn.Sequential) -> Any:
        return [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters(), "weight_decay": 0.0}]

    same_as_torch(
        lambda net: gossip.Optimizer(groups(net), DecentralizedSGD(), local=adamw), lambda net: adamw(groups(net))
    )
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(), local=adamw)
    train(net, optimizer, range(3))
    saved = optimizer.state_dict(), {name: value.clone() for name, value in net.state_dict().items()}
    file = io.BytesIO()
    torch.save(saved, file)
    train(net, optimizer, range(3, 6))
    other = model(2)
    again = gossip.Optimizer(other.parameters(), DecentralizedSGD(), local=adamw)
    file.seek(0)
    state, weights = torch.load(file)
    again.load_state_dict(state)
    other.load_state_dict(weights)
    train(other, again, range(3, 6))
    assert torch.equal(vector(other), vector(net))
    again.param_groups[0]["lr"] = 0.0
    train(other, again, range(6, 8))
    torch.testing.assert_close(vector(other), vector(net), rtol=0, atol=1e-6)


@pytest.mark.parametrize("local", [None, adamw])
@pytest.mark.parametrize("unscale", [True, False])
def test_grad_scaler(local: Any, unscale: bool) -> None:
    """Scaled by a power of two and back, gradients are the same bits; infinite ones count as zero."""
    nets = model(), model()
    optimizers = [gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1), local=local) for net in nets]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(3):
        nets[0].zero_grad()
        scaler.scale(loss_of(nets[0], step)).backward()
        if unscale:
            scaler.unscale_(optimizers[0])
        scaler.step(optimizers[0])
        scaler.update()
        train(nets[1], optimizers[1], range(step, step + 1))
    assert torch.equal(vector(nets[0]), vector(nets[1]))

    before = vector(nets[0])
    nets[0].zero_grad()
    (scaler.scale(loss_of(nets[0], 0)) * float("inf")).backward()
    scaler.step(optimizers[0])
    scaler.update()
    assert torch.equal(vector(nets[0]), before)
    assert optimizers[0]._state.step == 4
    assert scaler.get_scale() == 512


def test_autocast_trains() -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1))
    first = loss_of(net, 0).item()
    for _ in range(20):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(net, 0)
        loss.backward()
        optimizer.step()
    assert loss.item() < first / 2


def test_average_of_an_algorithm_whose_model_is_not_where_gradients_are() -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, order="combine-then-adapt", period=2))
    train(net, optimizer, range(3))
    before = vector(net)
    with optimizer.average():
        assert torch.equal(vector(net)[None], optimizer.algorithm.model(optimizer._state))
        with pytest.raises(RuntimeError, match="leave `with"):
            optimizer.step()
        with torch.no_grad():
            net[0].weight.zero_()
    assert torch.equal(vector(net), before)


def test_topologies_and_types() -> None:
    for topology in ("ring", "one_peer_exponential", ring, ring(1), nx.empty_graph(1), one_peer_exponential(1)):
        optimizer = gossip.Optimizer(model().double().parameters(), DecentralizedSGD(), topology)
        assert (optimizer.n, optimizer.node) == (1, 0)
        assert optimizer.traffic.bytes.tolist() == [0]
        optimizer.close()


def test_after_close_another_optimizer_takes_over() -> None:
    net = model()
    for _ in range(2):
        optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, order="consensus"))
        train(net, optimizer, range(2))
        optimizer.close()
        optimizer.close()
    other = model()
    train(other, torch.optim.SGD(other.parameters(), lr=0.1), range(2))
    train(other, torch.optim.SGD(other.parameters(), lr=0.1), range(2))
    torch.testing.assert_close(vector(net), vector(other))


@dataclass(frozen=True)
class WithoutRate(Algorithm):
    """Has no learning rate."""


def rates(*values: float) -> list[dict[str, Any]]:
    """Parameter groups with these learning rates."""
    return [{"params": [nn.Parameter(torch.zeros(2))], "lr": value} for value in values]


FROZEN = nn.Parameter(torch.zeros(2), requires_grad=False)
MIXED = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1, dtype=torch.float64))]
COMPLEX = [nn.Parameter(torch.zeros(1, dtype=torch.complex64))]


@pytest.mark.parametrize(
    ("params", "algorithm", "options", "says"),
    [
        (None, DecentralizedSGD(), {"topology": "rings"}, "there is no topology 'rings'; there are ring, "),
        (None, DecentralizedSGD(), {"topology": ring(3)}, "ring has 3 nodes but there are 1 ranks"),
        (None, DecentralizedSGD(), {"topology": nx.cycle_graph(4)}, "custom has 4 nodes but there are 1 ranks"),
        (None, ExactDiffusion(), {"topology": one_peer_exponential(1)}, "needs a topology that is static"),
        (None, ChocoSGD(compressor=TopK(k=99)), {}, "k = 99 is not allowed"),
        (None, WithoutRate(), {}, "WithoutRate has no learning rate lr"),
        (None, DecentralizedSGD(lr=Cosine()), {"local": adamw}, "does not use its lr beside a local optimizer"),
        ([{"params": [*model().parameters()], "lr": 0.3}], DecentralizedSGD(lr=Cosine()), {}, "follows Cosine"),
        ([FROZEN], DecentralizedSGD(), {}, "none of the parameters requires a gradient"),
        ([], DecentralizedSGD(), {}, "empty parameter list"),
        (rates(0.1, 0.2), DecentralizedAdamW(), {}, "needs the same learning rate in all parameter groups; they have"),
        (rates(0.1, 0.2), Nids(prox=L1()), {}, "Nids as set up needs the same learning rate in all parameter groups"),
        (None, DecentralizedAdamW(), {"local": adamw}, "cannot take its directions from a local optimizer"),
        (None, DecentralizedSGD(prox=L1()), {"local": adamw}, "cannot take its directions from a local optimizer"),
        ([nn.Parameter(torch.zeros(3))], DecentralizedSGD(prox=NuclearNorm()), {}, "the model has no matrix"),
        (MIXED, DecentralizedSGD(), {}, "torch.float32 on cpu, torch.float64 on cpu"),
        (COMPLEX, DecentralizedSGD(), {}, "one floating-point type"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(
    params: Any, algorithm: Algorithm, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(gossip.errors.UsageError, match=says.replace("(", r"\(")) as raised:
        gossip.Optimizer(model().parameters() if params is None else params, algorithm, **options)
    assert "\n" not in str(raised.value)


def test_no_further_parameters() -> None:
    optimizer = gossip.Optimizer(model().parameters(), DecentralizedSGD())
    with pytest.raises(ValueError, match="takes no further parameters"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
