"""The studies that are in docs/studies, and what docs/studies.md and docs/error_feedback.md say of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gossip.study.cells import refusal
from gossip.study.description import read, study_of
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "docs" / "studies"
STUDIES = sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.endswith("_network"))
TEXT = "".join((REPOSITORY / "docs" / name).read_text() for name in ("studies.md", "error_feedback.md"))
CELLS = {"base_graph": 7, "heterogeneity": 6, "mnist": 12, "one_peer": 6, "ring_degrades": 15, "two_data_centres": 12}
CELLS |= {"error_feedback": 23}


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_can_be_planned(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)  # from where its network is found
    cells = study_of(read(FOLDER / f"{name}.yaml")).grid.cells()
    assert len(cells) == CELLS[name]
    assert [refusal({**cell.options, **{key: each.low for key, each in cell.tuned.items()}}) for cell in cells] == [
        None for _ in cells
    ]


def test_the_pages_tell_of_every_study_and_what_they_name_is_there() -> None:
    assert (
        sorted(set(re.findall(r"^    python -m gossip\.study docs/studies/(\w+)\.yaml", TEXT, re.MULTILINE))) == STUDIES
    )
    named = re.findall(r"\]\(([^)#:]+)\)", TEXT) + re.findall(r"docs/(\S+?\.\w+)", TEXT)
    assert len(named) >= 2 * len(STUDIES)
    assert [name for name in named if not (REPOSITORY / "docs" / name).exists()] == []
    pictures = {Path(name).name for name in named if name.endswith(".svg")}
    assert pictures == {path.name for path in FOLDER.glob("*.svg")}
