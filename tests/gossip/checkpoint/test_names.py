"""What a run has not written itself is neither taken for a checkpoint nor changed nor removed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gossip.checkpoint.places import checkpoints
from gossip.checkpoint.store import Checkpoint
from gossip.errors import DataError
from gossip.names import CHECKPOINT, RUN, UNFINISHED
from gossip.records.directory import create_run_directory, folder_name
from gossip.records.recorder import Recorder
from tests.gossip.checkpoint.conftest import Small

FILES = {"manifest.json", "history.json", "rank-0000.safetensors"}
Errors = pytest.CaptureFixture[str]


def step(directory: Path, number: int) -> Path:
    return directory / "checkpoints" / f"step-{number:08d}"


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "logs" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def assert_ends_as_if_never_stopped(small: Small, model: torch.Tensor, **options: object) -> None:
    assert torch.equal(model, small.run(output=None, **options).model)


def test_copies_beside_the_checkpoints(small: Small) -> None:
    directory = small.first()
    folder = directory / "checkpoints"
    for name in ("step-00000006-best", "step-00000007.bak", "step-7", "step-00000099 (1)", ".hidden", "old"):
        shutil.copytree(step(directory, 6), folder / name)
    for name in ("step-00000042", "STEP-00000043", "step-00000044.json"):
        (folder / name).write_text("a file of the user's")
    (folder / "step-00000045").symlink_to("nowhere")
    theirs = {path.name for path in folder.iterdir()} - {"step-00000006", "step-00000007"}
    before = {name: contents(folder / name) for name in theirs}
    assert checkpoints(directory) == [step(directory, 6), step(directory, 7)]
    again = small.run(resume=directory, checkpoint_every=9)
    assert [record["step"] for record in again.history] == [0, 2, 4, 6, 8, 10]
    assert_ends_as_if_never_stopped(small, again.model)
    assert {path.name for path in folder.iterdir()} == theirs | {"step-00000009", "step-00000010"}
    assert before == {name: contents(folder / name) for name in theirs}


def test_only_unfinished_folders_of_ones_own_are_cleaned_up(small: Small) -> None:
    directory = small.first()
    folder = directory / "checkpoints"
    for name in (
        ".writing-step-00000008",
        ".removed-step-00000003",
        ".removed-step-00000003.2",
        ".writing-mine",
        ".snapshot",
    ):
        (folder / name).mkdir()
        (folder / name / "file").touch()
    small.run(resume=directory)
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} == {".writing-mine", ".snapshot"}


def test_what_file_systems_leave_in_a_checkpoint_is_no_damage(small: Small) -> None:
    directory = small.first()
    for name in (".nfs000000000001", ".DS_Store"):
        (step(directory, 6) / name).touch()
        (step(directory, 7) / name).touch()
    (step(directory, 7) / "notes.txt").write_text("the best one so far")
    Checkpoint(step(directory, 7)).check_all()
    assert_ends_as_if_never_stopped(small, small.run(resume=directory, checkpoint_every=8).model)
    # Into one of the older ones somebody has written.
    assert [path.name for path in checkpoints(directory)] == ["step-00000007", "step-00000008", "step-00000010"]


def test_what_cannot_be_removed_stops_nothing(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # as where a file in it is still open, over NFS
    directory = small.first(steps=4, checkpoint_every=2, keep=1)
    for name in (".writing-step-00000006", ".removed-step-00000004"):
        (directory / "checkpoints" / name).mkdir()
        (directory / "checkpoints" / name / ".nfs0001").touch()
    last = small.run(resume=directory, checkpoint_every=1, keep=1)
    assert_ends_as_if_never_stopped(small, last.model)
    assert checkpoints(directory) == [step(directory, 10)]
    assert {path.name for path in step(directory, 6).with_name(".removed-step-00000006").iterdir()} == FILES


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_in_the_way_of_a_checkpoint_is_moved(kind: str, small: Small, capsys: Errors) -> None:
    directory = small.first()
    there = step(directory, 10)
    if kind == "file":
        there.write_text("mine")
    elif kind == "link":
        there.symlink_to("nowhere")
    else:
        small.run(resume=directory, steps=9)
        there.mkdir()
        (there / "mine").touch()
    capsys.readouterr()
    result = small.run(resume=step(directory, 7 if kind != "folder" else 9))
    assert_ends_as_if_never_stopped(small, result.model)
    Checkpoint(there).check_all()
    assert capsys.readouterr().err.count("\n") == 1
    kept = [*directory.glob("checkpoints/*.before"), *directory.glob("aside-*/checkpoints/*")]
    assert len(kept) == 1
    assert kind == "link" or kept[0].is_file() or [path.name for path in kept[0].iterdir()] == ["mine"]


def test_auto_passes_over_what_is_no_run(small: Small, capsys: Errors) -> None:
    directory = small.first()
    runs = directory.parent
    (runs / "latest").symlink_to("gone")
    (runs / "best").symlink_to(directory.name)
    (runs / "notes.txt").write_text("mine")
    (runs / "20200101T000000-0123abcd").write_text("mine")
    (runs / "20200101T000000-0123abce").symlink_to(runs / "20200101T000000-0123abce")
    for name in (f"{directory.name}.bak", f"copy of {directory.name}", "zzz"):
        shutil.copytree(directory, runs / name)
        shutil.copytree(step(directory, 7), step(runs / name, 9))
    capsys.readouterr()
    assert small.run(resume="auto").directory == directory
    assert capsys.readouterr().err == ""


def test_auto_asks_no_clock(small: Small) -> None:
    near = small.first(steps=9)
    far = small.first()
    for path in (far, near):
        os.utime(path, (2e9, 2e9) if path == far else (1e9, 1e9))
    assert small.run(resume="auto").directory == near  # 9 steps are done there, and 7 in the other


def test_auto_passes_over_runs_beyond_its_steps(small: Small) -> None:
    beyond = small.first(steps=9)
    result = small.run(resume="auto", steps=8)
    assert result.directory != beyond
    assert_ends_as_if_never_stopped(small, result.model, steps=8)


def test_auto_goes_on_from_the_checkpoint_before_a_damaged_one(small: Small, capsys: Errors) -> None:
    directory = small.first(keep=3)
    flip(step(directory, 7) / "rank-0000.safetensors")
    (step(directory, 6) / "manifest.json").write_text("")
    capsys.readouterr()
    result = small.run(resume="auto")
    assert result.directory == directory
    assert_ends_as_if_never_stopped(small, result.model)
    warned, moved = capsys.readouterr().err.splitlines()
    assert warned.startswith(
        f"gossip: warning: --resume auto passes over damage: the checkpoint {step(directory, 7)} is"
    )
    assert warned.endswith(" (and 1 more)")
    (aside,) = directory.glob("aside-*")
    assert moved == f"gossip: the run goes on after step 3; what it had beyond that is now in {aside}"
    with pytest.raises(DataError, match="is damaged"):
        small.run(resume=aside)


def test_auto_begins_anew_where_all_is_damaged(small: Small, capsys: Errors) -> None:
    directory = small.first()
    for folder in checkpoints(directory):
        (folder / "manifest.json").write_text("{}")
    before = contents(directory)
    result = small.run(resume="auto")
    assert result.directory != directory
    assert_ends_as_if_never_stopped(small, result.model)
    assert contents(directory) == before
    assert capsys.readouterr().err.count("gossip: warning: --resume auto passes over damage") == 1


def test_auto_does_not_care_for_damage_to_runs_of_other_configurations(small: Small, capsys: Errors) -> None:
    other = small.first(seed=5)
    (step(other, 7) / "manifest.json").write_text("")
    capsys.readouterr()
    assert_ends_as_if_never_stopped(small, small.run(resume="auto").model)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b'{"status": "finished"}', b'{"status": "finished", "steps": "10"}', b'{"status": 1',
     b"\xff\xfe\x00", b"[" * 100_000, b'{"status": "finished", "steps": 1e999}', b'{"steps": 7}'],
)  # fmt: skip
def test_a_damaged_summary_is_written_again(content: bytes, small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = small.first()

    def write(recorder: Recorder, summary: dict[str, object], *_: object) -> None:
        recorder.replace("summary.json", json.dumps(summary))

    monkeypatch.setattr(Recorder, "write_outcome", write)
    (directory / "summary.json").write_bytes(content)
    assert small.run(resume="auto", steps=7).directory == directory
    assert json.loads((directory / "summary.json").read_text())["steps"] == 7


def test_a_checkpoint_that_was_copied_elsewhere_is_the_beginning_of_a_run(
    small: Small, tmp_path: Path, capsys: Errors
) -> None:
    directory = small.first()
    mine = tmp_path / "mine"
    shutil.copytree(directory / "checkpoints", mine / "checkpoints")
    shutil.copytree(step(directory, 6), mine / "kept")
    for name in ("config.yaml", "metrics.jsonl", "summary.json", "report.html"):
        (mine / name).write_text("mine")
    before = contents(tmp_path)
    for copy in (step(mine, 6), mine, mine / "checkpoints", mine / "kept"):
        capsys.readouterr()
        result = small.run(resume=copy)
        assert_ends_as_if_never_stopped(small, result.model)
        assert result.directory not in (mine, directory, None)
        assert (
            f"lies in no run directory: the run goes on from there in {result.directory}\n" in capsys.readouterr().err
        )
        assert result.directory is not None
        assert len((result.directory / "metrics.jsonl").read_text().splitlines()) == len(result.history)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before


def test_links_to_a_run_and_to_a_checkpoint(small: Small, tmp_path: Path) -> None:
    directory = small.first()
    (tmp_path / "run").symlink_to(directory)
    (tmp_path / "best").symlink_to(step(directory, 7))
    assert small.run(resume=tmp_path / "run", steps=8).directory == tmp_path / "run"
    shutil.copytree(step(directory, 8), tmp_path / "copy")
    (tmp_path / "best").unlink()
    (tmp_path / "best").symlink_to(step(directory, 8))
    assert small.run(resume=tmp_path / "best").directory == directory


def test_going_back_moves_what_came_later(small: Small, capsys: Errors) -> None:
    directory = small.first(keep=3, steps=10)
    (directory / "summary.json").write_text("of the run of 10 steps")
    before = contents(directory)
    capsys.readouterr()
    small.run(resume=step(directory, 6), steps=8)
    (aside,) = directory.glob("aside-*")
    assert (
        capsys.readouterr().err == f"gossip: the run goes on after step 6; what it had beyond that is now in {aside}\n"
    )
    moved = contents(aside)
    assert {path.name for path in (aside / "checkpoints").iterdir()} == {"step-00000009", "step-00000010"}
    assert {name: before[name] for name in moved} == moved
    assert {"metrics.jsonl", "summary.json", "config.yaml"} < moved.keys()
    assert not (directory / "summary.json").exists()  # or else it would say that this is finished
    Checkpoint(step(aside, 10)).check_all()
    assert small.run(resume=step(aside, 10)).directory not in (directory, aside)


def test_a_renamed_checkpoint_is_refused(small: Small) -> None:
    directory = small.first()
    step(directory, 6).rename(step(directory, 8))
    with pytest.raises(DataError, match=r"step-00000008 is damaged: manifest\.json is one of step 6; the one "):
        small.run(resume=directory)
    assert small.run(resume="auto").directory == directory


@pytest.mark.parametrize("made", ["file", "nothing", "link", "file in checkpoints"])
def test_what_holds_no_checkpoint(made: str, small: Small, tmp_path: Path) -> None:
    path = tmp_path / "given"
    if made == "file":
        path.touch()
    elif made == "link":
        path.symlink_to("nowhere")
    elif made == "file in checkpoints":
        path.mkdir()
        (path / "checkpoints").touch()
    with pytest.raises(DataError, match=r"^there is no checkpoint in \S+; give the directory of a run[^\n]*$"):
        small.run(resume=path)


def test_a_run_inside_of_another(small: Small) -> None:
    directory = small.first()
    before = contents(directory)
    inner = small.run(output=directory, steps=9, checkpoint_every=4).directory
    assert inner is not None and directory in inner.parents
    assert {name: content for name, content in contents(directory).items() if name in before} == before
    result = small.run(resume="auto")
    assert result.directory == directory
    assert_ends_as_if_never_stopped(small, result.model)


@given(st.text(max_size=300))
def test_any_name_makes_one_folder(name: str) -> None:
    folder = folder_name(name)
    assert "/" not in folder and "\0" not in folder
    assert folder not in ("", ".", "..") and not folder.startswith(".")
    assert len(folder.encode()) <= 255


def test_names_that_are_used_stay(tmp_path: Path) -> None:
    for name in ("ChocoSGD-ring", "DecentralizedSGD-grid(3, 4)", "A-[x] ä"):
        assert folder_name(name) == name
    assert RUN.fullmatch(create_run_directory(tmp_path, folder_name("A-../../b"), "").name)
    assert [path.name for path in tmp_path.iterdir()] == ["A-.._.._b"]


@pytest.mark.parametrize("number", [0, 7, 99_999_999, 10**8, 10**12])
def test_names_of_checkpoints(number: int) -> None:
    name = step(Path(), number).name
    assert CHECKPOINT.fullmatch(name)
    assert UNFINISHED.fullmatch(f".writing-{name}") and UNFINISHED.fullmatch(f".removed-{name}.2")


@pytest.mark.parametrize(
    "name",
    [
        "step-1",
        "step-000000001",
        "step-0000000a",
        "step-\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661",
        "step-00000001\n",
        "Step-00000001",
    ],
)
def test_names_of_no_checkpoint(name: str) -> None:
    assert not CHECKPOINT.fullmatch(name)
