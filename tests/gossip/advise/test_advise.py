"""The command from its line to its answer."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from gossip.advise.__main__ import main
from gossip.advise.advice import answered
from gossip.advise.command import Question, parse
from gossip.advise.words import Answer
from gossip.network import SimulatedNetwork
from gossip.network.simulation.description import Compute, Level
from gossip.options.command_line import parse as parse_train
from gossip.study.values import words
from tests.conftest import Run

SMALL = "--nodes 4 --parameters 1000 --network lan"


def ask(text: str, network: SimulatedNetwork | None = None) -> Answer:
    question = parse(shlex.split(text))
    assert isinstance(question, Question)
    return answered(question, network or SimulatedNetwork.of(question.network))


@pytest.fixture(scope="module")
def answer() -> Answer:
    """With all kinds of candidates."""
    levels = (Level(1e-5, 1e9, members=4), Level(1e-2, 1e7))
    network = SimulatedNetwork(levels, Compute(0.01))
    return ask("--nodes 8 --parameters 1e5 --network wan --hosts 2 --heterogeneity dirichlet:0.1", network)


def test_candidates_are_runs(answer: Answer) -> None:
    """Their options make the topology and the method that were looked at: for every method, graph and compressor."""
    met: set[str] = set()
    for each in answer.ranking:
        candidate = each.candidate
        parts = {candidate.method, candidate.topology.name, candidate.operator.name if candidate.operator else ""}
        if parts <= met:
            continue
        met |= parts
        training = parse_train(words({"nodes": 8, **candidate.options}), 1)
        assert type(training.algorithm) is type(candidate.algorithm)
        assert candidate.exact or training.topology.name == candidate.topology.name
        assert getattr(training.algorithm, "period", 1) == candidate.period
        if candidate.operator is not None:
            assert training.algorithm.compressor == candidate.operator.compressor
            assert training.algorithm.gamma == candidate.algorithm.gamma
            assert getattr(training.algorithm, "momentum", 0) == 0
    assert len(met) >= 17


def test_all_methods_are_compared(answer: Answer) -> None:
    methods = {each.candidate.method for each in answer.ranking}
    compressing = {"CHOCO-SGD", "SQuARM-SGD"}
    assert methods == compressing | {
        "all-reduce SGD",
        "local SGD",
        "D-SGD",
        "D-SGD, overlapped",
        "exact diffusion",
        "gradient tracking",
    }
    topologies = {each.candidate.topology.name for each in answer.ranking}
    assert {"ring", "torus", "hierarchical", "alternating_hierarchical", "one_peer_exponential"} <= topologies


def test_the_ranking_is_by_seconds(answer: Answer) -> None:
    seconds = [each.seconds for each in answer.ranking]
    assert seconds == sorted(seconds)
    assert answer.baseline.candidate.method == "all-reduce SGD"
    for each in answer.ranking:
        assert each.seconds == each.seconds_per_step * each.needed.steps


def test_a_slower_link_never_helps_what_sends_more(answer: Answer) -> None:
    """Of two candidates on the same graph with the same steps between rounds, the lighter one does not fall behind."""
    slow = replace(answer.network, levels=tuple(replace(each, bandwidth=each.bandwidth / 8) for each in
                                                answer.network.levels))  # fmt: skip
    compared = 0
    for light in answer.ranking:
        for heavy in answer.ranking:
            one, other = light.candidate, heavy.candidate
            alike = one.topology is other.topology and one.period == other.period and one.exact == other.exact
            if not alike or light.sizes.message >= heavy.sizes.message or "overlapped" in other.method:
                continue
            compared += 1
            before = light.seconds / heavy.seconds
            after = light.plan.seconds(slow, light.sizes) * light.needed.steps
            after /= heavy.plan.seconds(slow, heavy.sizes) * heavy.needed.steps
            assert after <= before * (1 + 1e-9), (one.name, other.name)
    assert compared > 20


def test_a_fast_network_leaves_exact_averages_first() -> None:
    """Where nothing that is sent takes any time, nothing is gained by sending less."""
    network = SimulatedNetwork((Level(0.0, 1e15),), Compute(0.1))
    found = ask("--nodes 8 --parameters 1e5 --network lan", network)
    assert found.baseline.seconds == pytest.approx(found.ranking[0].seconds, rel=1e-3)


def test_a_slow_network_does_not() -> None:
    network = SimulatedNetwork((Level(0.1, 1e4),), Compute(0.001))
    found = ask("--nodes 8 --parameters 1e5 --network lan", network)
    best = found.ranking[0]
    assert best.candidate.period > 1 or best.candidate.operator is not None
    assert best.seconds < found.baseline.seconds / 10


def test_json_and_what_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "answer.json"
    assert main([*SMALL.split(), "--json", str(file), "--compute-seconds", "0.5", "--top", "2"]) == 0
    said, kept = capsys.readouterr().out, json.loads(file.read_text())
    assert kept["ranking"][0]["seconds"] <= kept["ranking"][1]["seconds"]
    assert kept["baseline"] in kept["ranking"]
    assert kept["command"] in said and f"confidence: {kept['confidence']}" in said
    assert len(kept["trials"]) == 12 and all(each["behind"] >= 1 for each in kept["trials"])
    for line in kept["unknown"]:
        assert line in said
    assert "500 ms" in said or "0.5 s: given" in said
    assert kept["ranking"][0]["name"] in said


MISTAKES = {
    "--nodes 1": "--nodes 1 is not allowed; it must be from 2 to 256",
    "--nodes many": "argument --nodes: invalid int value: 'many'",
    "--hosts 3": "--hosts 3 does not divide --nodes 4",
    "--parameters 0": "--parameters 0.0 is not allowed; it must be >= 1",
    "--network nowhere": "there is no network 'nowhere'",
    "--network nowhere.yaml": "cannot read the network nowhere.yaml (No such file or directory)",
    "--heterogeneity strong": "--heterogeneity strong is not allowed; it must be iid, dirichlet:ALPHA",
    "--heterogeneity dirichlet:0": "--heterogeneity dirichlet:0 is not allowed",
    "--noise -1": "--noise -1.0 is not allowed; it must be >= 0",
    "--target 0": "--target 0.0 is not allowed; it must be in (0, 1]",
    "--seeds 2": "--seeds has no effect without --verify",
    "--compute-seconds nan": "--compute-seconds nan is not allowed; it must be >= 0",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_bad_input_takes_one_line(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([*SMALL.split(), *words.split()])
    said = capsys.readouterr()
    assert code == (3 if ".yaml" in words else 2) and not said.out
    assert said.err.count("\n") == 1 and MISTAKES[words] in said.err


def test_what_cannot_be_written_takes_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL.split(), "--json", str(tmp_path / "no" / "answer.json")]) == 3
    assert "answer.json (No such file or directory)" in capsys.readouterr().err


def test_wrong_options_do_not_wait_for_torch(python: Run) -> None:
    code = "import sys; from gossip.advise.__main__ import main; code = main(['--nodes', '0', '--parameters', '9', "
    code += "'--network', 'lan']); print(code, 'torch' in sys.modules)"
    assert python("-c", code).stdout == "2 False\n"


def test_verified_by_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tiny: what is looked at is that the study is one of these candidates on networks whose messages take as long."""
    output = tmp_path / "advice"
    how = f"--verify --steps 12 --processes 1 --output {output}"
    assert main([*SMALL.split(), *how.split()]) == 0
    said = capsys.readouterr().out
    assert "predicted rank" in said and "the study" in said and (output / "report.html").exists()
    networks = [SimulatedNetwork.of(file) for file in sorted((output / "networks").glob("*.yaml"))]
    assert 3 <= len(networks) <= 4
    (runs,) = {len(list((output / "runs").glob("*/cell.json")))}
    assert runs == 4 * len(networks)
    d = 64 * 16 + 16 + 16 * 10 + 10
    assert networks[-1].levels[0].bandwidth == pytest.approx(125e6 * d / 1000)  # all-reduce SGD sends all numbers
