"""`import rim` gives what docs/api.md documents, and nothing else."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import rim
import schemas.errors

API = Path(__file__).parents[2] / "docs" / "api.md"
NAMES = [name for name in rim.__all__ if not name.startswith("__")]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_resolves_and_says_what_it_is(name: str) -> None:
    found = getattr(rim, name)
    assert inspect.isfunction(found) or inspect.isclass(found)
    assert found.__name__ == name
    assert inspect.getdoc(found)


@pytest.mark.parametrize("name", [name for name in NAMES if inspect.isfunction(getattr(rim, name))])
def test_a_public_function_has_an_example(name: str) -> None:
    assert f"rim.{name}(" in str(inspect.getdoc(getattr(rim, name)))


def test_every_error_class_is_public() -> None:
    errors = {
        name for name, one in vars(schemas.errors).items()
        if inspect.isclass(one) and issubclass(one, Exception)
    }  # fmt: skip
    assert errors == {
        name
        for name in NAMES
        if inspect.isclass(getattr(rim, name)) and issubclass(getattr(rim, name), rim.RimError)
    }


def test_the_page_documents_the_public_names_and_nothing_else() -> None:
    documented = re.findall(r"^::: (\S+)$", API.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(f"rim.{name}" for name in NAMES)


def test_the_list_of_names_is_sorted_and_is_what_dir_shows() -> None:
    assert len(set(rim.__all__)) == len(rim.__all__)
    assert dir(rim) == sorted(rim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'bilud'"):
        rim.bilud  # noqa: B018
