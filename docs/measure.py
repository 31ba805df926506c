"""Measures trees of the repository side by side: files, lines, imports, public names.

python -m docs.measure [TREE ...]    # folders of checkouts, also of older ones; default: this one
"""

from __future__ import annotations

import ast
import statistics
import sys
from pathlib import Path

from docs.imports import (
    PACKAGES,
    REPOSITORY,
    circles,
    files_of,
    imports_of,
    module_graph,
    room_arrows,
)

MEASURED = tuple(package for package in PACKAGES if package != "benchmarks")
"""The packages that users install, and miniature's training."""

SMALL = 80


def measure(root: Path) -> dict[str, str]:
    """The numbers of a tree by what they count."""
    paths = [path for package in MEASURED for path in files_of(package, root)]
    sources = {path: (root / path).read_text(encoding="utf-8") for path in paths}
    lines = {path: len(source.splitlines()) for path, source in sources.items()}
    filled = {path: count for path, count in lines.items() if path.name != "__init__.py"}
    largest = max(filled, key=lambda path: filled[path])
    graph = module_graph(root, MEASURED)
    arrows = room_arrows(graph, folder_of)
    mutual = sum(pair[::-1] in arrows for pair in arrows) // 2
    groups = circles(graph)
    deferred = [
        one
        for source in sources.values()
        for one in imports_of(source)
        if not one.at_import_time and one.package != "__future__"
    ]
    ours = sum(one.package in PACKAGES for one in deferred)
    return {
        "files": f"{len(paths):,}",
        f"of {SMALL} lines or fewer": f"{sum(count <= SMALL for count in filled.values()):,}",
        "lines": f"{sum(lines.values()):,}",
        "median file, lines": f"{statistics.median(filled.values()):.0f}",
        "largest file, lines": f"{filled[largest]} (`{largest}`)",
        "arrows between folders": f"{len(arrows)}",
        "imports along them": f"{sum(arrows.values()):,}",
        "folders that import each other": f"{mutual} pairs",
        "circles of modules": f"{len(groups)} ({sum(map(len, groups))} modules)",
        "imports inside functions": f"{len(deferred)}",
        "of them of our own modules": f"{ours}",
        "public names": f"{sum(len(public_names(source)) for source in sources.values()):,}",
    }


def folder_of(module: str) -> str:
    """The room of a module in any tree: its package, or the folder in that package."""
    parts = module.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 else parts[0]


def public_names(source: str) -> set[str]:
    """What a module defines at its top without a leading underscore; what it imports is not its."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            nodes = [node for target in targets for node in ast.walk(target)]
            found |= {node.id for node in nodes if isinstance(node, ast.Name)}
    return {name for name in found if not name.startswith("_")}


def table(trees: dict[str, dict[str, str]]) -> str:
    """The numbers of several trees as a Markdown table, a column each."""
    rows = [
        f"| | {' | '.join(trees)} |",
        f"|---|{'---:|' * len(trees)}",
        *(
            f"| {what} | {' | '.join(numbers[what] for numbers in trees.values())} |"
            for what in next(iter(trees.values()))
        ),
    ]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    roots = [Path(name) for name in sys.argv[1:]] or [REPOSITORY]
    sys.stdout.write(table({root.resolve().name: measure(root) for root in roots}))
