"""A wheel built from the repository works from an empty folder, data included."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked into a folder of its own."""
    work = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work)]
    subprocess.run([*build, str(REPOSITORY)], check=True, capture_output=True, timeout=1800)
    (wheel,) = work.glob("rim_bank-*.whl")
    target = work / "site"
    subprocess.run(
        [sys.executable, "-m", "zipfile", "-e", str(wheel), str(target)], check=True, timeout=300
    )
    return target


def _rim(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rim", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


@pytest.mark.slow
def test_runs_from_an_empty_folder(site: Path, tmp_path: Path) -> None:
    code = "import rim, schemas.resources as r; print(rim.__file__, r.data_folder())"
    code += "; from rim.check.photos import read_check_data; read_check_data()"
    where = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.count(str(site)) == 2, "neither code nor data come from the checkout"

    (tmp_path / "words.txt").write_text("house\ngrass\n", encoding="utf-8")
    arguments = ("build", "words.txt", "--out", "bank", "-k", "2", "--steps", "4", "--offline")
    built = _rim(site, tmp_path, *arguments, "--json")
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["images"] == 4
    asked = _rim(
        site, tmp_path, "sql", "bank", "SELECT count(*) AS n FROM images", "--format", "json"
    )
    assert json.loads(asked.stdout) == [{"n": 4}], asked.stderr
    fresh = ("--dataset", "miniature", "--scenes", "3", "--seed", "1", "--background", "off")
    scored = _rim(site, tmp_path, "eval", "bank", *fresh, "--json")
    assert scored.returncode == 0, scored.stderr
    assert 0 <= json.loads(scored.stdout)["miou"] <= 1, "the drawn world comes along"
    reported = _rim(site, tmp_path, "report", "bank", "--out", "report")
    assert reported.returncode == 0, reported.stderr
    assert (tmp_path / "report" / "assets" / "map.js").is_file(), "templates and assets come along"


def test_wheel_holds_no_tests_or_training_leftovers(site: Path) -> None:
    names = {path.name for path in site.iterdir()}
    assert names == {
        "schemas",
        "foundation",
        "bank_builder",
        "query",
        "rim",
        "miniature",
        *(name for name in names if name.endswith(".dist-info")),
    }


def test_wheel_holds_the_drawn_world_without_its_training(site: Path) -> None:
    modules = {path.stem for path in (site / "miniature").rglob("*.py")}
    assert modules == {"__init__", "world", "things", "textures"}


def test_constraints_pin_versions_and_hold_no_addresses() -> None:
    for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.+]+", line), line


def test_wheel_says_that_it_is_typed(site: Path) -> None:
    for package in ("schemas", "foundation", "bank_builder", "query", "rim", "miniature"):
        assert (site / package / "py.typed").is_file(), package
