"""What the fields of a dataclass are for, as the docstrings beneath them say it: for help texts and signatures."""

from __future__ import annotations

import ast
import inspect
import textwrap


def descriptions(kind: type) -> dict[str, str]:
    """Field -> the docstring beneath it, in paragraphs of one line each, for those that the class itself declares."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for field, after in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            paragraphs = inspect.cleandoc(str(after.value.value)).split("\n\n")
            found[ast.unparse(field.target)] = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    return found
