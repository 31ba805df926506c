"""Reads who imports whom in the packages: the rooms of the house, arrows between them, circles.

A room is a package that `ALLOWED` names; a file belongs to the room with the longest name that it
lies in. `tests/test_imports.py` checks the table, `docs/generate_architecture.py` draws it.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

_FOUNDATION = {"schemas", "schemas.store", "foundation", "foundation.weights", "foundation.images"}
_STAGES = _FOUNDATION | {"bank_builder", "query", "query.exports"}
_FACE = _STAGES | {"rim", "rim.html", "rim.evaluation", "rim.inspection"}

# What each room may import of the others.
ALLOWED: Mapping[str, set[str]] = {
    "schemas": set(),
    "schemas.store": {"schemas"},
    "foundation.images": {"schemas"},
    "foundation.weights": {"schemas", "schemas.store"},
    "foundation": {"schemas", "schemas.store", "foundation.weights", "foundation.images"},
    "bank_builder": _FOUNDATION,
    "query": _FOUNDATION,
    "query.exports": {*_FOUNDATION, "query"},
    "rim.html": {"schemas"},
    "rim.evaluation": _STAGES | {"rim.html"},
    "rim.inspection": _STAGES | {"rim.html"},
    "rim": _STAGES | {"rim.html", "rim.evaluation", "rim.inspection"},
    "rim.check": _FACE,
    "rim.app": _FACE,
    "rim.cli": _FACE | {"rim.check", "rim.app"},
    "miniature": set(),
    "miniature.training": {*_FOUNDATION, "miniature"},
    "benchmarks": _FACE | {"rim.cli", "miniature", "miniature.training"},
}

PACKAGES = tuple(room for room in ALLOWED if "." not in room)
"""The top-level packages."""

# Files that may import one room more, and why.
EXCEPTIONS: Mapping[str, str] = {
    "rim.__main__": "rim.cli",  # `python -m rim` is the command
    "rim.evaluation.datasets.miniature": "miniature",  # fresh scenes to score on
    "query.segmentation": "query.exports",  # `Segmentation.save` is the one door to the formats
}


@dataclass(frozen=True)
class Import:
    """One imported module: its whole name, its line, and whether importing the file imports it."""

    module: str
    line: int
    at_import_time: bool

    @property
    def package(self) -> str:
        """The top-level package."""
        return self.module.partition(".")[0]


def module_name(path: Path) -> str:
    """The dotted name of a Python file, relative to the repository."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str | None:
    """The room that a module belongs to; None for a module that is not ours."""
    rooms = [room for room in ALLOWED if module == room or module.startswith(f"{room}.")]
    return max(rooms, key=len, default=None)


def imports_of(source: str) -> Iterator[Import]:
    """All imports of a file, also those inside functions and by `import_module("name")`.

    `from a import b` is given as `a.b`, which may be a module or a name in module `a`.
    """

    def visit(node: ast.AST, outside: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, outside)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                yield Import(f"{node.module}.{alias.name}", node.lineno, outside)
        elif isinstance(node, ast.Call) and node.args:
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else None
            name = function.id if isinstance(function, ast.Name) else name
            argument = node.args[0]
            if name in ("import_module", "__import__") and isinstance(argument, ast.Constant):
                yield Import(str(argument.value), node.lineno, outside)
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, outside and not inner)

    yield from visit(ast.parse(source), True)


def may_import(module: str, room: str) -> bool:
    """Whether a module of ours may import from the room."""
    own = room_of(module)
    if own is None:
        raise ValueError(f"{module} is in no room")
    return room == own or room in ALLOWED[own] or EXCEPTIONS.get(module) == room


def files_of(package: str, root: Path = REPOSITORY) -> list[Path]:
    """The package's Python files, relative to the repository."""
    return sorted(
        path.relative_to(root) for path in (root / package.replace(".", "/")).rglob("*.py")
    )


def module_graph(
    root: Path = REPOSITORY, packages: Iterable[str] = PACKAGES
) -> dict[str, set[str]]:
    """All modules of the packages, each with those of ours that it imports anywhere in its file."""
    paths = {module_name(path): path for top in packages for path in files_of(top, root)}
    return {
        module: {
            found
            for one in imports_of((root / path).read_text(encoding="utf-8"))
            if (found := _existing(one.module, paths)) is not None and found != module
        }
        for module, path in paths.items()
    }


def circles(graph: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """The groups of modules that import each other, directly or by way of others."""
    reached = {module: _reachable(module, graph) for module in graph}
    found = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in graph
        if module in reached[module]
    }
    return sorted(found)


def room_arrows(
    graph: Mapping[str, set[str]], room: Callable[[str], str | None] = room_of
) -> dict[tuple[str, str], int]:
    """How many imports lead from one room to another, by (importing, imported)."""
    pairs = Counter(
        (room(module) or "", room(other) or "")
        for module, imported in graph.items()
        for other in imported
    )
    return {pair: count for pair, count in pairs.items() if pair[0] != pair[1]}


def _existing(name: str, modules: Mapping[str, Path]) -> str | None:
    """The module that a dotted name leads to: itself, or the one that it is a name in."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def _reachable(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting.extend(graph[module])
    return reached
