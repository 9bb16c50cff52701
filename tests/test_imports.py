"""What may import what, and how large a file, a function and its list of parameters may be."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

from tests.conftest import REPOSITORY

PACKAGES = ("gossip", "algorithms", "topologies")
HEAVY = ("sklearn", "matplotlib", "numba", "mpi4py")  # which 64 ranks, or a process without MPI, would all pay for
COMMANDS = ("train", "study", "hpc", "bench", "doctor", "reproduce", "advise")

LINES, FUNCTION, PARAMETERS = 400, 50, 6


@dataclass(frozen=True)
class Import:
    """A module, by its full name, that another one imports in some line."""

    importer: str
    imported: str
    line: int
    when: str  # "loaded", "called" or "checked", by a type checker alone

    def __str__(self) -> str:
        return f"{file_of(self.importer).relative_to(REPOSITORY)}:{self.line} imports {self.imported}"


@cache
def modules() -> dict[str, Path]:
    """Those of this project, by name."""
    found = {}
    for package in PACKAGES:
        for file in sorted((REPOSITORY / package).rglob("*.py")):
            parts = file.relative_to(REPOSITORY).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def file_of(module: str) -> Path:
    return modules()[module]


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(file_of(module).read_text())


def statements(module: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """Each import, and when it is made."""

    def visit(node: ast.AST, when: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, when
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from visit(child, "checked")
            for child in node.orelse:
                yield from visit(child, when)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, "called" if inside and when == "loaded" else when)

    yield from visit(tree_of(module), "loaded")


@cache
def imports() -> list[Import]:
    """All of them. A name that is imported from a package is the submodule of this name where there is one."""
    found = []
    for module, file in modules().items():
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for node, when in statements(module):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
                base = ".".join(part for part in (base, node.module) if part)
                full = [f"{base}.{alias.name}" for alias in node.names]
                names = sorted({name if name in modules() else base for name in full})
            found += [Import(module, name, node.lineno, when) for name in names]
    return found


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def outside(*allowed: str, of: str = "gossip") -> Callable[[str], bool]:
    """What is in one package, but in none of these."""
    return lambda module: within(module, of) and not within(module, *allowed)


def inside(*packages: str) -> Callable[[str], bool]:
    return lambda module: within(module, *packages)


TRANSPORTS = "gossip.network.transports"
UPWARDS = [f"gossip.{name}" for name in ("records", "checkpoint", "execution", "console")]

# Who must not import what, not even in a function.
RULES: dict[str, tuple[Callable[[str], bool], Callable[[str], bool]]] = {
    "algorithms know nothing of gossip": (inside("algorithms"), inside("gossip")),
    "algorithms know at most protocol objects of topologies": (
        inside("algorithms"),
        inside("topologies"),
    ),
    "topologies know neither algorithms nor gossip": (inside("topologies"), inside("algorithms", "gossip")),
    "topologies know neither torch nor MPI": (inside("topologies"), inside("torch", "mpi4py")),
    "mpi4py is for gossip/processes and gossip/network/transports": (
        lambda module: not within(module, "gossip.processes", TRANSPORTS),
        inside("mpi4py"),
    ),
    "processes know neither the network nor what is above it": (
        inside("gossip.processes"),
        outside("gossip.processes", "gossip.errors", "gossip.spans"),
    ),
    "the network knows no transport": (inside("gossip.network.network"), inside(TRANSPORTS)),
    "workloads know of gossip only workloads and errors": (
        inside("gossip.workloads"),
        outside("gossip.workloads", "gossip.errors"),
    ),
    "drivers know nobody who looks at them": (inside("gossip.drivers"), inside(*UPWARDS)),
    "records do not know the execution": (inside("gossip.records"), inside("gossip.execution")),
    "checkpoints do not know the execution": (inside("gossip.checkpoint"), inside("gossip.execution")),
}
ALLOWED = {("hpc", "train"), ("hpc", "study"), ("reproduce", "study"), ("advise", "study")}  # made from others


def offenders(importer: Callable[[str], bool], imported: Callable[[str], bool]) -> list[str]:
    return [
        str(each)
        for each in imports()
        if each.when != "checked" and importer(each.importer) and imported(each.imported)
    ]


def listed(found: list[str]) -> str:
    return "".join(f"\n  {each}" for each in found)


@pytest.mark.parametrize("rule", RULES)
def test_imports(rule: str) -> None:
    found = offenders(*RULES[rule])
    assert not found, f"{rule}:{listed(found)}"


def test_transports_do_not_import_each_other() -> None:
    def transport(module: str) -> str:
        return module.removeprefix(f"{TRANSPORTS}.").split(".")[0] if within(module, TRANSPORTS) else ""

    found = [
        str(each)
        for each in imports()
        if each.when != "checked"
        and transport(each.importer)
        and transport(each.imported) not in ("", "links", transport(each.importer))
    ]
    assert not found, listed(found)


def test_commands_do_not_import_each_other() -> None:
    def command(module: str) -> str:
        name = module.removeprefix("gossip.").split(".")[0]
        return name if within(module, "gossip") and name in COMMANDS else ""

    found = []
    for each in imports():
        pair = command(each.importer), command(each.imported)
        if all(pair) and pair[0] != pair[1] and pair not in ALLOWED and each.when != "checked":
            found.append(str(each))
    assert not found, listed(found)


@pytest.mark.parametrize("start", [*PACKAGES, "gossip.train"])
def test_what_is_heavy_is_loaded_where_it_is_used(start: str) -> None:
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_node(start)
    for each in imports():
        if each.when == "loaded":
            graph.add_edge(each.importer, each.imported)
            parts = each.imported.split(".")
            graph.add_edges_from((each.importer, ".".join(parts[:depth])) for depth in range(1, len(parts)))
    paths = nx.single_source_shortest_path(graph, start)
    found = [" -> ".join(paths[heavy]) for heavy in HEAVY if heavy in paths]
    assert not found, listed(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle(package: str) -> None:
    """Neither of imports where modules are loaded nor with those in functions, which only hide a circle."""
    graph: nx.DiGraph = nx.DiGraph()
    lines: dict[tuple[str, str], Import] = {}
    for each in imports():
        if each.when != "checked" and each.imported in modules() and each.imported != each.importer:
            graph.add_edge(each.importer, each.imported)
            lines.setdefault((each.importer, each.imported), each)
    found = []
    for circle in nx.strongly_connected_components(graph):
        if len(circle) > 1 and any(within(module, package) for module in circle):
            edges = nx.find_cycle(graph.subgraph(circle))
            found.append(" -> ".join([edges[0][0], *(edge[1] for edge in edges)]) + f" (one of {len(circle)} modules)")
            found += [f"  {lines[edge[0], edge[1]]}" for edge in edges]
    assert not found, f"circles:{listed(found)}"


def test_no_file_is_too_long() -> None:
    lengths = {file: len(file.read_text().splitlines()) for file in modules().values()}
    found = [f"{file.relative_to(REPOSITORY)} has {length} lines" for file, length in lengths.items() if length > LINES]
    assert not found, f"more than {LINES} lines:{listed(found)}"


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All but those of studies: where they are, and what they are."""
    for module, file in modules().items():
        if not within(module, "gossip.reproduce"):
            for node in ast.walk(tree_of(module)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{file.relative_to(REPOSITORY)}:{node.lineno} {node.name}", node


def length_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    skipped = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - skipped


def test_no_function_is_too_long() -> None:
    found = [f"{where} has {length_of(each)} lines" for where, each in functions() if length_of(each) > FUNCTION]
    assert not found, f"more than {FUNCTION} lines without the docstring:{listed(found)}"


def test_no_function_has_too_many_positional_parameters() -> None:
    found = []
    for where, each in functions():
        names = [argument.arg for argument in (*each.args.posonlyargs, *each.args.args)]
        names = names[1:] if names[:1] in (["self"], ["cls"]) else names
        if len(names) > PARAMETERS:
            found.append(f"{where} has {len(names)}: {', '.join(names)}")
    assert not found, f"more than {PARAMETERS} positional parameters:{listed(found)}"
