"""Imports point one way: schemas <- foundation <- bank_builder, query <- rim."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# What each package may import of the others.
ALLOWED: dict[str, set[str]] = {
    "schemas": set(),
    "foundation": {"schemas"},
    "bank_builder": {"schemas", "foundation"},
    "query": {"schemas", "foundation"},
    "rim": {"schemas", "foundation", "bank_builder", "query"},
    "miniature": set(),
    "benchmarks": {"schemas", "foundation", "bank_builder", "query", "rim", "miniature"},
}
MODEL_LIBRARIES = {"torch", "torchvision", "transformers", "diffusers", "segment_anything"}


@dataclass(frozen=True)
class Import:
    """One imported module: its whole name, its line, and whether importing the file imports it."""

    module: str
    line: int
    at_import_time: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def imports_of(source: str) -> Iterator[Import]:
    """All imports of a file, also those inside functions and by `import_module("name")`."""

    def visit(node: ast.AST, outside: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, outside)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield Import(node.module, node.lineno, outside)
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


def may_import(path: Path, package: str) -> bool:
    """Whether the file, relative to the repository, may import that one of our packages."""
    own = path.parts[0]
    if package == own or package in ALLOWED[own]:
        return True
    if own == "miniature":  # training hands its results to the real loaders, which score them
        trains = path.stem.startswith("train") or path.stem.endswith("_scores")
        return trains and package in {"schemas", "foundation"}
    return own == "rim" and package == "miniature" and "eval" in path.stem


def mistakes(path: Path, source: str) -> list[str]:
    """What is wrong with the imports of one file; the path is relative to the repository."""
    found = []
    for one in imports_of(source):
        place = f"{path}:{one.line} imports {one.module}"
        if one.package in ALLOWED and not may_import(path, one.package):
            found.append(place)
        if path.parts[0] == "schemas" and one.package in MODEL_LIBRARIES:
            found.append(f"{place}, a model library")
        if path.parts[0] == "schemas" and one.package == "faiss" and one.at_import_time:
            found.append(f"{place} outside a function")
    return found


def files_of(package: str) -> list[Path]:
    """The package's Python files, relative to the repository."""
    return sorted(path.relative_to(REPOSITORY) for path in (REPOSITORY / package).rglob("*.py"))


@pytest.mark.parametrize("package", [name for name in ALLOWED if (REPOSITORY / name).is_dir()])
def test_imports_point_one_way(package: str) -> None:
    files = files_of(package)
    assert files
    found = [
        mistake
        for path in files
        for mistake in mistakes(path, (REPOSITORY / path).read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("path", "source", "number"),
    [
        ("schemas/a.py", "import numpy, schemas.ids", 0),
        ("schemas/a.py", "from foundation import masks", 1),
        ("schemas/a.py", "def f():\n    import torch.nn", 1),
        ("schemas/a.py", "import faiss", 1),
        ("schemas/a.py", "if True:\n    import faiss", 1),
        ("schemas/a.py", "class A:\n    import faiss", 1),
        ("schemas/a.py", "def f():\n    import faiss", 0),
        ("foundation/a.py", "import torch, faiss, schemas", 0),
        ("foundation/a.py", "from query.matchers import base", 1),
        ("foundation/a.py", "import importlib\nimportlib.import_module('rim.cli')", 1),
        ("bank_builder/a.py", "import schemas.bank, foundation.masks", 0),
        ("bank_builder/a.py", "def f():\n    from query import sql", 1),
        ("query/a.py", "import bank_builder", 1),
        ("query/evaluation.py", "import miniature.world", 1),
        ("rim/a.py", "import schemas, foundation, bank_builder, query", 0),
        ("rim/cli_build.py", "import miniature.world", 1),
        ("rim/cli_eval.py", "import miniature.world", 0),
        ("rim/a.py", "import benchmarks", 1),
        ("miniature/world.py", "from schemas import ids", 1),
        ("miniature/train_sam.py", "from foundation import segmenter", 0),
        ("miniature/train_sam.py", "from query import fuse", 1),
        ("benchmarks/speed.py", "import miniature.world, rim, query", 0),
    ],
)
def test_the_check_itself(path: str, source: str, number: int) -> None:
    assert len(mistakes(Path(path), source)) == number


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running the code."""
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in ended.stdout.split()}


def test_errors_and_vocabularies_need_the_standard_library_alone() -> None:
    loaded = modules_after("import schemas.errors, schemas.vocabulary, schemas.resources")
    # site-packages may load modules of their own at start-up; what counts is what we add.
    added = loaded - modules_after("pass")
    assert "schemas" in added
    assert added <= sys.stdlib_module_names | {"schemas"}


def test_settings_load_without_the_array_libraries() -> None:
    loaded = modules_after("from schemas.settings import load_settings; load_settings('paper')")
    assert "pydantic" in loaded
    assert not loaded & {"numpy", "pyarrow"}


def test_all_of_schemas_loads_no_model_library_and_no_faiss() -> None:
    names = [f"schemas.{path.stem}" for path in files_of("schemas") if path.stem != "__init__"]
    loaded = modules_after(f"import {', '.join(names)}")
    assert {"pyarrow", "pydantic"} <= loaded
    assert not loaded & (MODEL_LIBRARIES | {"faiss"})
