"""What is made of the runs of a study, or of any others: the page, the table, the data and the figures."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import gossip
from algorithms import DecentralizedSGD
from gossip.study.__main__ import main
from gossip.study.results import named
from gossip.study.statistics import chosen_target, curve, pareto, reached, spread
from gossip.study.tables import Entry, Table
from gossip.workloads import LeastSquares
from tests.conftest import REPOSITORY, lacking
from topologies import ring, star

STUDY = """
run: {workload: LogisticRegression, nodes: 4, steps: 12, evaluate_every: 3, algorithm: DecentralizedSGD}
set: {topology: [ring, one_peer_exponential, hypercube], algorithm.lr: [0.1, 1.0e+200]}
exclude: {topology: one_peer_exponential, algorithm.lr: 1.0e+200}
seeds: 3
"""


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small study with its page; runs of it diverge."""
    folder = tmp_path_factory.mktemp("reported")
    (folder / "small.yaml").write_text(STUDY)
    output = folder / "out"
    assert main([str(folder / "small.yaml"), "--processes", "1", "--output", str(output)]) == 0
    return output


def data(page: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    found: dict = json.loads(text)
    return found


def test_the_page_has_all_of_it(reported: Path) -> None:
    page = (reported / "report.html").read_text()
    assert "the run diverged: " in page and "4 cells" not in page and "5 cells · 15 runs" in page
    for run in (reported / "runs").iterdir():
        assert str(run) in page
    cells = data(page)["cells"]
    assert [cell["name"] for cell in cells] == [
        "ring, lr=0.1", "ring, lr=1e+200", "one_peer_exponential, lr=0.1", "hypercube, lr=0.1", "hypercube, lr=1e+200",
    ]  # fmt: skip
    assert cells[2]["ends"]["spectral gap"] == 1.0
    curves = cells[0]["curves"]["test_accuracy"]
    assert set(curves) == {"step", "bytes_sent_per_node", "messages_sent_per_node", "seconds"}
    assert curves["step"]["x"] == [0, 3, 6, 9, 12]
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', outside)
    assert page.count("<figure>") == 3


def test_data_and_tables_say_the_same(reported: Path) -> None:
    rows = list(csv.DictReader((reported / "data.csv").read_text().splitlines()))
    content = json.loads((reported / "data.json").read_text())
    ends = [float(row["test_accuracy"]) for row in rows if row["cell"] == "hypercube, lr=0.1" and row["step"] == "12"]
    assert len(ends) == 3
    (cell,) = [cell for cell in content["cells"] if cell["name"] == "hypercube, lr=0.1"]
    assert [run["history"][-1]["test_accuracy"] for run in cell["runs"]] == ends
    (row,) = [row for row in content["table"] if row["cell"] == "hypercube, lr=0.1"]
    assert row["test accuracy"] == pytest.approx(sum(ends) / 3)
    first = next(csv.DictReader((reported / "table.csv").read_text().splitlines()))
    assert first["cell"] == "ring, lr=0.1" and float(first["spectral gap"]) == pytest.approx(2 / 3)
    assert (reported / "table.md").read_text().count("\n") == 2 + 5
    assert r"\midrule" in (reported / "table.tex").read_text() and "_" not in (
        reported / "table.tex"
    ).read_text().replace(r"\_", "")
    names = {path.name for path in (reported / "figures").iterdir()}
    assert {"test_accuracy-over-bytes_sent_per_node.svg", "consensus_distance-over-step.pdf"} <= names


def test_a_study_that_is_repeated_has_the_same_page(reported: Path) -> None:
    page = (reported / "report.html").read_bytes()
    assert main([str(reported.parent / "small.yaml"), "--processes", "1", "--output", str(reported)]) == 0
    assert (reported / "report.html").read_bytes() == page


def test_any_runs_can_be_reported(reported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of `gossip.run`, here; with others of a study, whose searches are left out."""
    import numpy as np

    random = np.random.default_rng(0)
    workload = LeastSquares(random.normal(size=(4, 6, 3)), random.normal(size=(4, 6)))
    for topology in (ring(4), star(4)):
        for seed in (0, 1):
            gossip.run(
                workload, topology, DecentralizedSGD(0.05), steps=5, seed=seed, output=tmp_path / "runs", report=False
            )
    output = tmp_path / "report"
    assert (
        main(["report", str(tmp_path / "runs"), str(reported), "--output", str(output), "--target", "train_loss=0.5"])
        == 0
    )
    page = (output / "report.html").read_text()
    assert len(data(page)["cells"]) == 2 + 5
    assert "train loss of 0.5" in page
    assert main(["report", str(output)]) == 2
    assert "there are no runs in" in capsys.readouterr().err
    assert main(["report", str(reported), "--output", str(output), "--target", "speed=1"]) == 2
    assert (
        "--target speed is not measured by these runs; it may be one of bytes_sent_per_node" in capsys.readouterr().err
    )


@pytest.mark.parametrize("width", [480, 1280])
def test_a_browser_draws_it_without_an_error(reported: Path, tmp_path: Path, width: int) -> None:
    if find_spec("plotly") is None:
        lacking("plotly", "pip install plotly")
    browser = shutil.which("chromium")
    if browser is None:
        lacking("browser", "apt-get install chromium")
    page = tmp_path / "page.html"
    errors = "<script>window.addEventListener('error', (e) => document.body.dataset.error = e.message)</script>"
    wide = "document.body.dataset.wide = document.documentElement.scrollWidth"
    hover = "Plotly.Fx.hover(document.querySelector('.plot'), [{curveNumber: 2, pointNumber: 1}])"
    last = f"<script>{wide}; setTimeout(() => {hover}, 500)</script>"
    page.write_text(
        (reported / "report.html").read_text().replace("<body>", f"<body>{errors}").replace("</body>", f"{last}</body>")
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'chrome'}", "--dump-dom"]
    done = subprocess.run(
        [browser, *options, "--virtual-time-budget=5000", "--host-resolver-rules=MAP * ~NOTFOUND",
         f"--window-size={width},2000", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "data-error" not in done.stdout
    (wide_is,) = re.findall(r'data-wide="(\d+)"', done.stdout)
    assert int(wide_is) <= max(width, 500)  # a browser's window has a least width
    assert 'class="hovertext"' in done.stdout
    assert done.stdout.count('class="main-svg"') >= 4
    assert done.stdout.count('class="trace scatter') >= 4 * 3


# What several seeds say


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9))
def test_intervals_are_those_of_student(values: Sequence[float]) -> None:
    found = spread(values)
    assert found is not None and found.interval is not None and found.deviation is not None
    assert found.mean == pytest.approx(sum(values) / len(values), abs=1e-9)
    scale = found.deviation / math.sqrt(len(values))
    low, _ = stats.t.interval(0.95, len(values) - 1, found.mean, scale) if scale > 1e-9 else (found.mean, 0)
    assert found.mean - found.interval == pytest.approx(low, abs=1e-6)


def test_a_single_seed_has_no_interval() -> None:
    found = spread([2.0])
    assert found is not None and (found.mean, found.deviation, found.interval) == (2.0, None, None)
    assert spread([]) is None


def history(*losses: float | None, accuracy: bool = False) -> list[dict]:
    key = "test_accuracy" if accuracy else "test_loss"
    return [{"step": 5 * k, "bytes_sent_per_node": 10.0 * k, key: loss} for k, loss in enumerate(losses)]


def test_curves_are_means_at_the_steps_of_all_runs() -> None:
    found = curve([history(4.0, 2.0, 1.0), history(6.0, 4.0)], "bytes_sent_per_node", "test_loss")
    assert (found["x"], found["mean"]) == ([0, 10], [5, 3])
    assert found["mean"][0] - found["low"][0] == pytest.approx(12.706, rel=1e-3)  # t(0.975, 1) sqrt(2) / sqrt(2)
    assert curve([history(4.0, None, 1.0)], "step", "test_loss")["x"] == [0, 10]
    assert curve([], "step", "test_loss")["x"] == []


def test_targets() -> None:
    record = reached(history(4.0, 2.0, 1.0), "test_loss", 2.0)
    assert record is not None and record["step"] == 5
    assert reached(history(4.0, 2.0), "test_loss", 1.0) is None
    record = reached(history(0.1, 0.5, 0.9, accuracy=True), "test_accuracy", 0.6)
    assert record is not None and record["step"] == 10
    assert chosen_target([[history(4.0, 2.0)], [history(4.0, 1.0)]]) == ("test_loss", 1.3)
    assert chosen_target([[history(0.0, 1.0, accuracy=True)], [history(0.0, 0.5, accuracy=True)]]) == (
        "test_accuracy",
        0.9,
    )
    assert chosen_target([[history(1.0, 2.0)]]) is None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8))
def test_the_front_is_what_no_other_is_better_than(points: list[tuple[int, int]]) -> None:
    front = [point for point, on in zip(points, pareto(points, "test_loss"), strict=True) if on]
    assert front
    for cost, loss in front:
        assert not any(c <= cost and v <= loss and (c, v) != (cost, loss) for c, v in points)
    assert pareto([(1, 0.9), (2, 0.9), (2, 0.95), None], "test_accuracy") == [True, False, True, False]


def test_cells_are_named_by_what_tells_them_apart() -> None:
    options = [
        {"topology": "ring", "nodes": 4, "algorithm": "ChocoSGD", "algorithm.gamma": 0.1},
        {"topology": "ring", "nodes": 4, "algorithm": "ChocoSGD", "algorithm.gamma": 0.3},
        {"topology": "star", "nodes": 4, "algorithm": "algorithms.ExactDiffusion"},
    ]
    assert [name for name, _ in named(options)] == [
        "ring, ChocoSGD, gamma=0.1",
        "ring, ChocoSGD, gamma=0.3",
        "star, ExactDiffusion",
    ]
    assert named(options[:1])[0][0] == "all"


def test_special_letters_in_tables() -> None:
    found = Table(["a_b"], ["x|y_z 5 %"], [[Entry("1 ± 2", 1.0, True)]], "test_loss", 0.0)
    assert found.markdown().splitlines()[-1] == r"| x\|y_z 5 % | **1 ± 2** |"
    assert found.latex().splitlines()[4] == r"x|y\_z 5 \% & \textbf{1 $\pm$ 2} \\"


def test_the_script_of_the_page_is_part_of_the_package() -> None:
    assert (REPOSITORY / "gossip/study/page.js").exists()
