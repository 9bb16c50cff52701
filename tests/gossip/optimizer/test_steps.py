"""`gossip.Optimizer` in a single process: the same steps as torch's, whatever is done to parameters and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor, nn

import gossip
from algorithms import (
    Accordion,
    Algorithm,
    ChocoSGD,
    Cosine,
    DecentralizedAdamW,
    DecentralizedSGD,
    ErrorFeedbackSGD,
    Identity,
    NonFiniteError,
    PerTensor,
    Switched,
    TopK,
)
from tests.gossip.optimizer.helpers import (
    ALGORITHMS,
    Recording,
    adamw,
    batch,
    loss_of,
    model,
    same_as_torch,
    train,
    vector,
)
from topologies import one_peer_exponential, ring


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_a_single_node_is_sgd(algorithm: Algorithm) -> None:
    same_as_torch(
        lambda net: gossip.Optimizer(net.parameters(), algorithm),
        lambda net: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
    )


def test_compression_tensor_by_tensor() -> None:
    net = model()
    optimizer = gossip.Optimizer(
        net.parameters(), ChocoSGD(lr=0.1, gamma=0.3, compressor=PerTensor(TopK(fraction=0.25)))
    )
    train(net, optimizer, range(1))
    sent = optimizer._state.replicas.of_round[0].public[0]  # which was 0
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


def one_after_the_other(tensors: Sequence[Tensor]) -> bool:
    """In memory, each with a storage of its own."""
    ends = [each.data_ptr() + each.nbytes for each in tensors]
    own = all(each.untyped_storage().nbytes() == each.nbytes for each in tensors)
    return own and ends[:-1] == [each.data_ptr() for each in tensors[1:]]


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
        assert one_after_the_other([grad for grad in grads if grad is not None])
        optimizer.step()
    train_on_whole = torch.optim.SGD(other.parameters(), lr=0.1)
    for _ in range(2):
        train_on_whole.zero_grad()
        loss_of(other, 1).backward()
        train_on_whole.step()
    torch.testing.assert_close(vector(net), vector(other))
    assert one_after_the_other([*net.parameters()])


@pytest.mark.parametrize("set_to_none", [True, False])
def test_parameters_without_a_gradient(set_to_none: bool) -> None:
    """One that is unused now stays, as in torch, but not where its gradient is 0; a frozen one is left alone."""
    net = model()
    net[0].bias.requires_grad_(False)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, momentum=0.5))
    train(net, optimizer, range(1))
    before = net[0].weight.detach().clone()
    after_one_step = before - net[0].weight.grad * 0.5 * 0.1  # type: ignore[operator]
    optimizer.zero_grad(set_to_none)
    net[2](torch.ones(1, 5)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(net[0].weight.detach(), before if set_to_none else after_one_step)
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
@pytest.mark.parametrize("order", ["adapt-then-combine", "combine-then-adapt", "consensus"])
def test_parameters_changed_between_steps(change: Callable[[nn.Module], object], order: Any) -> None:
    net, other = model(), model()
    optimizers = (
        gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, order=order)),
        torch.optim.SGD(other.parameters(), 0.1),
    )
    for each, optimizer in zip((net, other), optimizers, strict=True):
        for step in range(3):
            with torch.no_grad():
                change(each)
            train(each, optimizer, range(step, step + 1))
    torch.testing.assert_close(vector(net), vector(other))


def test_a_model_that_is_converted_afterwards() -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1))
    net.double()
    with pytest.raises(RuntimeError, match="another shape, type or device"):
        optimizer.step()


def test_a_single_node_with_decentralized_adamw_is_adamw() -> None:
    same_as_torch(
        lambda net: gossip.Optimizer(net.parameters(), DecentralizedAdamW(lr=0.02, weight_decay=0.1)),
        lambda net: torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=0.1),
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5),
    )


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


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("local", [None, adamw])
def test_a_gradient_that_has_diverged_is_refused_before_it_changes_anything(local: Any, bad: float) -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1), local=local)
    train(net, optimizer, range(2))
    before = vector(net)
    loss_of(net, 2).backward()
    net[2].bias.grad[1] = bad
    with pytest.raises(NonFiniteError, match="the gradient of step 3 has a NaN or an infinite number"):
        optimizer.step()
    assert torch.equal(vector(net), before)


def test_a_method_within_another_follows_a_scheduler() -> None:
    method = ErrorFeedbackSGD(lr=0.1, compressor=Switched(light=Identity(), strong=Identity()))
    found = []
    for algorithm in (method, Accordion(method)):
        net = model()
        optimizer = gossip.Optimizer(net.parameters(), algorithm)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2)
        for step in range(5):
            train(net, optimizer, range(step, step + 1))
            scheduler.step()
        found.append(vector(net))
    assert torch.equal(*found)


def test_of_a_large_gradient_a_sample_is_looked_at() -> None:
    net = torch.nn.Linear(300, 300)
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1))
    (net(torch.ones(2, 300)).sum() * torch.nan).backward()
    with pytest.raises(NonFiniteError):
        optimizer.step()


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
