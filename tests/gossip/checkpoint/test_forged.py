"""Whatever somebody has written into the files of a checkpoint, sealed as a run seals it, ends in one line."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import xxhash
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from algorithms import ChocoSGD, TopK
from gossip.checkpoint.__main__ import main
from gossip.checkpoint.store import Checkpoint
from gossip.errors import DataError, GossipError
from gossip.network import SimulatedClock
from tests.gossip.checkpoint.conftest import Small

ROWS, HISTORY, MANIFEST = "rank-0000.safetensors", "history.json", "manifest.json"
OVERLAPPED = {
    "algorithm": ChocoSGD(lr=0.05, gamma=0.3, compressor=TopK(k=2), momentum=0.9, order="overlapped"),
    "clock": SimulatedClock(compute_seconds=0.1, latency=0.1, bandwidth=1e6),
}
DEEP: Any = json.loads("[" * 500 + "]" * 500)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 3, 10**30, 10**400, 1e300, float("nan"), float("inf"), "", "x", "same", "load", "[/red]", "\0",
    "../rank-0000.safetensors", "/etc/passwd", [], [1, 2], ["x"], {}, {"kind": "items"}, {"kind": "value", "value": -1},
    {"kind": "block", "class": "os.system", "parts": {}}, DEEP,
)  # fmt: skip
FORMS = settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.generate],
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def folder(small: Small) -> Path:
    """A checkpoint of a run with something under way."""
    return small.first(**OVERLAPPED) / "checkpoints" / "step-00000007"


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())["checkpoint"]
    return manifest


def seal(folder: Path, manifest: Any) -> None:
    content = json.dumps(manifest).encode()
    checksum = xxhash.xxh3_128_hexdigest(content).encode()
    (folder / MANIFEST).write_bytes(b'{"checksum": "%s", "checkpoint": %s}' % (checksum, content))


def forge(folder: Path, name: str, content: bytes) -> None:
    """Write another file in its place, and its checksum into the manifest."""
    manifest = manifest_of(folder)
    manifest["files"][name] |= {"bytes": len(content), "checksum": xxhash.xxh3_128_hexdigest(content)}
    (folder / name).write_bytes(content)
    seal(folder, manifest)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    keys = value if isinstance(value, dict) else range(min(len(value), 2)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*at, key))


def put(whole: Any, at: tuple[Any, ...], value: Any) -> Any:
    """The same with another value there, or with nothing for `deepcopy` itself."""
    if not at:
        return value
    whole = deepcopy(whole)
    inner = whole
    for key in at[:-1]:
        inner = inner[key]
    if value is deepcopy:
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return whole


def assert_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands show or export it, or say why not."""
    for command in (["inspect", str(folder)], ["export", str(folder), str(tmp_path / "model.pt")]):
        code = main(command)
        errors = capsys.readouterr().err
        assert code in (0, 2, 3)
        assert errors.count("\n") == (1 if code else 0), errors
        assert len(errors) < 1000


