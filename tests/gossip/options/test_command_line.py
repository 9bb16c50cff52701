"""Options of the command line that hold other classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from algorithms import (
    QSGD,
    AdditiveNoise,
    Attacked,
    Blocks,
    ChocoSGD,
    Composed,
    Compressor,
    Contraction,
    DecentralizedSGD,
    DiscreteGaussianMechanism,
    FedAvg,
    Induced,
    LocalSGD,
    Minibatch,
    NoisyMessages,
    PerTensor,
    QsparseLocalSGD,
    RandomK,
    SignFlip,
    Threshold,
    TopK,
    Zeno,
    ZerothOrder,
)
from gossip import SimulatedClock
from gossip.errors import UsageError
from gossip.options.command_line import parse
from gossip.options.kinds import UNFINISHED
from tests.conftest import Run
from topologies import ring

COMPRESSOR = "--algorithm.compressor"


def parsed(options: str) -> Compressor:
    training = parse(["--algorithm", "ChocoSGD", *options.split()], ranks=1)
    assert isinstance(training.algorithm, ChocoSGD)
    return training.algorithm.compressor


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            f"{COMPRESSOR} Composed {COMPRESSOR}.sparsifier TopK {COMPRESSOR}.sparsifier.fraction 0.05 "
            f"{COMPRESSOR}.quantizer QSGD",
            Composed(TopK(fraction=0.05), QSGD()),
        ),
        (
            f"{COMPRESSOR} Composed {COMPRESSOR}.sparsifier Threshold {COMPRESSOR}.sparsifier.threshold 0.1 "
            f"{COMPRESSOR}.quantizer QSGD {COMPRESSOR}.quantizer.levels 3 {COMPRESSOR}.scaled false",
            Composed(Threshold(0.1), QSGD(levels=3), scaled=False),
        ),
        (
            f"{COMPRESSOR} Induced {COMPRESSOR}.contraction TopK {COMPRESSOR}.contraction.k 5 "
            f"{COMPRESSOR}.unbiased RandomK {COMPRESSOR}.unbiased.k 7 {COMPRESSOR}.unbiased.unbiased true",
            Induced(TopK(k=5), RandomK(k=7, unbiased=True)),
        ),
        (
            f"{COMPRESSOR} PerTensor {COMPRESSOR}.compressor TopK {COMPRESSOR}.compressor.fraction 0.1",
            PerTensor(TopK(fraction=0.1)),
        ),
        (
            f"{COMPRESSOR} Blocks {COMPRESSOR}.size 100 {COMPRESSOR}.compressor Contraction "
            f"{COMPRESSOR}.compressor.compressor QSGD {COMPRESSOR}.compressor.compressor.norm max",
            Blocks(Contraction(QSGD(norm="max")), 100),
        ),
    ],
)
def test_nested_compressors(options: str, expected: Compressor, tmp_path: Path) -> None:
    assert parsed(options) == expected
    # And from the configuration that a run leaves behind.
    config = parse(["--algorithm", "ChocoSGD", *options.split()], ranks=1).config
    assert config is not None
    (tmp_path / "config.yaml").write_text(config)
    again = parse(["--config", str(tmp_path / "config.yaml")], ranks=1).algorithm
    assert isinstance(again, ChocoSGD) and again.compressor == expected


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (f"{COMPRESSOR} Composed", "--algorithm.compressor: the following arguments are required: sparsifier"),
        (
            f"{COMPRESSOR} Composed {COMPRESSOR}.sparsifier TopKay {COMPRESSOR}.quantizer QSGD",
            "--algorithm.compressor.sparsifier does not know 'TopKay'; did you mean TopK?",
        ),
        (
            f"{COMPRESSOR} Composed {COMPRESSOR}.sparsifier QSGD {COMPRESSOR}.quantizer QSGD",
            "--algorithm.compressor.sparsifier does not know 'QSGD'",
        ),
        (f"{COMPRESSOR} Bloks", "does not know 'Bloks'; did you mean Blocks?"),
        (f"{COMPRESSOR} Bernoulli {COMPRESSOR}.p 2", "Bernoulli: p = 2.0 is not allowed; it must be in (0, 1]"),
        (
            f"{COMPRESSOR} Induced {COMPRESSOR}.contraction TopK {COMPRESSOR}.contraction.k 5 "
            f"{COMPRESSOR}.unbiased ScaledSign",
            "is biased; give an unbiased operator",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(options: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        parsed(options)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not any(f" {name}," in str(raised.value) for name in UNFINISHED)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--workload Text --workload.width null", "--workload.width may not be null; leave it out for its default"),
        ("--algorithm SquarmSGD --algorithm.compressor null", "--algorithm.compressor may not be null; leave it out"),
        ("--algorithm DecentralizedSGD --algorithm.lr null", "--algorithm.lr may not be null; leave it out"),
        ("--topology ring --topology.weights null", "--topology.weights may not be null; leave it out"),
        (
            f"--workload Digits --workload.hidden {10**20}",
            f"--workload.hidden = {10**20} is not allowed; whole numbers",
        ),
        (f"--seed {10**20}", f"--seed = {10**20} is not allowed; whole numbers are below 2^63"),
        ("--oracle algorithms.Oracle", "--oracle: Oracle is what others derive from; name one of these"),
        ("--algorithm ChocoSGD --algorithm.compressor Quantizer", "--algorithm.compressor"),
        (
            "--algorithm Attacked --algorithm.attack Lie",
            "it may be ALittleIsEnough, GaussianNoise, InnerProductManipulation, Mimic, Scaling, SignFlip, Zeros",
        ),
    ],
)
def test_what_the_parser_lets_pass(options: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse([*options.split(), "--nodes", "4"], ranks=1)
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_an_operator_of_a_method_of_local_updates() -> None:
    options = ["--algorithm", "QsparseLocalSGD", COMPRESSOR, "TopK", f"{COMPRESSOR}.fraction", "0.5"]
    assert parse([*options, "--nodes", "4"], ranks=1).algorithm == QsparseLocalSGD(compressor=TopK(fraction=0.5))


def test_an_attack_on_a_method() -> None:
    attack = "--algorithm.attack SignFlip --algorithm.attack.scale 3 --algorithm.attackers [1,2] --algorithm.since 9"
    method = "--algorithm.algorithm Zeno --algorithm.algorithm.trim 2"
    training = parse(["--algorithm", "Attacked", *attack.split(), *method.split()], ranks=1)
    assert training.algorithm == Attacked(Zeno(trim=2), SignFlip(3.0), (1, 2), since=9)


def test_noisy_messages_and_their_mechanism() -> None:
    options = "--algorithm NoisyMessages --algorithm.algorithm FedAvg --algorithm.algorithm.lr 0.3 --algorithm.clip 2"
    mechanism = "--algorithm.mechanism DiscreteGaussianMechanism --algorithm.mechanism.step 0.01"
    training = parse([*options.split(), *mechanism.split()], ranks=1)
    assert training.algorithm == NoisyMessages(FedAvg(lr=0.3), clip=2.0, mechanism=DiscreteGaussianMechanism(0.01))


@pytest.mark.parametrize("kind", [AdditiveNoise, ZerothOrder])
def test_oracles_of_oracles(kind: type) -> None:
    """Those that are named, and those that are so by default."""
    options = ["--oracle", kind.__name__, "--nodes", "4"]
    assert parse(options, ranks=1).oracle == kind()
    named = parse([*options, "--oracle.oracle", "Minibatch", "--oracle.oracle.batch", "3"], ranks=1)
    assert named.oracle == kind(oracle=Minibatch(3))


def test_null_where_it_may_be() -> None:
    options = [
        "--algorithm",
        "LocalSGD",
        "--algorithm.optimizer",
        "null",
        "--stall-timeout",
        "null",
        "--output",
        "null",
    ]
    training = parse([*options, "--nodes", "4"], ranks=1)
    assert isinstance(training.algorithm, LocalSGD) and training.algorithm.optimizer is None
    assert training.stall_timeout is None and training.output is None


def test_a_clock(tmp_path: Path) -> None:
    options = "--clock.compute_seconds 0.05 --clock.latency 1e-4 --clock.bandwidth 1e9 --clock.slow_nodes [1,3]"
    training = parse(["--clock", "SimulatedClock", *options.split()], ranks=1)
    assert training.clock == SimulatedClock(0.05, 1e-4, 1e9, slow_nodes=(1, 3))
    assert training.config is not None
    (tmp_path / "config.yaml").write_text(training.config)
    assert parse(["--config", str(tmp_path / "config.yaml")], ranks=1).clock == training.clock
    assert parse([], ranks=1).clock is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("SimulatedClock", "--clock: the following arguments are required: compute_seconds, latency, bandwidth"),
        ("Sundial", "--clock does not know 'Sundial'; it may be SimulatedClock, or an import path"),
    ],
)
def test_clocks_that_are_none(options: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(["--clock", *options.split()], ranks=1)
    assert str(raised.value) == says


def test_a_class_that_is_named_has_its_own_defaults(tmp_path: Path) -> None:
    assert parse(["--algorithm.momentum", "0.5"], 1).algorithm == DecentralizedSGD(lr=0.05, momentum=0.5)
    file = tmp_path / "run.yaml"
    file.write_text("algorithm: LocalSGD\n")
    for arguments in (["--algorithm", "LocalSGD"], ["--algorithm=LocalSGD"], ["--config", str(file)]):
        assert parse(arguments, 1).algorithm == LocalSGD()


def test_importing_the_options_does_not_set_up_other_parsers(python: Run) -> None:
    """jsonargparse's settings are for the whole process: a command sets them when it parses."""
    done = python(
        "-c",
        "import gossip.options.command_line, gossip.options.kinds\n"
        "from algorithms import Oracle\n"
        "from jsonargparse import ArgumentParser\n"
        "parser = ArgumentParser()\n"
        "parser.add_argument('--oracle', type=Oracle)\n"
        "parser.parse_args(['--oracle', 'Minibatch'])\n",
    )
    assert done.returncode == 2
    assert "oracle" in done.stderr


def test_a_file_that_is_no_yaml_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("algorithm: [1\n")
    for config in (str(file), str(tmp_path / "missing.yaml")):
        with pytest.raises(UsageError) as raised:
            parse(["--config", config], 1)
        assert "\n" not in str(raised.value)


def test_configurations_of_earlier_runs_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("topology: {class_path: gossip.train.kinds.ring, init_args: {weights: metropolis}}\nnodes: 5\n")
    topology = parse(["--config", str(file)], 1).topology
    assert repr(topology) == repr(ring(5))
