"""Tests that several ranks run together, seen from outside: one start of mpirun for each number of ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest

from tests.conftest import MPIRUN, REPOSITORY, lacking
from tests.mpi.agreement import FOLDER, LIMIT, SHARED, ranks_of
from tests.mpi.conftest import stand_in

SILENCE = 600  # seconds without a word after which all ranks are ended; the first may have to load much
LEAVING = 60  # seconds for the ranks to end after the last case
ANEW = (3,)  # numbers of ranks that start anew, and hash unlike each other; copies are the sooner at work
DEATHS = 3  # launches that may end early before no other is tried


@dataclass(frozen=True)
class Verdict:
    """How a case has ended: "passed", "failed" or "skipped", and what was said."""

    outcome: str
    text: str


class Launch:
    """Runs cases on so many ranks, and again those that have not run when a case has ended the ranks.

    Args:
        ranks: How many.
        cases: The names (node ids) of the cases, in order.
        folder: What the ranks write, and what is kept for other launches, goes there.
        python: How to start a rank, which loads all that it needs anew by default.
    """

    def __init__(
        self, ranks: int, cases: Sequence[str], folder: Path, python: Sequence[str] = (sys.executable,)
    ) -> None:
        self.ranks = ranks
        self._python = python
        self._left = list(cases)  # without a verdict
        self._folder = folder
        self._verdicts: dict[str, Verdict] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._report: TextIO | None = None
        self._running: str | None = None
        self._starts = self._deaths = 0
        self._heard = 0.0

    def verdict(self, case: str) -> Verdict:
        """How this case has ended; waits for it."""
        while case not in self._verdicts:
            if self._process is None:
                self._running = None
                self._start()
            self._read()
            assert self._process is not None
            if self._process.poll() is not None:
                self._read()
                self._bury(f"the ranks ended with exit code {self._process.returncode}")
            elif time.monotonic() - self._heard > SILENCE:
                self._bury(f"nothing was heard for {SILENCE} s")
            elif case not in self._verdicts:
                time.sleep(0.02)
        if not self._left and self._process is not None:
            return self._last(self._verdicts[case])
        return self._verdicts[case]

    def end(self) -> None:
        """End the ranks, whatever they do."""
        if self._process is not None:
            self._process.terminate()  # mpirun ends its ranks
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._report is not None:
            self._report.close()
        self._process = self._report = None

    @property
    def _here(self) -> Path:
        return self._folder / f"{self.ranks}-ranks-{self._starts}"

    def _start(self) -> None:
        self._starts += 1
        self._here.mkdir(parents=True)
        (self._here / "cases").write_text("\n".join(self._left))
        (self._here / "report").touch()
        self._report = (self._here / "report").open()
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("PMI", "MPI", "OMPI", "SLURM"))
        }
        paths = {"PYTHONPATH": str(REPOSITORY), FOLDER: str(self._here), SHARED: str(self._folder)}
        options = [
            "-q",
            "--tb=short",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            f"--timeout={LIMIT}",
            "--timeout-method=signal",
        ]
        with (self._here / "out").open("wb") as out, (self._here / "err").open("wb") as err:
            self._process = subprocess.Popen(
                [MPIRUN, "-n", str(self.ranks), *self._python, "-m", "pytest", *options, f"@{self._here / 'cases'}"],
                cwd=REPOSITORY,
                env=clean | {"OMP_NUM_THREADS": "1"} | paths,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self._heard = time.monotonic()

    def _read(self) -> None:
        """Take in what the ranks have reported since."""
        assert self._report is not None
        while line := self._report.readline():
            self._heard = time.monotonic()
            said: dict[str, Any] = json.loads(line)
            if "began" in said:
                self._running = said["began"]
            else:
                self._settle(said["ended"], Verdict(said["outcome"], said["text"]))
                self._running = None

    def _settle(self, case: str, verdict: Verdict) -> None:
        self._verdicts[case] = verdict
        self._left.remove(case)

    def _bury(self, how: str) -> None:
        """The ranks have ended, or are ended now, before all cases were done: the one that was on is to blame."""
        self.end()
        self._deaths += 1
        text = f"on {self.ranks} ranks: {how}\n{self._last_words()}"
        if self._running is None or self._deaths == DEATHS:
            before = f" after {self._deaths} launches that ended early" if self._running else ""
            for case in [each for each in self._left if each != self._running]:
                self._settle(case, Verdict("failed", f"not run{before}: {text}"))
        if self._running is not None:
            self._settle(self._running, Verdict("failed", f"during this case, {text}"))
        self._running = None

    def _last(self, verdict: Verdict) -> Verdict:
        """That of the last case, which also answers for how the ranks end."""
        assert self._process is not None
        try:
            code = self._process.wait(LEAVING)
        except subprocess.TimeoutExpired:
            code = None
        complaints = "" if code == 0 else self._last_words()
        passed = all(each.outcome != "failed" for each in self._verdicts.values())
        complaints = complaints or (self._here / "err").read_text(errors="replace")
        self.end()
        if passed and (code != 0 or complaints):
            return Verdict("failed", f"after the last case, the ranks ended with exit code {code}\n{complaints}")
        return verdict

    def _last_words(self) -> str:
        parts = []
        for file in (*sorted(self._here.glob("stuck-*")), self._here / "err", self._here / "out"):
            if file.exists() and (text := file.read_text(errors="replace").strip()):
                parts.append(f"--- {file.name}\n{text[-6000:]}")
        return "\n".join(parts)


class Launches:
    """One launch at a time.

    Args:
        folder: All of them write below it.
        copied: How to start a rank that has loaded already what it needs.
    """

    def __init__(self, folder: Path, copied: Sequence[str]) -> None:
        self._folder = folder
        self._copied = copied
        self._launches: dict[int, Launch] = {}

    def verdict(self, item: pytest.Item) -> Verdict:
        """How this test has ended on its ranks; waits for it."""
        ranks = ranks_of(item)
        for number, other in self._launches.items():
            if number != ranks:
                other.end()
        if ranks not in self._launches:
            cases = [each.nodeid for each in item.session.items if ranks_of(each) == ranks]
            python = (sys.executable,) if ranks in ANEW else self._copied
            self._launches[ranks] = Launch(ranks, cases, self._folder, python)
        return self._launches[ranks].verdict(item.nodeid)

    def end(self) -> None:
        """End all ranks."""
        for launch in self._launches.values():
            launch.end()


@pytest.fixture(scope="session")
def launches(tmp_path_factory: pytest.TempPathFactory, forkserver: Path) -> Iterator[Launches]:
    found = Launches(tmp_path_factory.mktemp("launches"), stand_in(forkserver))
    yield found
    found.end()


@pytest.fixture
def processes(launches: Launches, ranks: int) -> Launches:
    """In the place of the ranks, who are elsewhere."""
    return launches


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One number of ranks after the other."""
    mine = [item for item in items if ranks_of(item)]
    order = iter(sorted(mine, key=ranks_of))
    items[:] = [next(order) if ranks_of(item) else item for item in items]
    for item in mine:
        item.fixturenames[:] = ["processes"]  # type: ignore[attr-defined]  # all others are for the ranks
        item.add_marker(pytest.mark.timeout(0), append=False)  # the launch ends what hangs


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """See what came of a test, in the place of running it."""
    if not MPIRUN.exists():
        lacking("mpirun beside this Python", "install the extra mpich")
    verdict = pyfuncitem.funcargs["processes"].verdict(pyfuncitem)
    if verdict.outcome == "failed":
        pytest.fail(verdict.text, pytrace=False)
    if verdict.outcome == "skipped":
        pytest.skip(verdict.text)
    return True
