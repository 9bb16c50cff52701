"""Tests that several ranks run together, as each of them sees it: after each test they agree on how it has ended."""

from __future__ import annotations

import faulthandler
import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from gossip.network import Communicator
from gossip.processes import launcher
from gossip.processes.communicator import listed

FOLDER = "GOSSIP_TEST_LAUNCH"  # in the environment of the ranks: where they write
SHARED = "GOSSIP_TEST_SHARED"  # the same for all launches
LIMIT = 120  # seconds that a test may take, unless it says otherwise
PATIENCE = 60.0  # seconds that ranks wait for each other in a test
GRACE = 30  # more seconds, at most, after which a rank that no exception reaches is ended, and with it the others

Said = tuple[str, str]  # outcome, text


def ranks_of(item: pytest.Item) -> int:
    """On how many ranks a test runs; 0 if it is not for ranks."""
    ranks: int = item.callspec.params["ranks"] if item.get_closest_marker("ranks") else 0
    return ranks


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test on ranks, which takes `processes`, says on how many: @pytest.mark.ranks(2, 3)."""
    if "processes" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("ranks")
        assert marker is not None, f"{metafunc.definition.nodeid} does not say on how many ranks: @pytest.mark.ranks"
        metafunc.parametrize("ranks", marker.args, ids=[f"ranks{number}" for number in marker.args])


class Agreement:
    """What the ranks of a launch say of each test.

    Args:
        folder: Where rank 0 reports each test, and each rank how it was stuck.
    """

    def __init__(self, folder: Path) -> None:
        self.world = launcher.world()
        self._report = (folder / "report").open("a")
        self._stuck = (folder / f"stuck-{self.world.rank}").open("w")
        self._reports: list[pytest.TestReport] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        marker = item.get_closest_marker("timeout")
        limit = float(marker.args[0]) if marker else LIMIT
        self._say(began=item.nodeid)
        self._reports.clear()
        faulthandler.dump_traceback_later(limit + min(limit, GRACE), exit=True, file=self._stuck)
        try:
            result = yield
            everyone = self._gather()
        finally:
            faulthandler.cancel_dump_traceback_later()
        outcome, text = together(everyone)
        self._say(ended=item.nodeid, outcome=outcome, text=text)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(report)

    def _gather(self) -> list[Said]:
        mine = said(self._reports)
        if mine[0] == "failed":  # should the others not come to the end of the test, this is all that is left of it
            self._stuck.write(f"The test has failed here:\n{mine[1]}\n\n")
            self._stuck.flush()
        everyone = self.world.gather(mine)
        self._stuck.seek(0)
        self._stuck.truncate()
        return everyone

    def _say(self, **line: str) -> None:
        if self.world.rank == 0:
            self._report.write(json.dumps(line) + "\n")
            self._report.flush()


def said(reports: list[pytest.TestReport]) -> Said:
    """How a test has ended on this rank."""
    for report in reports:
        if report.failed:
            printed = "\n".join(f"--- {name}\n{text}" for name, text in report.sections)
            return "failed", f"{report.longreprtext}\n{printed}".rstrip()
        if report.skipped:
            return "skipped", report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    if complaints := "".join(report.capstderr for report in reports[-1:]):
        return "failed", f"it has passed, but for what it says on stderr:\n{complaints}"
    return "passed", ""


def together(everyone: list[Said]) -> Said:
    """How a test has ended on all ranks: it has failed if it has on any, and says where."""
    for outcome in ("failed", "skipped"):
        ranks: dict[str, list[int]] = {}
        for rank, each in enumerate(everyone):
            if each[0] == outcome:
                ranks.setdefault(each[1], []).append(rank)
        if ranks:
            texts = (f"[{listed(those)} of {len(everyone)}] {text}" for text, those in ranks.items())
            return outcome, "\n\n".join(texts)
    return "passed", ""


def pytest_configure(config: pytest.Config) -> None:
    folder = Path(os.environ[FOLDER])
    agreement = Agreement(folder)
    config.pluginmanager.register(agreement)
    # Else ranks, and launches side by side, tidy up the same folders of earlier runs at the same time.
    temporary = folder / f"tmp-{agreement.world.rank}"
    temporary.mkdir()
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(temporary)


@pytest.fixture
def processes(ranks: int, request: pytest.FixtureRequest) -> Iterator[Communicator]:
    """The ranks, with a communicator of this test's own."""
    from mpi4py import MPI

    failed = request.session.testsfailed
    communicator = launcher.over(MPI.COMM_WORLD)
    assert communicator.size == ranks
    communicator.patience = PATIENCE
    yield communicator
    if request.session.testsfailed == failed:  # otherwise others may still be using it
        communicator.close()
