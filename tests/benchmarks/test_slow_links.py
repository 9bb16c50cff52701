"""The benchmark behind slow links: what can be said of it without network namespaces."""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from algorithms import Algorithm
from gossip.needs import check_needs
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "benchmarks" / "slow_links"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_each_method_has_settings_and_can_be_run(module: Any) -> None:
    methods: ModuleType = module("methods")
    for name, method in methods.METHODS.items():
        chosen = methods.settings(name)
        algorithm = method.make(chosen["lr"], chosen["gamma"])
        assert isinstance(algorithm, Algorithm) and chosen["gamma"] in method.gammas
        assert method.topology().n == methods.NODES
        check_needs(algorithm, method.topology())


def test_tables_have_medians_and_say_what_did_not_reach_the_target(module: Any) -> None:
    run = {"method": "D-SGD", "steps": 5, "accuracy": 0.95, "seconds": 2.0, "predicted": 1.0, "megabytes": 3.0}
    runs = [run, run | {"seconds": 4.0}, run | {"seconds": 90.0}, *[run | {"method": "other", "accuracy": 0.5}] * 3]
    link = {"latency": 1e-3, "bandwidth": 12.5e6, "overhead": 0.0}
    host = {"cores": 2, "message": 1e-4, "byte": 4e-9}
    record = {"rate": "100mbit", "link": link, "host": host, "quick": False, "runs": runs}
    text = "\n".join(module("tables").lines(record))
    assert "| D-SGD | 5 | 0.950 | 3.00 | 4.00 | 1.00 | 0.25 |" in text
    assert "| other | 5 (not reached) |" in text and "100 Mbit/s" in text
    later = [run | {"method": name, "predicted": 3.0} for name in ("D-SGD", "other")]
    both = module("tables").ratios([record, record | {"rate": "1gbit", "runs": later}])
    assert "| method | 100mbit | 1gbit |" in both and "| D-SGD | 0.25 | 1.50 |" in both
    assert "| all | 0.25 to 0.50 | 1.50 to 1.50 |" in both
    assert "of 2 cores that all ranks share, a message takes 0.10 ms and 4.0 ns a byte" in text


def test_wrong_options_end_in_one_line_before_anything_is_made(tmp_path: Path) -> None:
    done = subprocess.run([FOLDER / "run.sh", "--fast"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "run.sh: --fast is no option; there is --quick\n")
