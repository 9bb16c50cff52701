"""What a class of the user's own raises when it is made or first called ends in one line that names it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import gossip
from algorithms import DecentralizedSGD, Minibatch
from gossip.errors import UsageError
from gossip.train.__main__ import main
from gossip.workloads import Digits
from tests.conftest import REPOSITORY, Run
from topologies import ring

FILE = '''
"""Classes of one's own, each of which fails where it is told to."""

from dataclasses import dataclass

from algorithms import Algorithm as Plain
from algorithms import ChocoSGD, DecentralizedSGD, LearningRate, Minibatch, TopK
from gossip.workloads import Averaging, Iid
from topologies import Topology, ring


def fail(here, where, kind):
    if here == where:
        if kind == "index":
            return [][3]
        if kind == "unbound":
            return nothing_of_this_name
        raise {"key": KeyError, "value": ValueError, "type": TypeError, "runtime": RuntimeError,
               "zero": ZeroDivisionError, "attribute": AttributeError}[kind]("deliberate")


@dataclass(frozen=True)
class Algorithm(DecentralizedSGD):
    where: str = ""
    kind: str = "key"
    node: int = -1

    def _fail(self, here, network=None):
        if network is None or self.node < 0 or self.node in network.nodes:
            fail(here, self.where, self.kind)

    def __post_init__(self):
        super().__post_init__()
        self._fail("init")

    def for_layout(self, layout):
        self._fail("for_layout")
        return super().for_layout(layout)

    def start(self, x, network):
        self._fail("start", network)
        return super().start(x, network)

    def step(self, state, sample, network):
        self._fail("step", network)
        if state.step == 2:
            self._fail("third step", network)
        super().step(state, sample, network)

    def model(self, state):
        self._fail("model")
        return super().model(state)


@dataclass(frozen=True)
class Compressor(TopK):
    where: str = ""
    kind: str = "key"

    def __post_init__(self):
        super().__post_init__()
        fail("init", self.where, self.kind)

    def compress(self, *arguments, **options):
        fail("compress", self.where, self.kind)
        return super().compress(*arguments, **options)


@dataclass(frozen=True)
class Oracle(Minibatch):
    where: str = ""
    kind: str = "key"

    def start(self, *arguments, **options):
        fail("start", self.where, self.kind)
        return super().start(*arguments, **options)

    def sample(self, *arguments, **options):
        fail("sample", self.where, self.kind)
        return super().sample(*arguments, **options)


class Sharded:
    def __init__(self, sharded, where, kind):
        self.sharded, self.where, self.kind = sharded, where, kind

    def __getattr__(self, name):
        value = getattr(self.sharded, name)
        if not callable(value):
            fail(name, self.where, self.kind)
            return value
        return lambda *arguments, **options: (fail(name, self.where, self.kind), value(*arguments, **options))[1]


@dataclass(frozen=True)
class Workload(Averaging):
    where: str = ""
    kind: str = "key"

    def shard(self, n, seed, read=None):
        fail("shard", self.where, self.kind)
        return Sharded(Averaging().shard(n, seed), self.where, self.kind)


@dataclass(frozen=True)
class Split(Iid):
    kind: str = "key"

    def assign(self, labels, n, seed):
        fail("assign", "assign", self.kind)


@dataclass(frozen=True)
class Rate(LearningRate):
    kind: str = "key"

    def __call__(self, step):
        fail("call", "call", self.kind)


@dataclass(frozen=True)
class NoStep(Plain):
    pass


@dataclass(frozen=True)
class OtherArguments(Plain):
    def step(self, state, sample):
        pass


@dataclass(frozen=True)
class NoState(Plain):
    def start(self, x, network):
        pass


@dataclass(frozen=True)
class NoShard(Averaging):
    def shard(self, n, seed, read=None):
        pass


@dataclass(frozen=True)
class NoLayout(Averaging):
    layout = property(lambda self: self.nothing)


@dataclass(frozen=True)
class NoSample(Minibatch):
    def sample(self, *arguments, **options):
        pass


def topology(n: int, kind: str = "key") -> Topology:
    fail("made", "made", kind)
    return ring(n)
