"""The shipped files are found in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

import schemas.resources
from schemas.errors import RimError
from schemas.resources import data_folder, preset_names, preset_path, vocabulary_names


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretends that the package lies in that folder."""
    package = folder / "schemas"
    package.mkdir()
    monkeypatch.setattr(schemas.resources, "__file__", str(package / "resources.py"))
    return package


def test_in_a_checkout() -> None:
    assert data_folder() == Path(__file__).resolve().parents[2] / "data"
    assert "paper" in preset_names()
    assert preset_path("paper").is_file()
    assert "voc20" in vocabulary_names()


def test_inside_the_package_of_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = install(tmp_path, monkeypatch)
    (tmp_path / "data").mkdir()  # somebody else's folder beside the installed package
    (package / "data" / "presets").mkdir(parents=True)
    (package / "data" / "presets" / "b.toml").touch()
    (package / "data" / "presets" / "a.toml").touch()
    assert data_folder() == package / "data"
    assert preset_names() == ("a", "b")


def test_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)
    with pytest.raises(RimError, match="found neither; install rim again"):
        data_folder()
