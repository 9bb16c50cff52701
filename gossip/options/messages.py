"""What is wrong with a command line, in one line."""

from __future__ import annotations

import difflib
import re

from gossip.errors import UsageError
from gossip.options.kinds import KINDS, names
from topologies.command.own import where_to_look


class NotUnderstoodError(UsageError):
    """A command line with words that no option has."""


def one_line(message: str) -> str:
    """A parser's message on one line that names the option, what was given and what is allowed."""
    text = " ".join(message.split())
    out_of_range = re.search(r"(\w+: \S+ = .*? is not allowed; it must be .*?)( - Expected| Given value|$)", text)
    if out_of_range:
        return out_of_range.group(1)
    keys = re.findall(r'Parser key "([^"]+)":', text)
    option = "--" + ".".join(keys)
    unknown = re.search(r"Expected a dot import path string: (\S+)", text)
    if unknown and keys:
        return _unknown_name(option, unknown.group(1), KINDS.get(keys[-1].split(".")[-1]))
    refused = re.search(r"Option '(\S+)' is not accepted", text)
    if refused and keys:
        named = re.search(r"class_path[= ]'([\w.]+)'", text)
        help_for = named.group(1).split(".")[-1] if named else "NAME"
        return f"{option} has no option {refused.group(1)!r}; see {option}.help {help_for}"
    for noise in (
        r'Parser key "[^"]+": ',
        r"Problem with given class_path \S+ ",
        r"Type \S+ \S+ expects a function or a callable class: ",
        r"Does not validate against any of the Union subtypes Subtypes: \[.*?\] Errors: - ",
        r" - Expected a <class 'NoneType'>",
        r"( Given value type: (<class )?\S+|\.? (Got|Given) value: Namespace.*)",
    ):
        text = re.sub(noise, "", text)
    text = re.sub(r"Expected an? (typing\.Literal)?", lambda match: "expected " + ("one of " if match[1] else ""), text)
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text)
    missing = re.search(r"No module named '([\w.]+)'", text)
    if missing and "PYTHONPATH" not in text:
        text += where_to_look(ModuleNotFoundError(name=missing[1]))
    return f"{option}: {text}" if keys else text


def _unknown_name(option: str, name: str, kind: type | None) -> str:
    known = sorted(names(kind) or {kind.__name__} if kind else set().union(*map(names, KINDS.values())))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{option} does not know {name!r}; {hint}it may be {', '.join(known)}, or an import path"
