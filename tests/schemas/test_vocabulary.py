"""Vocabularies: what is read, what is dropped with a warning, what is refused and where."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import VocabularyError
from schemas.resources import vocabulary_names
from schemas.vocabulary import (
    Category,
    Vocabulary,
    load_vocabulary,
    name_key,
    parse_vocabulary,
    vocabulary_from_names,
)


def test_names_synonyms_comments_and_background() -> None:
    text = "\ufeff# animals\r\nfish\r\n\n  sea   horse , Hippocampus,, # a fish too\nbackground\n"
    vocabulary = parse_vocabulary(text, "words.txt")
    assert vocabulary.categories == (Category("fish"), Category("sea horse", ("Hippocampus",)))
    assert vocabulary.names == ("fish", "sea horse")
    assert vocabulary.background
    assert vocabulary.warnings == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat\ndog\nCat", "w.txt: 'Cat' stands twice, on line 1 and on line 3"),
        ("caf\u00e9\ncafe\u0301", "on line 1 and on line 2"),
        ("background\n\nBackground", "'Background' stands twice, on line 1 and on line 3"),
        ("cat\n, kitten", "w.txt, line 2: expected 'name, synonym, ...', found no name"),
        ("cat\ndo\x00g", "w.txt, line 2: found the control character U\\+0000"),
        ("cat\u2028dog", "w.txt, line 1: found the control character U\\+2028"),
        ("cat\u202edog", "w.txt, line 1: found the control character U\\+202E"),
        ("", "w.txt: expected at least one category, found none"),
        ("# nothing\n\n", "expected at least one category"),
        ("background", "expected at least one category"),
    ],
)
def test_refused(text: str, expected: str) -> None:
    with pytest.raises(VocabularyError, match=expected):
        parse_vocabulary(text, "w.txt")


@pytest.mark.parametrize(
    ("text", "kept", "warning"),
    [
        ("dog, cat, puppy\nCat", ("puppy",), "w.txt, line 1: dropped the synonym 'cat' of 'dog'"),
        ("dog, background\nbackground", (), "dropped the synonym 'background' of 'dog'"),
        ("dog, Dog, puppy", ("puppy",), "dropped 'Dog', which 'dog' has already"),
        ("dog, puppy, PUPPY", ("puppy",), "dropped 'PUPPY', which 'dog' has already"),
        ("dog\nbackground, other", (), "w.txt, line 2: synonyms of background are not used"),
    ],
)
def test_dropped_with_a_warning(text: str, kept: tuple[str, ...], warning: str) -> None:
    vocabulary = parse_vocabulary(text, "w.txt")
    assert vocabulary.categories[0].synonyms == kept
    (found,) = vocabulary.warnings
    assert warning in found


def test_a_joiner_inside_a_name_stays() -> None:
    assert parse_vocabulary("\u0646\u200c\u0645", "w.txt").names == ("\u0646\u200c\u0645",)


def test_names_given_one_by_one() -> None:
    vocabulary = vocabulary_from_names(["house, home", "fish", "background"])
    assert vocabulary.categories == (Category("house", ("home",)), Category("fish"))
    assert vocabulary.background


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("house", r"expected a list of category names, found the single text 'house'"),
        (["a", "b", "a"], "on entry 1 and on entry 3"),
        (["C#"], "entry 1: 'C#' contains '#'"),
        ([""], "entry 1: expected 'name, synonym, ...'"),
        ([7], "entry 1: expected a name, found 7"),
        (["a\nb"], r"entry 1: found the control character U\+000A"),
        ([], "expected at least one category"),
    ],
)
def test_names_refused(names: list[str], expected: str) -> None:
    with pytest.raises(VocabularyError, match=expected):
        vocabulary_from_names(names)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(b"fish\nhouse\n")
    assert load_vocabulary(str(path)).names == ("fish", "house")
    path.write_bytes(b"fish\nhou\xffse\n")
    with pytest.raises(VocabularyError, match="line 2: expected UTF-8, found the byte 0xff at pos"):
        load_vocabulary(str(path))
    path.write_bytes("fish".encode("utf-16"))
    with pytest.raises(VocabularyError, match="position 0; save the file as UTF-8"):
        load_vocabulary(str(path))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"fish\nfish")))
    with pytest.raises(VocabularyError, match="standard input: 'fish' stands twice"):
        load_vocabulary("-")


def test_a_shipped_name_also_where_a_folder_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voc20").mkdir()
    assert len(load_vocabulary("voc20").categories) == 20


@pytest.mark.parametrize("name", ["cityscape", "x" * 5000, "no\0such"])
def test_an_unknown_name_lists_the_shipped_ones(name: str) -> None:
    with pytest.raises(VocabularyError, match="shipped: ade150, ade847, cityscapes") as caught:
        load_vocabulary(name)
    guessed = "did you mean cityscapes?" in str(caught.value)
    assert guessed == (name == "cityscape")


@pytest.mark.parametrize(
    ("name", "categories", "background"),
    [
        ("ade150", 150, False),
        ("ade847", 847, False),
        ("cityscapes", 19, False),
        ("coco-object", 80, False),
        ("coco-panoptic", 133, False),
        ("coco-stuff", 171, False),
        ("context459", 459, False),
        ("context59", 59, False),
        ("context60", 59, True),
        ("voc20", 20, False),
        ("voc21", 20, True),
    ],
)
def test_shipped_vocabularies(name: str, categories: int, background: bool) -> None:
    vocabulary = load_vocabulary(name)
    assert name in vocabulary_names()
    assert len(vocabulary.categories) == categories
    assert vocabulary.background is background
    assert vocabulary.warnings == ()


def read_or_refuse(text: str) -> Vocabulary | str:
    """The vocabulary, or the message of the refusal."""
    try:
        return parse_vocabulary(text, "w.txt")
    except VocabularyError as error:
        return str(error)


@given(st.text(max_size=60))
def test_any_text_is_a_vocabulary_or_refused_with_its_place(text: str) -> None:
    found = read_or_refuse(text)
    if isinstance(found, str):
        assert found.startswith("w.txt")
    else:
        keys = [name_key(name) for name in found.names]
        assert len(set(keys)) == len(keys) > 0
        assert all(name == " ".join(name.split()) for name in found.names)
