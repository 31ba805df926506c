"""Imports point one way by the table in docs/imports.py, and no two files import each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from docs import measure
from docs.imports import (
    PACKAGES,
    REPOSITORY,
    circles,
    files_of,
    imports_of,
    may_import,
    module_graph,
    module_name,
    room_of,
)

MODEL_LIBRARIES = {"torch", "torchvision", "transformers", "diffusers", "segment_anything"}


def mistakes(path: Path, source: str) -> list[str]:
    """What is wrong with the imports of one file; the path is relative to the repository."""
    found = []
    module = module_name(path)
    for one in imports_of(source):
        place = f"{path}:{one.line} imports {one.module}"
        room = room_of(one.module)
        if room is not None and not may_import(module, room):
            found.append(place)
        if path.parts[0] == "schemas" and one.package in MODEL_LIBRARIES:
            found.append(f"{place}, a model library")
        if path.parts[0] == "schemas" and one.package == "faiss" and one.at_import_time:
            found.append(f"{place} outside a function")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    files = files_of(package)
    assert files
    found = [
        mistake
        for path in files
        for mistake in mistakes(path, (REPOSITORY / path).read_text(encoding="utf-8"))
    ]
    assert found == []


def test_no_two_files_import_each_other() -> None:
    assert circles(module_graph()) == []


def test_circles_finds_a_lazy_one_too() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"a"}}
    assert circles(graph) == [("a", "b", "c")]


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
        ("schemas/a.py", "from schemas.store import files", 1),
        ("schemas/store/a.py", "from schemas import ids", 0),
        ("foundation/images/a.py", "from foundation.weights import hub", 1),
        ("foundation/a.py", "from foundation.images import masks", 0),
        ("bank_builder/a.py", "import schemas.store.bank, foundation.images.masks", 0),
        ("bank_builder/a.py", "def f():\n    from query import fuse", 1),
        ("query/a.py", "import bank_builder", 1),
        ("query/a.py", "from query.exports import formats", 1),
        ("query/exports/a.py", "from query import result", 0),
        ("rim/evaluation/counting.py", "import miniature.world", 1),
        ("rim/evaluation/datasets/miniature.py", "import miniature.world", 0),
        ("rim/evaluation/run.py", "from rim.api import open", 1),
        ("rim/evaluation/scores.py", "from rim.html import html_table", 0),
        ("rim/html.py", "from rim.inspection.sql import formats", 1),
        ("rim/a.py", "import schemas, foundation, bank_builder, query", 0),
        ("rim/a.py", "from rim.cli import options", 1),
        ("rim/__main__.py", "from rim.cli.main import main", 0),
        ("rim/cli/commands/a.py", "from rim.app import server", 0),
        ("rim/app/a.py", "from rim.cli import progress", 1),
        ("rim/a.py", "import benchmarks", 1),
        ("miniature/world.py", "from schemas import ids", 1),
        ("miniature/world.py", "from miniature.training import loop", 1),
        ("miniature/training/train_sam.py", "from foundation import sam", 0),
        ("miniature/training/train_sam.py", "from query import fuse", 1),
        ("benchmarks/speed.py", "import miniature.world, rim, query", 0),
    ],
)
def test_the_check_itself(path: str, source: str, number: int) -> None:
    assert len(mistakes(Path(path), source)) == number


def test_measures_of_a_tree(tmp_path: Path) -> None:
    for package in measure.MEASURED:
        (tmp_path / package).mkdir(parents=True)
    (tmp_path / "schemas" / "ids.py").write_text("A = 1\n_B = A\nimport os\n\ndef c(): ...\n")
    (tmp_path / "query" / "fuse.py").write_text(
        "from schemas import ids\n\nclass D:\n    def e(self):\n        import faiss, rim\n"
    )
    found = measure.measure(tmp_path)
    assert (found["files"], found["lines"], found["public names"]) == ("2", "10", "3")
    assert (found["median file, lines"], found["arrows between folders"]) == ("5", "1")
    inside = (found["imports inside functions"], found["of them of our own modules"])
    assert inside == ("2", "1")
    assert measure.table({"x": found}).splitlines()[2] == "| files | 2 |"


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
    names = [module_name(path) for path in files_of("schemas")]
    loaded = modules_after(f"import {', '.join(names)}")
    assert {"pyarrow", "pydantic"} <= loaded
    assert not loaded & (MODEL_LIBRARIES | {"faiss"})