'''
PLACES = {
    **{f"Algorithm {where}": ["--algorithm", "Algorithm"] for where in "init for_layout start step model".split()},
    **{
        f"Compressor {where}": [
            "--algorithm",
            "ChocoSGD",
            "--algorithm.gamma",
            "0.1",
            "--algorithm.compressor",
            "Compressor",
        ]
        for where in ("init", "compress")
    },
    **{f"Oracle {where}": ["--oracle", "Oracle"] for where in ("start", "sample")},
    **{f"Workload {where}": ["--workload", "Workload"] for where in "shard layout initial gradient evaluate".split()},
    "Split assign": ["--workload.split", "Split"],
    "topology made": ["--topology", "topology"],
}
KINDS = ["key", "value", "type", "runtime", "zero", "attribute", "index", "unbound"]
SMALL = "--nodes 4 --steps 5 --quiet --output null".split()


@pytest.fixture(scope="module", autouse=True)
def own_classes(tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("own")
    (folder / "classes_of_mine.py").write_text(FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


def command(place: str, kind: str) -> list[str]:
    """What trains with a class that fails there."""
    name, where = place.split()
    words = [f"classes_of_mine.{word}" if word == name else word for word in PLACES[place]]
    option = [word for word in words if word.startswith("--")][-1]
    words += [f"{option}.kind", kind, *([] if name in ("Split", "topology") else [f"{option}.where", where])]
    words += ["--algorithm.compressor.k", "2"] if name == "Compressor" else []
    workload = [] if name == "Workload" else ["--workload", "Digits", "--workload.hidden", "3"]
    return [*workload, *words, *SMALL, *(["--topology", "ring"] if name == "Compressor" else [])]


@settings(
    deadline=None,
    max_examples=10,
    phases=[Phase.generate],  # to shrink pairs of words would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.sampled_from(sorted(PLACES)), kind=st.sampled_from(KINDS))
def test_one_line_that_says_where(place: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(command(place, kind))
    said = capsys.readouterr().err
    assert code == 2, said
    (line,) = said.splitlines()
    assert re.match(r"gossip: error: .*\(\S*classes_of_mine.py:\d+ in \w+\)$", line), line


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("algorithm", "NoStep", r"NotImplementedError: NoStep has no step of its own \(\S*mine.py:\d+\)"),
        ("algorithm", "OtherArguments", r"TypeError: OtherArguments.step\(\) takes 3 .* \(\S*mine.py:\d+\)"),
        ("algorithm", "NoState", "NoState: start gives a NoneType, it must give a State"),
        ("workload", "NoShard", "NoShard: shard gives nothing; it must give a ShardedWorkload"),
        ("workload", "NoLayout", r"AttributeError: .*nothing.* \(\S*mine.py:\d+ in NoLayout.<lambda>\)"),
        ("oracle", "NoSample", "NoSample: sample gives a NoneType, it must give a Sample"),
    ],
)
def test_what_a_class_lacks(option: str, name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"--{option}", f"classes_of_mine.{name}", *([] if option == "workload" else ["--workload", "Averaging"])]
    assert main([*words, *SMALL]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(f"gossip: error: {message}", line), line


def test_all_lines_for_those_who_ask(capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("Algorithm init", "Algorithm step", "Workload shard", "Split assign"):
        assert main([*command(place, "zero"), "--traceback"]) == 2
        *lines, last = capsys.readouterr().err.splitlines()
        assert lines[0].startswith("Traceback")
        assert any(re.search(rf"in {place.split()[1].replace('init', '__post_init__')}$", line) for line in lines)
        assert last.startswith("gossip: error: ") and "ZeroDivisionError: deliberate" in last


def test_after_the_first_step_an_exception_passes_as_it_is() -> None:
    with pytest.raises(KeyError, match="deliberate"):
        main([*command("Algorithm step", "key"), "--algorithm.where", "third step"])


def test_the_library_call_raises_one_error_without_what_it_was_made_of() -> None:
    import classes_of_mine  # type: ignore[import-not-found]

    algorithm = classes_of_mine.Algorithm(where="start", kind="zero")
    for whole in (False, True):
        with pytest.raises(UsageError, match=r"ZeroDivisionError: deliberate \(\S*classes_of_mine.py:\d+ in") as raised:
            options = {"oracle": Minibatch(4), "steps": 2, "output": None, "traceback": whole}
            gossip.run(Digits(hidden=3), ring(4), algorithm, **options)
        assert isinstance(raised.value.__cause__, ZeroDivisionError) == whole
    with pytest.raises(UsageError, match="steps = -1"):
        gossip.run(Digits(hidden=3), ring(4), DecentralizedSGD(), steps=-1, output=None)


def test_a_rank_that_fails_alone_ends_the_job_with_one_line(python: Run, own_classes: Path) -> None:
    env = {"PYTHONPATH": f"{own_classes}:{REPOSITORY}"}
    words = [*command("Algorithm start", "index"), "--algorithm.node", "3"]
    done = python("-m", "gossip.train", *words, ranks=2, env=env, timeout=60)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "IndexError" in line]
    assert re.match(r"\[rank 1 of 2 on \S+\] IndexError: list index out of range \(\S*mine.py:\d+ in fail\)$", line)
    assert "Traceback" not in done.stderr
