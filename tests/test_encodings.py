"""Files are UTF-8, whatever the locale."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.conftest import REPOSITORY

TEXT = {"read_text", "write_text", "FileHandler"}


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    for package in ("gossip", "algorithms", "topologies"):
        for file in sorted((REPOSITORY / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    yield f"{file.relative_to(REPOSITORY)}:{node.lineno}", node, name


def test_every_text_file_is_opened_with_its_encoding() -> None:
    found = []
    for where, call, name in calls():
        named = {keyword.arg for keyword in call.keywords}
        modes = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        binary = any(set(mode) <= set("rwxab+") and "b" in mode for mode in modes)
        opens = name == "open" and not binary and modes != []
        if (name in TEXT or opens) and "encoding" not in named:
            found.append(f"{where} {ast.unparse(call)[:80]}")
    assert not found, "\n".join(found)
