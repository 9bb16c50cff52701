"""Compiled code that can be kept nowhere, or has been damaged where it is kept."""

from __future__ import annotations

import errno
import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import numba
import pytest

from algorithms.numerics import compiling
from tests.conftest import REPOSITORY

SOURCE = """
from algorithms.numerics.compiling import compiled


@compiled
def twice(x):
    return 2 * x
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Gives a module with a compiled function, whose code is kept in the folder that numba is told."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    compiling._warn.cache_clear()
    (tmp_path / "doubling.py").write_text(SOURCE)
    return load(tmp_path)


def load(folder: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("doubling", folder / "doubling.py")
    assert specification is not None and specification.loader is not None
    found = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(found)
    return found


def test_code_is_kept(module: ModuleType, tmp_path: Path) -> None:
    assert module.twice(2) == 4
    assert list(tmp_path.glob("kept/**/*.nbc"))
    again = load(tmp_path)
    assert again.twice(2) == 4
    assert sum(again.twice.stats.cache_hits.values()) == 1


def test_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    (tmp_path / "doubling.py").write_text(SOURCE)
    (tmp_path / "__pycache__").touch()  # where the folder beside the code would be
    compiling._warn.cache_clear()
    with pytest.warns(RuntimeWarning, match="numba can keep compiled code nowhere: .* set NUMBA_CACHE_DIR"):
        found = load(tmp_path)
    assert found.twice(2) == 4
    with warnings.catch_warnings():  # once is enough
        warnings.simplefilter("error")
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04"])
def test_damaged_files_are_passed_over(module: ModuleType, tmp_path: Path, content: bytes) -> None:
    module.twice(2)
    for file in tmp_path.glob("kept/**/*.nb?"):
        file.write_bytes(content)
    assert load(tmp_path).twice(2) == 4


def test_a_full_disk_is_a_warning(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(numba.core.caching.FunctionCache, "save_overload", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert module.twice(2) == 4


def test_where_it_is_kept(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = compiling.cache_folder()
    assert folder is not None and folder.is_relative_to(tmp_path / "kept")
    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    assert compiling.cache_folder() is None


def test_no_function_is_kept_in_another_way() -> None:
    """numba's own cache ends with an error where there is no folder."""
    files = [
        file for package in ("algorithms", "gossip", "topologies") for file in (REPOSITORY / package).rglob("*.py")
    ]
    assert files
    own = REPOSITORY / "algorithms/numerics/compiling.py"
    assert [file for file in files if file != own and "cache=True" in file.read_text(encoding="utf-8")] == []
