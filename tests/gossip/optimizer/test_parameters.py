"""The parameters beside the optimizer: their storages, their memory format, what changes them between steps."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gossip
from algorithms import D2, Algorithm, DecentralizedSGD, ExactDiffusion, PushSumSGD
from tests.gossip.optimizer.helpers import adamw, loss_of, model, train, vector

ORDERS = ["adapt-then-combine", "combine-then-adapt", "consensus"]


def size_of(value: object) -> int:
    file = io.BytesIO()
    torch.save(value, file)
    return len(file.getvalue())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("local", [None, lambda params: torch.optim.SGD(params, lr=0.1)])
def test_every_parameter_has_a_storage_of_its_own(dtype: torch.dtype, local: Any) -> None:
    net = nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 2)).to(dtype)
    net.register_parameter("empty", nn.Parameter(torch.zeros(0, 2, dtype=dtype)))
    size = size_of(net[1].state_dict()), len(pickle.dumps(net[1].bias))
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1), local=local)

    def check() -> None:
        for p in net.parameters():
            assert p.untyped_storage().nbytes() == p.nbytes
            assert p.storage_offset() == 0
        assert len({p.untyped_storage().data_ptr() for p in net.parameters() if p.numel()}) == 4
        assert (size_of(net[1].state_dict()), len(pickle.dumps(net[1].bias))) == size

    check()
    for _ in range(2):
        optimizer.zero_grad()
        net(torch.ones(3, 40, dtype=dtype)).square().mean().backward()
        assert all(p.grad is None or p.grad.untyped_storage().nbytes() == p.nbytes for p in net.parameters())
        optimizer.step()
        check()
    with optimizer.average():
        check()
    duplicate = copy.deepcopy(net)
    train_of = vector(net)
    with torch.no_grad():
        duplicate[0].weight.zero_()
    assert torch.equal(vector(net), train_of)


def test_what_is_kept_of_a_step_outlives_it() -> None:
    """References to the values of a step are those of this step, even when the optimizer is gone."""
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1))
    train(net, optimizer, range(1))
    kept, values = net.state_dict(), vector(net)
    train(net, optimizer, range(1, 4))
    assert not torch.equal(vector(net), values)
    assert torch.equal(torch.cat([each.reshape(-1) for each in kept.values()]), values)
    last = vector(net)
    del optimizer
    gc.collect()
    torch.empty(10_000).fill_(7.0)
    assert torch.equal(vector(net), last)


def test_channels_last_is_kept() -> None:
    def made() -> nn.Sequential:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 2), nn.Flatten())
        return net.to(memory_format=torch.channels_last)

    images = torch.randn(5, 3, 6, 6).to(memory_format=torch.channels_last)
    strides = [p.stride() for p in made().parameters()]
    nets = []
    for wrapped in (True, False):
        net = made()
        optimizer: torch.optim.Optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        if wrapped:
            optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1))
        for _ in range(3):
            optimizer.zero_grad()
            net(images).square().mean().backward()
            optimizer.step()
            assert [p.stride() for p in net.parameters()] == strides
            assert [p.grad.stride() for p in net.parameters() if p.grad is not None] == strides
        nets.append(net)
    torch.testing.assert_close(vector(nets[0]), vector(nets[1]))


CHANGES: dict[str, Callable[[nn.Sequential, int], object]] = {
    "load_state_dict": lambda net, step: net.load_state_dict(model(step).state_dict()),
    "clamp": lambda net, step: [p.clamp_(-0.2, 0.2) for p in net.parameters()],
    "clamp of data": lambda net, step: [p.data.clamp_(-0.2, 0.2) for p in net.parameters()],
    "copy into data": lambda net, step: [p.data.copy_(0.9 * p) for p in net.parameters()],
    "other data": lambda net, step: [setattr(p, "data", p.data * 0.9) for p in net.parameters()],
    "one number": lambda net, step: net[2].bias.data[1].fill_(0.25),
    "vector_to_parameters": lambda net, step: nn.utils.vector_to_parameters(0.9 * vector(net), net.parameters()),
    "foreach": lambda net, step: torch._foreach_mul_([*net.parameters()], 0.9),
    "reset": lambda net, step: (torch.manual_seed(step), net[0].reset_parameters()),
    "numpy": lambda net, step: net[0].weight.detach().numpy().__imul__(0.5),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("change", CHANGES)
def test_changes_between_steps(change: str, order: Any) -> None:
    """A node alone does what torch does, in every order, before the first step too."""
    nets = model(), model()
    optimizers = (
        gossip.Optimizer(nets[0].parameters(), DecentralizedSGD(lr=0.1, momentum=0.5, order=order)),
        torch.optim.SGD(nets[1].parameters(), lr=0.1, momentum=0.5),
    )
    for net, optimizer in zip(nets, optimizers, strict=True):
        for step in range(4):
            with torch.no_grad():
                CHANGES[change](net, step)
            train(net, optimizer, range(step, step + 1))
    torch.testing.assert_close(vector(nets[0]), vector(nets[1]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_sharpness_aware_steps(order: Any) -> None:
    """Up along the gradient, a gradient there, back, and a step along that: SAM, as its users write it."""
    nets = model(), model()
    optimizers = (
        gossip.Optimizer(nets[0].parameters(), DecentralizedSGD(lr=0.1, order=order)),
        torch.optim.SGD(nets[1].parameters(), lr=0.1),
    )
    for net, optimizer in zip(nets, optimizers, strict=True):
        for step in range(4):
            optimizer.zero_grad()
            loss_of(net, step).backward()
            moves = [0.05 * p.grad.clone() for p in net.parameters() if p.grad is not None]
            with torch.no_grad():
                for p, move in zip(net.parameters(), moves, strict=True):
                    p.add_(move)
            optimizer.zero_grad()
            loss_of(net, step).backward()
            with torch.no_grad():
                for p, move in zip(net.parameters(), moves, strict=True):
                    p.sub_(move)
            optimizer.step()
    torch.testing.assert_close(vector(nets[0]), vector(nets[1]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_an_average_that_takes_the_place_of_the_model_and_gives_it_back(order: Any) -> None:
    net, plain = model(), model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, order=order))
    reference = gossip.Optimizer(plain.parameters(), DecentralizedSGD(lr=0.1, order=order))
    ema = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    for step in range(4):
        train(net, optimizer, range(step, step + 1))
        train(plain, reference, range(step, step + 1))
        ema.update_parameters(net)
        mine = copy.deepcopy(net.state_dict())
        net.load_state_dict(ema.module.state_dict())
        net.load_state_dict(mine)
    assert torch.equal(vector(net), vector(plain))
    assert not torch.equal(vector(ema.module), vector(net))


def test_an_embedding_that_its_forward_pass_renormalizes() -> None:
    tables = [nn.Embedding(6, 3, max_norm=0.5) for _ in range(2)]
    tables[1].load_state_dict(tables[0].state_dict())
    optimizers = (
        gossip.Optimizer(tables[0].parameters(), DecentralizedSGD(lr=0.5)),
        torch.optim.SGD(tables[1].parameters(), lr=0.5),
    )
    for table, optimizer in zip(tables, optimizers, strict=True):
        for step in range(4):
            optimizer.zero_grad()
            (table(torch.tensor([step, step + 1])) - 1).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(tables[0].weight, tables[1].weight)


@pytest.mark.parametrize("algorithm", [ExactDiffusion(lr=0.1), D2(lr=0.1), PushSumSGD(lr=0.1)], ids=str)
def test_methods_that_do_not_follow_a_change_say_so(algorithm: Algorithm) -> None:
    """Once; not where the change is a model that is loaded before the first step, or with a state."""
    net, other = model(), model(1)
    optimizer = gossip.Optimizer(net.parameters(), algorithm)
    net.load_state_dict(other.state_dict())
    reference = gossip.Optimizer(other.parameters(), algorithm)
    train(net, optimizer, range(3))
    train(other, reference, range(3))
    assert torch.equal(vector(net), vector(other))  # it has started from what was loaded

    saved = optimizer.state_dict(), copy.deepcopy(net.state_dict())
    train(net, optimizer, range(3, 5))
    optimizer.load_state_dict(saved[0])
    net.load_state_dict(saved[1])
    train(net, optimizer, range(3, 5))

    net.load_state_dict(saved[1])
    with pytest.warns(UserWarning, match=f"{type(algorithm).__name__} keeps more of them than they show"):
        train(net, optimizer, range(5, 6))
    net.load_state_dict(saved[1])
    train(net, optimizer, range(6, 7))


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, pickle.dumps, lambda each: torch.save(each, io.BytesIO())],
    ids=["copy", "deepcopy", "pickle", "save"],
)
def test_optimizers_are_not_copied(duplicate: Callable[[Any], object]) -> None:
    optimizer = gossip.Optimizer(model().parameters(), DecentralizedSGD())
    with pytest.raises(TypeError, match=r"cannot be copied or pickled.*save its state_dict") as raised:
        duplicate(optimizer)
    assert "\n" not in str(raised.value)


def test_optimizers_that_are_gone_leave_nothing_with_the_parameters() -> None:
    net = model()
    gone = []
    for close in (True, False) * 5:
        optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1))
        train(net, optimizer, range(2))
        if close:
            optimizer.close()
        gone.append(weakref.ref(optimizer))
        del optimizer
    gc.collect()
    assert not any(each() for each in gone)
    assert not any(p._post_accumulate_grad_hooks for p in net.parameters())
    other = model()
    for _ in range(10):
        train(other, torch.optim.SGD(other.parameters(), lr=0.1), range(2))
    torch.testing.assert_close(vector(net), vector(other), rtol=1e-5, atol=1e-6)


def test_several_optimizers_of_parts_of_a_model_and_of_the_same_part() -> None:
    net, other = model(), model()
    ours = [gossip.Optimizer(each, DecentralizedSGD(lr=0.1)) for each in (net[0].parameters(), net.parameters())]
    theirs = [torch.optim.SGD(each, lr=0.1) for each in (other[0].parameters(), other.parameters())]
    for each, optimizers in ((net, ours), (other, theirs)):
        for step in range(3):
            for optimizer in optimizers:
                optimizer.zero_grad()
                loss: Tensor = loss_of(each, step)
                loss.backward()
                optimizer.step()
    torch.testing.assert_close(vector(net), vector(other), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("local", [None, adamw])
def test_hooks_are_called(local: Any) -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(), local=local)
    called: list[str] = []
    kinds = ["step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre"]
    for kind in kinds:
        register = getattr(optimizer, f"register_{kind}_hook")
        register(lambda *_, kind=kind: called.append(kind))
    optimizer.register_load_state_dict_post_hook(lambda _: called.append("load_state_dict_post"))
    train(net, optimizer, range(1))
    optimizer.load_state_dict(optimizer.state_dict())
    assert called == [*kinds, "load_state_dict_post"]


def test_models_are_saved_whole() -> None:
    net = model()
    train(net, gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1)), range(2))
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    assert torch.equal(vector(torch.load(file, weights_only=False)), vector(net))
    assert torch.equal(vector(pickle.loads(pickle.dumps(net))), vector(net))


@pytest.mark.parametrize("order", ORDERS)
def test_the_average_is_that_of_changed_parameters(order: Any) -> None:
    net = model()
    optimizer = gossip.Optimizer(net.parameters(), DecentralizedSGD(lr=0.1, order=order, period=2))
    train(net, optimizer, range(3))
    net.load_state_dict(model(5).state_dict())
    for _ in range(2):
        with optimizer.average():
            assert torch.equal(vector(net), vector(model(5)))
        assert torch.equal(vector(net), vector(model(5)))
