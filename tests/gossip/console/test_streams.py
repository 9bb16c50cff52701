"""Standard output that is closed, broken or full, that has few letters, or that is a launcher's terminal."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO

import pytest

from gossip.console import table
from gossip.console.frame import asks_for_help, exit_code, exit_code_alone
from gossip.console.streams import Lenient, console, lenient_output, on_terminal
from gossip.errors import say
from gossip.train.__main__ import main
from tests.conftest import REPOSITORY


@contextmanager
def full() -> Iterator[TextIO]:
    with open("/dev/full", "w", encoding="utf-8") as file:
        yield file


@contextmanager
def broken() -> Iterator[TextIO]:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as file:
        yield file


@contextmanager
def closed() -> Iterator[None]:
    yield None


KINDS = {closed: errno.EBADF, broken: errno.EPIPE, full: errno.ENOSPC}


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_written_is_lost(kind: Callable) -> None:
    with kind() as stream:
        lenient = Lenient(stream)
        print("a" * 100_000, file=lenient, flush=True)
        print("b", file=lenient)
        assert lenient.lost is not None and lenient.lost.errno == KINDS[kind]
        assert not lenient.isatty()
        lenient.flush()
    # Leaving, the stream has nothing that it could not write.


def test_it_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w", encoding="utf-8") as file:
        lenient, kept = Lenient(file), os.dup(file.fileno())
        with open("/dev/full", "w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), file.fileno())
        print("lost", file=lenient, flush=True)
        os.dup2(kept, file.fileno())
        os.close(kept)
        print("kept", file=lenient, flush=True)
    assert (tmp_path / "file").read_text() == "kept\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_letters_that_a_stream_does_not_know(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with redirect_stdout(stream):
        console().print("Gruß ▄")
        table.show({"case": ["▄"], "time": ["1 µs"]})
        stream.flush()
    said = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert said.startswith({"ascii": "Gru? ?", "latin-1": "Gruß ?", "utf-8": "Gruß ▄"}[encoding])


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_does_not_end_for_want_of_a_reader(
    kind: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = "runs" if kind is full else "null"
    options = ["--workload", "Digits", "--nodes", "4", "--topology", "ring", "--steps", "3", "--output", output]
    with kind() as stream, redirect_stdout(stream):
        assert main(options) == 0
    if kind is full:
        (directory,) = tmp_path.glob("runs/*/*")
        for name in ("config.yaml", "metrics.jsonl", "summary.json", "report.html"):
            assert (directory / name).stat().st_size > 0


def test_a_command_whose_output_is_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    def prints(_: object) -> int:
        print("something")
        return 0

    for kind, code in ((closed, 3), (broken, 0), (full, 3)):
        for run in (exit_code_alone, lambda command: exit_code(command, doing=("prints",), shows=True)):
            with kind() as stream, redirect_stdout(stream):
                assert run(prints) == code
            said = capsys.readouterr().err
            assert said.count("\n") == (code > 0)
            assert "cannot write to standard output" in said or not code


def test_streams_that_were_closed_from_the_beginning(tmp_path: Path) -> None:
    """No file gets their numbers: a library that writes to standard error would write into it."""
    program = "import sys; from gossip.console.streams import lenient_output\n"
    program += "with lenient_output():\n    file = open('file', 'w'); print('x'); sys.exit(file.fileno() < 3)"
    command = f"{sys.executable} -c '{program.replace(chr(39), chr(34))}' <&- >&- 2>&-"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    assert subprocess.run(command, shell=True, cwd=tmp_path, env=environment, check=False).returncode == 0


def test_an_error_that_nobody_can_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    say("help")
    with full() as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        say("help")
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def test_a_terminal_of_a_launcher_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open MPI gives its processes terminals although its own output goes into a file."""
    controller, terminal = os.openpty()
    monkeypatch.delenv("OMPI_COMM_WORLD_SIZE", raising=False)
    with os.fdopen(terminal, "w", encoding="utf-8") as stream, redirect_stdout(stream):
        assert on_terminal()
        assert console().is_terminal
        monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
        monkeypatch.setattr(os, "readlink", lambda _: "/home/me/log")
        assert not on_terminal()
        assert not console().is_terminal
        assert console().width == 200
        monkeypatch.setattr(os, "readlink", lambda _: "/dev/pts/3")
        assert on_terminal()
    os.close(controller)


def test_output_that_another_program_takes_as_bytes(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w", encoding="utf-8") as file, redirect_stdout(file), lenient_output():
        sys.stdout.buffer.write(b"bytes")
    assert (tmp_path / "file").read_bytes() == b"bytes"


def test_help() -> None:
    for line in ("--help", "-h", "--steps 3 --algorithm.help ChocoSGD", "--print_config", "--workload.split.help=Iid"):
        assert asks_for_help(line.split())
    for line in ("", "--steps 3", "sbatch -- --help", "--helper"):
        assert not asks_for_help(line.split())
