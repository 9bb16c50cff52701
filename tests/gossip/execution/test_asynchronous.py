"""`gossip.run` with asynchronous methods, in one process."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gossip
from algorithms import (
    AccordionBatch,
    AdPsgd,
    AsynchronousPushSum,
    Attacked,
    DecentralizedSGD,
    FedAT,
    Full,
    Minibatch,
    NodeProgram,
    Saga,
    SignFlip,
)
from gossip import SimulatedClock
from gossip.drivers.events import EventDriver
from gossip.drivers.gradients import NodeGradients
from gossip.drivers.schedule import GRADIENT, Schedule
from gossip.errors import UsageError
from gossip.workloads import LogisticRegression
from topologies import one_peer_exponential, ring, with_hubs

CLOCK = SimulatedClock(0.01, 1e-3, 1e7, 0.005, slow_nodes=(1,), slowdown=5.0)
METHOD = AdPsgd(lr=0.5, momentum=0.3)


def run(**options: Any) -> gossip.Result:
    everything = {"steps": 30, "clock": CLOCK, "output": None, "seed": 4, "evaluate_every": 7} | options
    algorithm = everything.pop("algorithm", METHOD)
    return gossip.run(LogisticRegression(), everything.pop("topology", ring(8)), algorithm, **everything)


def test_it_is_the_run_of_the_driver() -> None:
    result = run(oracle=Minibatch(8))
    workload = LogisticRegression().shard(8, seed=4)
    x = workload.initial().expand(8, -1).clone()
    programs = METHOD.programs(ring(8), range(8), x)
    driver = EventDriver(programs, ring(8), NodeGradients(Minibatch(8), workload, x, 4), CLOCK, seed=4)
    found = []
    for event in driver.events():
        found.append(event.kind)
        if found.count("gradient") == 30 * 8:
            break
    assert torch.equal(result.model, driver.models())
    last = result.history[-1]
    assert last["simulated_seconds"] == driver.seconds
    assert last["bytes_sent_per_node"] == driver.traffic.bytes.double().mean()
    stale, idle = driver.schedule.staleness(), driver.schedule.idle_seconds()
    assert result.summary["staleness"] == stale.mean()
    ends = [record["step"] * 8 for record in result.history]
    means = [stale[begin:end].mean() for begin, end in pairwise(ends)]
    assert [record["staleness"] for record in result.history] == pytest.approx([0.0, *means])
    assert last["idle_share"] == result.summary["idle_share"] == pytest.approx(idle.mean() / driver.seconds)
    assert last["updates_per_second"] == pytest.approx(240 / driver.seconds)


def test_records_come_at_shares_of_all_gradients() -> None:
    history = run().history
    assert [record["step"] for record in history] == [0, 7, 14, 21, 28, 30]
    seconds = [record["simulated_seconds"] for record in history]
    assert seconds == sorted(seconds) and seconds[0] == 0 < seconds[1]
    assert history[-1]["test_loss"] < history[0]["test_loss"] / 2
    assert history[0]["train_loss"] == pytest.approx(np.log(2))


def test_one_slow_node_does_not_slow_the_others_down() -> None:
    """In lockstep all wait for it: 5 times as long a step."""
    free = run().history[-1]["simulated_seconds"]
    bound = run(algorithm=DecentralizedSGD(lr=0.5)).history[-1]["simulated_seconds"]
    assert bound > 3 * free


def test_it_ends_in_time() -> None:
    result = run(seconds=0.2)
    assert 0 < result.history[-1]["step"] < 30
    assert 0.15 < result.history[-1]["simulated_seconds"] <= 0.2
    assert torch.isfinite(result.model).all()


@pytest.mark.parametrize(("seconds", "steps"), [(10.5, [0, 5, 10]), (10.0, [0, 5, 10]), (9.5, [0, 5, 9])])
def test_no_two_records_are_of_the_same_step(seconds: float, steps: list[int], tmp_path: Path) -> None:
    """Also where the time is up at a mark, or before the next gradient."""
    even = SimulatedClock(compute_seconds=1.0, latency=0.0, bandwidth=math.inf)
    result = run(clock=even, seconds=seconds, evaluate_every=5, output=tmp_path)
    assert [record["step"] for record in result.history] == steps
    assert result.directory is not None
    lines = (result.directory / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == steps


def test_the_last_step_is_the_one_that_time_has_ended() -> None:
    result = run(seconds=0.2, evaluate_every=1, oracle=Minibatch(1))
    steps = [record["step"] for record in result.history]
    gradients = result.history[-1]["gradients_per_node"]
    assert steps == list(range(len(steps))) and steps[-1] - 1 < gradients < steps[-1]


def test_without_a_clock_all_nodes_are_as_fast_and_no_time_is_told(tmp_path: Path) -> None:
    result = run(clock=None, output=tmp_path)
    assert not {"simulated_seconds", "updates_per_second"} & {*result.history[-1]}
    assert result.directory is not None
    schedule = Schedule.load(result.directory / "schedule.npz")
    gradients = schedule.nodes[schedule.kinds == GRADIENT]
    assert np.bincount(gradients).tolist() == [30] * 8
    page = (result.directory / "report.html").read_text()
    assert "time in the schedule" in page and "Without a clock a gradient takes 1" in page


def test_by_a_network() -> None:
    lan, edge = (run(clock=None, network=name) for name in ("lan", "edge"))
    assert lan.history[-1]["simulated_seconds"] < edge.history[-1]["simulated_seconds"]
    assert not torch.equal(lan.model, edge.model)


@pytest.mark.parametrize("oracle", [Full(), Saga()], ids=["full", "saga"])
@pytest.mark.parametrize("algorithm", [METHOD, AsynchronousPushSum(lr=0.05)], ids=["ad-psgd", "push-sum"])
def test_what_was_recorded_happens_again(algorithm: Any, oracle: Any, tmp_path: Path) -> None:
    first = run(algorithm=algorithm, oracle=oracle, output=tmp_path)
    assert first.directory is not None
    again = run(algorithm=algorithm, oracle=oracle, clock=None, replay=first.directory / "schedule.npz")
    assert torch.equal(again.model, first.model)
    told = ("seconds", "simulated_seconds", "updates_per_second")
    for one, other in zip(first.history, again.history, strict=True):
        assert {k: v for k, v in one.items() if k not in told} == {k: v for k, v in other.items() if k not in told}


def test_the_report_shows_what_nodes_did(tmp_path: Path) -> None:
    result = run(output=tmp_path)
    assert result.directory is not None
    text = (result.directory / "report.html").read_text()
    assert "Timeline of the nodes" in text and "simulated time" in text


def test_what_programs_report_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    from algorithms.asynchronous.ad_psgd import AdPsgdNode

    def report(self: NodeProgram) -> dict[str, float]:
        assert isinstance(self, AdPsgdNode)
        return {"updates": float(self.updates)}

    monkeypatch.setattr(AdPsgdNode, "report", report)
    assert [record["updates"] for record in run().history] == [0, 7, 14, 21, 28, 30]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"algorithm": AsynchronousPushSum(), "topology": one_peer_exponential(8)},
            "AsynchronousPushSum needs a topology that is the same at any time",
        ),
        ({"seconds": 0}, "seconds = 0 is not allowed; it must be > 0"),
        ({"transport": "peer-to-peer"}, "transport has no effect on AdPsgd"),
        ({"placement": "spectral"}, "placement has no effect on an asynchronous method in one process"),
        ({"on_failure": "continue"}, "on_failure = continue needs an MPI library that outlives its processes"),
        ({"on_failure": "rehost", "replay": "s.npz", "clock": None}, "it does not go on without ranks"),
        ({"algorithm": DecentralizedSGD(), "seconds": 1.0}, "seconds is for asynchronous methods"),
        ({"algorithm": DecentralizedSGD(), "replay": "schedule.npz"}, "replay is for asynchronous methods"),
        ({"replay": "schedule.npz"}, "replay says when everything happens: leave out clock, network and seconds"),
        ({"replay": "nowhere.npz", "clock": None}, "cannot read the schedule nowhere.npz"),
        ({"topology": ring(7)}, "active = 'half' is not allowed; it must be all on this graph"),
    ],
    ids=[
        "varying",
        "seconds",
        "transport",
        "placement",
        "failure",
        "failure-replay",
        "lockstep",
        "lockstep-replay",
        "twice",
        "missing",
        "odd",
    ],
)
def test_what_has_no_effect_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, gossip.errors.DataError, ValueError), match=message):
        run(**options)


def test_a_schedule_of_other_nodes_is_refused(tmp_path: Path) -> None:
    first = run(output=tmp_path)
    assert first.directory is not None
    others: dict[str, dict[str, Any]] = {
        "topology.nodes is 8 there and 6 here": {"topology": ring(6)},
        "algorithm.lr is 0.5 there and 0.1 here": {"algorithm": AdPsgd()},
        "algorithm is AdPsgd there and AsynchronousPushSum here": {"algorithm": AsynchronousPushSum()},
        "seed is 4 there and 5 here": {"seed": 5},
        "oracle is Full there and Minibatch here": {"oracle": Minibatch(4)},
    }
    for difference, options in others.items():
        with pytest.raises(ValueError, match=f"schedule.npz is the schedule of another run: .*{difference}"):
            run(clock=None, replay=first.directory / "schedule.npz", **options)


@pytest.mark.parametrize("around", [Attacked, AccordionBatch], ids=["attacked", "accordion"])
def test_what_goes_around_methods_in_lockstep_takes_no_other(around: Any) -> None:
    more = {"attack": SignFlip(), "attackers": (1,)} if around is Attacked else {}
    with pytest.raises(ValueError, match=r"algorithm = AdPsgd.* a method whose nodes step together"):
        around(METHOD, **more)


def test_with_a_server_its_model_is_what_is_evaluated() -> None:
    method = FedAT(0.5, local_steps=2, tiers=2, weights="examples")
    result = run(algorithm=method, oracle=Minibatch(8))
    workload, graph = LogisticRegression().shard(8, seed=4), with_hubs(ring(8), 1, 1)
    x = workload.initial().expand(9, -1).clone()
    weighed = method.for_examples([workload.examples(node) for node in range(8)])
    programs = weighed.programs(graph, range(9), x)
    driver = EventDriver(programs, graph, NodeGradients(Minibatch(8), workload, x[:8], 4), CLOCK, seed=4, servers=1)
    driver.advance(30 * 8)
    assert torch.equal(result.model, driver.models()[-1:].expand(len(result.model), -1))
    first, last = result.history[0], result.history[-1]
    assert first["train_loss"] == pytest.approx(np.log(2)) and last["test_loss"] < first["test_loss"] / 2
    assert last["consensus_distance"] == 0
    assert last["bytes_sent_per_node"] == driver.traffic.bytes.double().mean()
