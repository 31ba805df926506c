"""Help, version and usage errors load no model library and answer at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    *("torch", "diffusers", "transformers", "huggingface_hub", "segment_anything"),
    *("faiss", "duckdb", "pyarrow", "prompt_toolkit"),
)
_LIMIT_S = 0.5


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["build", "--help"],
        ["add", "--help"],
        ["remove", "--help"],
        ["reject", "--help"],
        ["accept", "--help"],
        ["reject", "bank"],
        ["query", "--help"],
        ["sql", "--help"],
        ["compare-labels", "--help"],
        ["compare-labels", "voc20", "vok"],
        ["fetch", "--help"],
        ["fetch"],
        ["fetch", "--preset", "papre"],
        ["report", "--help"],
        ["report", "bank"],
        ["doctor", "--help"],
        ["check", "--help"],
        ["check", "--preset", "papre"],
        ["completion", "bash"],
        ["help", "eval"],
        ["build"],
        ["eval", "--dataset", "vok20"],
        ["bild"],
    ],
)
def test_loads_no_model_library(arguments: list[str]) -> None:
    code = (
        "import sys; from rim.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    result = _python(code)
    assert "HEAVY []" in result.stdout, result.stdout + result.stderr


def test_import_rim_loads_no_model_library() -> None:
    result = _python(f"import sys, rim; print(sorted(set({HEAVY!r}) & set(sys.modules)))")
    assert result.stdout.strip() == "[]"


def test_help_is_quick() -> None:
    # CPU seconds, which other processes on the machine do not lengthen; the best of three.
    def cpu_seconds() -> float:
        before = os.times()
        result = _python("from rim.cli.main import main; main(['--help'])")
        after = os.times()
        assert "build" in result.stdout
        return (
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )

    assert min(cpu_seconds() for _ in range(3)) < _LIMIT_S


def test_python_dash_m(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "rim", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("rim, version ")
