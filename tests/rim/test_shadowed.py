"""A package of the user's own with the name of one of rim's: what `import rim` and `rim` say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rim.shadowed import PACKAGES, check_packages

REPOSITORY = Path(__file__).parents[2]


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in a folder, which comes before the repository on the path."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("file", "name"), [("schemas.py", "schemas"), ("query/__init__.py", "query")]
)
def test_a_file_or_folder_that_hides_a_package_is_named(
    tmp_path: Path, file: str, name: str
) -> None:
    shadow = tmp_path / file
    shadow.parent.mkdir(exist_ok=True)
    shadow.write_text("mine = True\n")
    imported = python(tmp_path, "-c", "import rim")
    assert imported.returncode == 1
    message = f"expected rim's own package '{name}' in {REPOSITORY}, found {shadow.resolve()}"
    assert f"ImportError: {message}" in imported.stderr
    assert "rename that file or folder" in imported.stderr
    command = python(tmp_path, "-m", "rim", "--version")
    assert command.returncode == 1
    assert command.stderr.startswith(f"rim: {message}")
    assert len(command.stderr.splitlines()) == 1


def test_a_package_that_was_imported_before_is_named(tmp_path: Path) -> None:
    (tmp_path / "foundation.py").touch()
    imported = python(tmp_path, "-c", "import foundation, sys; sys.path.pop(0); import rim")
    assert f"found {tmp_path.resolve() / 'foundation.py'}" in imported.stderr


def test_a_folder_that_is_no_package_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    assert python(tmp_path, "-c", "import rim").returncode == 0


def test_the_packages_of_the_checkout_are_rims() -> None:
    check_packages()
    assert all((REPOSITORY / name / "__init__.py").is_file() for name in PACKAGES)
