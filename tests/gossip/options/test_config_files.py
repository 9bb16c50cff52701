"""Configurations that somebody has written by hand, or damaged: one line each, and no code of theirs is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossip.errors import UsageError
from gossip.options.command_line import parse

GROWS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{there}: &{there} [{', '.join(9 * [f'*{before}'])}]\n"
    for before, there in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"steps: 3\x00", b"- 1\n", b"hello", b"null\n", b"[" * 5000, b"{a: " * 3000, b"a: &a [*a]\n",
     b"steps: [1]\n", b"steps: " + b"9" * 5000, b"workload: 3\n", b"workload:\n  init_ar", GROWS.encode()],
)  # fmt: skip
def test_damaged_configurations(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        parse(["--config", str(file)], 1)
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore")  # jsonargparse tells its own users of import paths
@pytest.mark.parametrize(
    "content",
    ["steps: !!python/object/apply:os.mkdir [{}]\n", "workload:\n  class_path: os.mkdir\n  init_args: {{path: {}}}\n",
     "algorithm:\n  class_path: subprocess.Popen\n  init_args: {{args: [mkdir, {}]}}\n"],
)  # fmt: skip
def test_a_configuration_runs_no_code(content: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content.format(tmp_path / "made"))
    with pytest.raises(UsageError) as refused:
        parse([f"--config={file}"], 1)
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_anchors_may_be_used(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("steps: &steps 7\nevaluate_every: *steps\nworkload: Digits\n")
    training = parse(["--config", str(file)], 1)
    assert (training.steps, training.evaluate_every) == (7, 7)
