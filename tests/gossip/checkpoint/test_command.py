"""The commands: options of a run, and looking into checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import gossip
from algorithms import DecentralizedSGD, FedAvg, Minibatch
from gossip.checkpoint.__main__ import main
from gossip.options.command_line import parse
from gossip.workloads import Digits
from tests.gossip.checkpoint.conftest import Small
from topologies import ring

NODES = 3


@pytest.fixture
def digits(tmp_path: Path) -> gossip.Result:
    """A run whose models are not the state's x."""
    algorithm = DecentralizedSGD(order="combine-then-adapt")
    run = (Digits(hidden=5), ring(NODES), algorithm)
    return gossip.run(*run, oracle=Minibatch(8), steps=4, output=tmp_path / "runs", checkpoint_every=2)


def flat(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([each.reshape(-1) for each in tensors.values()])


def test_export(digits: gossip.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(digits.directory)
    assert main(["export", directory, str(tmp_path / "model.pt")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/model.pt: the average model after 4 steps\n"
    average = torch.load(tmp_path / "model.pt")
    assert {name: tuple(each.shape) for name, each in average.items()} == dict(
        Digits(hidden=5).shard(NODES, 0).layout.shapes
    )
    assert torch.equal(flat(average), (digits.model[0] + digits.model[1] + digits.model[2]) / 3)

    assert main(["export", directory, str(tmp_path / "model.safetensors"), "--node", "1"]) == 0
    assert torch.equal(
        flat({name: load_file(tmp_path / "model.safetensors")[name] for name in average}), digits.model[1]
    )

    earlier = f"{directory}/checkpoints/step-00000002"
    assert main(["export", earlier, str(tmp_path / "model.pt")]) == 0
    assert not torch.equal(flat(torch.load(tmp_path / "model.pt")), flat(average))


def test_the_model_of_a_server_is_that_of_all_clients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    algorithm = FedAvg(lr=0.1, local_steps=2, participation=2)
    options = {"oracle": Minibatch(8), "evaluate_every": 20}
    run = (Digits(hidden=5), ring(15), algorithm)
    whole = gossip.run(*run, **options, steps=20, output=tmp_path / "runs", checkpoint_every=6, keep=4)  # type: ignore[arg-type]
    short = gossip.run(*run, **options, steps=12, output=None)  # type: ignore[arg-type]
    halfway = f"{whole.directory}/checkpoints/step-00000012"
    for node in range(0, 15, 7):
        assert main(["export", halfway, str(tmp_path / "model.pt"), "--node", str(node)]) == 0
        assert torch.equal(flat(torch.load(tmp_path / "model.pt")), short.model[node])
        assert torch.equal(short.model[node], short.model[0])
    assert not torch.equal(whole.model, short.model)
    assert main(["export", halfway, str(tmp_path / "model.pt"), "--node", "15"]) == 2
    assert "there are the nodes 0 to 14" in capsys.readouterr().err
    assert main(["inspect", str(whole.directory)]) == 0
    assert "algorithm.clients" in capsys.readouterr().out


def test_inspect(digits: gossip.Result, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(digits.directory)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{digits.directory}/checkpoints/step-00000004: whole\n")
    for words in ("algorithm.order", "combine-then-adapt", "0.weight", "(5, 64)", "algorithm.adapted", "float32"):
        assert words in shown


def test_a_damaged_one_is_named(digits: gossip.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert digits.directory is not None
    file = digits.directory / "checkpoints" / "step-00000004" / "rank-0000.safetensors"
    file.write_bytes(b"x" * file.stat().st_size)
    for command in (["inspect", str(digits.directory)], ["export", str(digits.directory), str(tmp_path / "x.pt")]):
        assert main(command) == 3
        errors = capsys.readouterr().err
        assert "is damaged: rank-0000.safetensors is not what was written; the one before it is " in errors
        assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["x.bin"], 2, "x.bin is not allowed; it must end in .pt or .safetensors"),
        (["x.pt", "--node", "3"], 2, "--node 3 is not allowed; there are the nodes 0 to 2"),
        (["nowhere/x.pt"], 3, "cannot write nowhere/x.pt"),
        (["nowhere/x.safetensors"], 3, "cannot write nowhere/x.safetensors"),
    ],
)
def test_what_cannot_be_exported(
    arguments: list[str],
    code: int,
    says: str,
    digits: gossip.Result,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(digits.directory), *arguments]) == code
    errors = capsys.readouterr().err
    assert says in errors
    assert errors.count("\n") == 1


def test_no_run_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path)]) == 3
    assert f"there is no checkpoint in {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize(("every", "expected"), [("500", 500), ("30s", "30s"), ("1.5s", "1.5s"), (None, None)])
def test_options_of_a_run(every: str | None, expected: int | str | None) -> None:
    asked = ["--checkpoint-every", every, "--resume", "auto", "--keep", "5"] if every else []
    training = parse(asked, 1)
    assert training.checkpoint_every == expected
    assert (training.resume, training.keep) == (("auto", 5) if every else (None, 2))


def test_the_average_of_an_export_is_that_of_a_run(tmp_path: Path) -> None:
    small = Small(tmp_path)
    assert main(["export", str(small.first()), str(tmp_path / "model.pt")]) == 0
    x = torch.load(tmp_path / "model.pt")["x"].numpy()
    A, b = small.workload.features, small.workload.targets
    loss = np.mean([0.5 * np.mean((A[i] @ x - b[i]) ** 2) for i in range(5)]) + 0.05 * x @ x
    last = small.run(steps=7, output=None).history[-1]
    assert last["test_loss"] == pytest.approx(loss, rel=1e-12)
