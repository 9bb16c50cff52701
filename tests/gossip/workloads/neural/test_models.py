"""Models of users: frozen weights, buffers that the training changes, exports; and what cannot be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

import gossip
from algorithms import DecentralizedSGD, FedAvg, Full, HasBuffers, Minibatch, Saga, ZerothOrder
from gossip.checkpoint.__main__ import main
from gossip.errors import UsageError
from gossip.workloads import Digits, Supervised, TorchWorkload
from tests.gossip.workloads.neural import zoo
from topologies import random_out, ring

ZOO = "tests.gossip.workloads.neural.zoo"
N = 4

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")


def workload(name: str, **options: Any) -> TorchWorkload:
    return TorchWorkload(**{"model": f"{ZOO}.{name}", "dataset": f"{ZOO}.Table"} | options)


def sharded(name: str, **options: Any) -> Supervised:
    return workload(name, **options).shard(N, seed=1)


def run(name: str, steps: int = 4, **options: Any) -> Any:
    of_workload = {key: options.pop(key) for key in ("buffers", "batch_norm") if key in options}
    defaults: dict[str, Any] = {"oracle": Minibatch(5), "steps": steps, "evaluate_every": 2, "output": None}
    return gossip.run(workload(name, **of_workload), ring(N), DecentralizedSGD(lr=0.1), **defaults | options)


@settings(deadline=None, max_examples=5)
@given(
    st.lists(st.tuples(st.permutations(range(N)), st.integers(1, N), st.integers(1, 3)), min_size=1, max_size=3),
    st.sampled_from(zoo.CHANGING),
)
def test_what_a_node_has_depends_on_its_own_passes_only(calls: list[tuple[list[int], int, int]], name: str) -> None:
    """However the nodes are put together, in whatever order and on however many threads."""
    together, alone = sharded(name), sharded(name)
    mine = together.buffers(range(N))
    own = [alone.buffers([node]) for node in range(N)]
    assert isinstance(together, HasBuffers) and mine
    x = together.initial() + 0.1 * torch.randn(N, together.layout.d, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    try:
        for order, size, number in calls:
            torch.set_num_threads(number)
            for start in range(0, N, size):
                nodes = order[start : start + size]
                sample = together.on(mine, range(N)).gradient(x[nodes], nodes)
                for row, node in enumerate(nodes):
                    expected = alone.on(own[node], [node]).gradient(x[[node]], [node])
                    assert torch.equal(sample.gradient[row], expected.gradient[0])
                    assert torch.equal(sample.loss[row], expected.loss[0])
    finally:
        torch.set_num_threads(before)
    for key, stack in mine.items():
        assert torch.equal(stack, torch.cat([each[key] for each in own]))
        assert not torch.equal(stack, together.buffers(range(N))[key])


@pytest.mark.parametrize("name", ["Ema", "Instance"])
def test_buffers_are_those_of_plain_torch(name: str) -> None:
    workload = sharded(name)
    model = getattr(zoo, name)()
    x, buffers = workload.initial(), workload.buffers([2])
    model.load_state_dict(dict(workload.layout.unflatten(x)), strict=False)
    inputs = workload._prepare(workload._inputs[workload._shards[2]])
    for _ in range(3):
        workload.on(buffers, [2]).gradient(x[None], [2])
        model(inputs)
    for key, value in buffers.items():
        torch.testing.assert_close(value[0], model.get_buffer(key))
    model.eval()
    outputs = model(workload._test_inputs).detach()
    expected = float(cross_entropy(outputs, workload._test_targets))
    own = {key: value[0] for key, value in buffers.items()}
    assert workload.evaluate(x, own)["test_loss"] == pytest.approx(expected, rel=1e-5)
    assert workload.evaluate(x)["test_loss"] != pytest.approx(expected, rel=1e-5)


def test_without_a_run_gradients_begin_at_the_buffers_of_the_start() -> None:
    workload = sharded("Ema")
    x = workload.initial()[None]
    first = workload.gradient(x, [0])
    assert torch.equal(workload.gradient(x, [0]).gradient, first.gradient)
    losses = workload.losses(x, [0], torch.zeros(1, 2, dtype=torch.int64))
    assert losses[0, 0] != losses[0, 1]  # of the same example, after a pass more


@pytest.mark.parametrize("name", [*zoo.CHANGING, *zoo.PARAMETERS_ONLY])
def test_what_is_exported_loads_into_the_plain_model(name: str, tmp_path: Path) -> None:
    result = run(name, steps=3, output=tmp_path / "runs", checkpoint_every=3)
    directory, start = str(result.directory), sharded(name)
    model = getattr(zoo, name)()
    if name == "Lazy":
        model(zoo.Table().x)
    for node, file in ((None, "average.pt"), (1, "own.safetensors")):
        path = str(tmp_path / file)
        assert main(["export", directory, path, *([] if node is None else ["--node", str(node)])]) == 0
        if file.endswith(".pt"):
            tensors = torch.load(path)
        else:
            from safetensors.torch import load_file

            tensors = load_file(path)
        model.load_state_dict(tensors)
        expected = result.model.mean(dim=0) if node is None else result.model[node]
        for key, value in start.layout.unflatten(expected).items():
            torch.testing.assert_close(tensors[key], value)
    changed = {key for key, (kind, _) in start.sources.items() if kind == "own"}
    assert bool(changed) == (name in zoo.CHANGING and name != "Dropping")
    own = start.buffers(range(N))
    for key, (kind, source) in start.sources.items():
        if kind == "own":
            assert not torch.equal(tensors[key], own[source][0]), key


def test_frozen_weights_stay_as_they_are_and_are_not_sent(tmp_path: Path) -> None:
    result = run("Frozen", output=tmp_path / "runs", checkpoint_every=4)
    start = workload("Frozen").shard(N, seed=0)
    assert list(start.layout.shapes) == ["head.weight", "head.bias"]
    assert result.summary["bytes_sent_per_node"] == 4 * 2 * 4 * start.layout.d  # steps, neighbours, bytes
    assert main(["export", str(result.directory), str(tmp_path / "model.pt")]) == 0
    tensors = torch.load(tmp_path / "model.pt")
    for key in ("hidden.weight", "hidden.bias", "mean"):
        assert torch.equal(tensors[key], start.fixed[key])
    assert "unsaved" not in tensors


@pytest.mark.parametrize("name", ["OldSpectral", "Ema", "MovingEncoder", "Dropping"])
@pytest.mark.parametrize("buffers", ["keep", "average"])
def test_a_run_goes_on_with_the_same_bits(name: str, buffers: str, tmp_path: Path) -> None:
    if name == "Dropping" and buffers == "average":
        pytest.skip("it has none")
    whole = run(name, steps=6, buffers=buffers)
    run(name, steps=3, buffers=buffers, output=tmp_path, checkpoint_every=3)
    resumed = run(name, steps=6, buffers=buffers, output=tmp_path, resume="auto")
    assert torch.equal(resumed.model, whole.model)
    for key in ("test_loss", "node_test_loss", "train_loss"):
        assert resumed.summary[key] == whole.summary[key]


def test_neighbours_average_buffers_in_the_round_of_the_step() -> None:
    """With a complete graph all have the same afterwards; and what it takes is counted."""
    from gossip.drivers.gradients import Gradients
    from gossip.drivers.lockstep import Lockstep
    from gossip.network import connect
    from gossip.processes.communicator import Communicator
    from topologies import complete

    start, kept = sharded("Ema"), {}
    for averages in (False, True):
        network = connect(complete(N), Communicator())
        gradients = Gradients(Minibatch(5), start, range(N), seed=0)
        driver = Lockstep(DecentralizedSGD(lr=0.1), gradients, network, average_buffers=averages)
        position = driver.start(start.initial().repeat(N, 1))
        for _ in driver.moments(position, 1):
            pass
        kept[averages] = position.oracle.buffers, network.round, network.traffic.bytes.clone()
    (own, rounds, sent), (mixed, same, more) = kept[False], kept[True]
    assert own is not None and mixed is not None
    torch.testing.assert_close(mixed["ema"], own["ema"].mean(dim=0).expand(N, -1))
    assert torch.equal(mixed["count"], own["count"])  # integers are not averaged
    assert rounds == same and (more - sent).tolist() == [(N - 1) * 6 * 4] * N


def test_running_statistics_of_batches() -> None:
    batch, running = run("BatchNorm"), run("BatchNorm", batch_norm="running")
    assert torch.equal(batch.model, running.model)  # the training is the same
    assert batch.summary["test_loss"] != running.summary["test_loss"]


def test_models_that_draw_do_so_by_seed_node_and_step() -> None:
    first, state = run("Dropping"), torch.get_rng_state()
    assert torch.equal(run("Dropping").model, first.model)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(run("Dropping", seed=1).model, first.model)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Counting", "gives another loss when it is given the same inputs again: what it keeps in calls is no buffer"),
        ("SeenInTheEvaluation", "what it keeps in mean is no buffer"),
        ("Growing", r"makes of its buffer seen, shape \(1,\), float32, one of shape \(2,\), float32"),
        ("Late", "a forward pass makes the buffer mean; it must be there from the start"),
        ("Computed", "twice was computed from parameters when it was made, and is not computed anew"),
        ("MaxNorm", r"a forward pass changes the parameter embedding.weight \(max_norm\?\)"),
        ("AllFrozen", "has no parameter that requires a gradient: nothing of it can be trained"),
        ("Pair", "the loss cross_entropy fails on what the model Pair gives, a tuple, and targets"),
        ("Detached", "with the loss cross_entropy has no gradient: RuntimeError"),
        ("Narrow", r"fails on inputs of shape \(4, 8\), float32: RuntimeError: .* \(.*zoo.py:\d+ in Plain.features\)"),
        ("Unready", r"model_args = {}: RuntimeError: no weights found \(.*zoo.py:\d+ in Unready.__init__\)"),
        ("NoModule", "makes a NoModule, not a torch Module"),
    ],
)
def test_models_that_cannot_be_trained_are_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        sharded(name)
    assert "\n" not in str(raised.value) and name in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset_args": {"first": 1}}, r"targets are 1..3, the model Plain has 3 outputs: they must be 0..2"),
        ({"dataset_args": {"first": 1}, "loss": f"{ZOO}.hinge"}, r"the loss hinge fails on .*, from 1 to 3: .*zoo.py"),
        ({"dataset_args": {"broken": 7}}, r"Table': item 7 of 60: KeyError: 'no such row' \(.*zoo.py:\d+ in Table"),
        ({"dataset_args": {"n": 7}}, r"dataset_args = {'n': 7}: TypeError: .* keyword argument 'n' \(.*zoo.py:\d+\)"),
        ({"dataset_args": {"m": 0}}, "Table' is empty"),
        ({"model_args": {"widht": 7}}, r"model_args = {'widht': 7}: TypeError: .*'widht' \(.*zoo.py:\d+\)"),
        ({"model": "torch.nn.Linear"}, "model_args = {}: TypeError: .* missing 2 required positional arguments"),
        ({"loss": f"{ZOO}.one_by_one"}, "the loss one_by_one gives shape .*; it must give one number"),
        ({"loss": "torch.nn.functional.mse_loss"}, "mse_loss"),
        ({"model": zoo.Plain()}, "model is a Plain; it must be an import path, .*, or a class or function"),
        ({"loss": lambda outputs, targets: outputs.mean()}, "loss is a function; it must be an import path"),
        ({"buffers": "average"}, "the model Plain has no buffers that the training changes"),
        ({"buffers": "mix"}, "buffers = 'mix' is not allowed"),
        ({"batch_norm": "running"}, "the model Plain has no BatchNorm that keeps running statistics"),
    ],
)
def test_mistakes_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        sharded("Plain", **options)
    assert "\n" not in str(raised.value)


def test_classes_and_functions_may_stand_for_their_import_paths() -> None:
    by_class = TorchWorkload(zoo.Plain, zoo.Table, loss=cross_entropy)  # type: ignore[arg-type]
    assert by_class == workload("Plain", loss="torch.nn.functional.cross_entropy")
    of_module = workload("Plain", loss="torch.nn.CrossEntropyLoss").shard(N, seed=0)
    sample = of_module.gradient(of_module.initial()[None], [0])
    assert torch.equal(sample.loss, by_class.shard(N, seed=0).gradient(of_module.initial()[None], [0]).loss)


@pytest.mark.parametrize(
    ("nodes", "oracle", "message"),
    [
        (4, Minibatch(1), "Minibatch takes 1 example at once"),
        (4, Minibatch(8, microbatch=1), "Minibatch takes 1 example at once"),
        (4, Saga(4), "Saga takes 1 example at once"),
        (4, ZerothOrder(), "ZerothOrder takes 1 example at once"),
        (47, Full(), "node 1 has 1 example"),
    ],
)
def test_batch_normalisation_needs_two_examples(nodes: int, oracle: Any, message: str) -> None:
    with pytest.raises(UsageError, match=f"BatchNorm needs batches of at least 2; {message}"):
        gossip.run(workload("BatchNorm"), ring(nodes), DecentralizedSGD(), oracle=oracle, steps=1, output=None)


@pytest.mark.parametrize("count", [251, 359, 500, 501])
@pytest.mark.parametrize("name", ["WatchedBatchNorm", "Watched"])
def test_what_is_evaluated_at_once(name: str, count: int) -> None:
    """Equal parts if a part decides on the outputs; else parts of 250, but never one example alone."""
    start = sharded(name, test_dataset=f"{ZOO}.Table", test_dataset_args={"m": count})
    equal = name == "WatchedBatchNorm" or count in (251, 501)
    sizes = [len(part) for part in (np.array_split if equal else _cut)(np.arange(count), -(-count // 250))]
    zoo.SIZES.clear()
    assert 0 <= start.evaluate(start.initial())["test_accuracy"] <= 1
    assert sorted(zoo.SIZES) == sorted(sizes)


def _cut(numbers: np.ndarray, parts: int) -> list[np.ndarray]:
    return [numbers[250 * part : 250 * (part + 1)] for part in range(parts)]


def test_neighbours_that_cannot_average_buffers() -> None:
    averaging = workload("Ema", buffers="average")
    with pytest.raises(UsageError, match="FedAvg, whose last node has none; keep them"):
        gossip.run(averaging, ring(N), FedAvg(lr=0.1), steps=1, output=None)
    from algorithms import PushSumSGD

    with pytest.raises(UsageError, match="whose rows do not sum to 1; keep them"):
        gossip.run(averaging, random_out(N), PushSumSGD(lr=0.1), steps=1, output=None)


def test_the_default_type_of_torch_does_not_matter() -> None:
    results = []
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            results.append(
                gossip.run(Digits(hidden=4), ring(3), DecentralizedSGD(), steps=3, oracle=Minibatch(4), output=None)
            )
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.equal(results[0].model, results[1].model)