@FORMS
@given(data=st.data())
def test_forged_manifests(
    data: st.DataObject, small: Small, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genuine = manifest_of(folder)
    at = data.draw(st.sampled_from([each for each in places(genuine) if each[:1] != ("configuration",)]))
    seal(folder, put(genuine, at, data.draw(st.sampled_from((*VALUES, deepcopy) if at else VALUES))))
    assert_one_line(folder, tmp_path, capsys)
    before = (folder / MANIFEST).read_bytes()
    try:
        small.run(resume=folder, steps=7, **OVERLAPPED)
    except GossipError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
    assert (folder / MANIFEST).read_bytes() == before
    seal(folder, genuine)


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (("step",), -1, "step is -1, which must be a whole number >= 0"),
        (("step",), 8, "is one of step 8"),
        (("step",), deepcopy, "the manifest has no 'step'"),
        (("nodes",), 10**30, "nodes is 10000000000000000000000000"),
        (("format",), 3, "is of format 3, and this program reads 2"),
        (("format",), deepcopy, "is of format None, and this program reads 2"),
        ((), [], "is of format None"),
        (("configuration",), DEEP, "has lists in lists to a depth of more than 64"),
        (("layout", "x"), [5], "states.model.x is 'algorithm.x', which must be a stack with rows of 5 numbers"),
        (("files", "../../config.yaml"), {"bytes": 1, "checksum": ""}, "a name in files is '../../config.yaml'"),
        (("files", "/etc/passwd"), {"bytes": 1, "checksum": "", "nodes": [5]}, "a name in files is '/etc/passwd'"),
        (("files", ROWS, "nodes"), [0, 1, 2, 3], "the number of nodes in files is 4, which must be >= 5"),
        (("files", ROWS, "nodes", 0), 1, "which must be ascending numbers"),
        (("files", ROWS, "bytes"), 10**15, f"{ROWS} has "),
        (("states", "algorithm", "parts", "x", "shape"), [-1], "algorithm.x.shape is -1, which must be a whole number"),
        (("states", "algorithm", "parts", "x", "type"), "load", "algorithm.x.type is 'load', which must be a type"),
        (("states", "model", "parts", "x", "as"), "network.bytes", "states.model.x is 'network.bytes'"),
        (("states", "model", "parts", "x", "as"), "nothing", "model.x is 'nothing', which must be what has been named"),
        (("posted", 0), "algorithm.x", "posted is 'algorithm.x', which must be what the state has posted"),
        (("clock", "now", 0), float("nan"), "clock.now is nan, which must be a number >= 0"),
    ],
)
def test_what_is_said_of_a_forged_manifest(at: tuple[Any, ...], value: Any, says: str, folder: Path) -> None:
    seal(folder, put(manifest_of(folder), at, value))
    with pytest.raises(DataError) as refused:
        Checkpoint(folder).check_all()
    assert says in str(refused.value)
    assert str(refused.value).startswith(f"the checkpoint {folder} is damaged: ")


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (("parts", "step", "value"), "x", "algorithm.step is a str"),
        (("parts", "step"), deepcopy, "algorithm has not the fields "),
        (("parts", "x", "shape"), [4, 1], "algorithm.x has rows of torch.float64 (4,)"),
        (("parts", "x"), {"kind": "items"}, "File does not contain tensor algorithm.x/0"),
        (("class",), "algorithms.state.State", "algorithm has not the fields step, x"),
        (
            ("class",),
            "os.system",
            "what the checkpoint has as algorithm is a os.system, which nothing in this run uses",
        ),
    ],
)
def test_states_that_are_none_of_the_algorithm(
    at: tuple[Any, ...], value: Any, says: str, small: Small, folder: Path
) -> None:
    manifest = manifest_of(folder)
    if at[1:2] == ("x",):  # so that the model's vector is not what is found wrong
        manifest["states"]["model"]["parts"]["x"] = {"kind": "stack", "shape": [4], "type": "float64"}
        manifest["posted"] = []
    manifest["states"]["algorithm"] = put(manifest["states"]["algorithm"], at, value)
    seal(folder, manifest)
    with pytest.raises(GossipError) as refused:
        small.run(resume=folder, **OVERLAPPED)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xff\xff\xff\xff\xff\xff\xff", struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 1 << 40) + b"{}",
     struct.pack("<Q", 4) + b"\xff\xfe\x00\x00", struct.pack("<Q", 100_000) + b"[" * 100_000, b"PK\x03\x04"],
)  # fmt: skip
def test_forged_rows(
    content: bytes, small: Small, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forge(folder, ROWS, content)
    with pytest.raises(DataError, match=r"is damaged: [^\n]*$"):
        small.run(resume=folder, **OVERLAPPED)
    capsys.readouterr()
    assert_one_line(folder, tmp_path, capsys)


def test_rows_of_fewer_nodes(small: Small, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = load_file(folder / ROWS)
    save_file({name: each[:2].clone() if each.ndim else each for name, each in tensors.items()}, tmp_path / "short")
    forge(folder, ROWS, (tmp_path / "short").read_bytes())
    with pytest.raises(DataError, match=r"is damaged: [^\n]*$"):
        small.run(resume=folder, **OVERLAPPED)
    capsys.readouterr()
    assert main(["export", str(folder), str(tmp_path / "model.pt")]) == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"{}", b"[[]]", b'[{"step": 0}]', b'[{"step": "0"}]', b"[" * 100_000, b"\xff\xfe", b'["[/red]"]',
     b'[{"step": 0, "train_loss": "x", "test_loss": 0, "consensus_distance": 0, "seconds": 0}]'],
)  # fmt: skip
def test_forged_histories(
    content: bytes, small: Small, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forge(folder, HISTORY, content)
    with pytest.raises(DataError, match=r"is damaged: history\.json [^\n]*$"):
        small.run(resume=folder, **OVERLAPPED)
    capsys.readouterr()
    assert_one_line(folder, tmp_path, capsys)


@pytest.mark.parametrize("name", [MANIFEST, HISTORY, ROWS])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link to nowhere", "link to itself", "device"])
def test_what_is_no_file(
    name: str, kind: str, small: Small, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / name
    file.unlink()
    make = {
        "pipe": lambda: os.mkfifo(file),
        "folder": file.mkdir,
        "link to nowhere": lambda: file.symlink_to("nowhere"),
        "link to itself": lambda: file.symlink_to(file),
        "device": lambda: file.symlink_to("/dev/zero"),
    }
    make[kind]()
    with pytest.raises(DataError, match=rf"is damaged: {name} [^\n]*$"):
        small.run(resume=folder, **OVERLAPPED)
    capsys.readouterr()
    assert_one_line(folder, tmp_path, capsys)
    begun = small.run(resume="auto", steps=3, **OVERLAPPED)
    assert begun.directory not in (None, folder.parent.parent)


def test_names_in_a_manifest_are_no_markup(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = manifest_of(folder)
    manifest["configuration"]["topology"][""] = "[/data/graph] :smile:"
    seal(folder, manifest)
    assert main(["inspect", str(folder)]) == 0
    assert "[/data/graph] :smile:" in capsys.readouterr().out


@pytest.mark.parametrize("holder", [b"\xff\xfe\x00[/red]", b"x" * 10_000, b"", b"a\nb\nc"])
def test_a_damaged_lock(holder: bytes, small: Small, folder: Path) -> None:
    from gossip.records.lock import Lock

    directory = folder.parent.parent
    lock = Lock(directory)
    (directory / "lock").write_bytes(holder)
    with pytest.raises(DataError, match=r"^\S+ belongs to a job that is still running \([^\n]{,300}\); wait until"):
        small.run(resume=directory, **OVERLAPPED)
    lock.release()
    small.run(resume=directory, **OVERLAPPED)
